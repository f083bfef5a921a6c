"""The city's page and API, described as OpenAPI 3.1: its routes, who may use them, refusals as problem+json."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from edge_app import __version__
from edge_app.city.access import HERE
from edge_app.city.inventory import InventoryError, told
from edge_app.city.routes.city import City
from edge_app.city.routes.data import data_routes
from edge_app.city.routes.files import file_routes
from edge_app.city.routes.inventory import inventory_routes
from edge_app.errors import StoreError
from edge_app.http.problems import PROBLEM_KIND, Problem, RefusalError, problem_of

log = logging.getLogger(__name__)

_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_OWN_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")


def build_api(city: City) -> FastAPI:
    """Return the ASGI application of a city."""
    api = FastAPI(
        title="Traffic counts of a city",
        version=__version__,
        summary="Sites, devices, counts with their completeness, gaps, inventory.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
        responses={"4XX": {"description": "Refused in a sentence", "content": {PROBLEM_KIND: {"schema": _PROBLEM}}}},
    )
    for routes in (file_routes(), data_routes(city), inventory_routes(city)):
        api.include_router(routes)
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, handler)

    @api.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Any]) -> Response:
        host = request.headers.get("host", "")
        if city.local and host.rpartition(":")[0] not in _OWN_HOSTS and host not in _OWN_HOSTS:
            return _refused(HTTPStatus.FORBIDDEN, "this page answers to localhost alone: call it by that name")
        request.state.caller = HERE
        response: Response = await go_on(request)
        response.headers.update(_HEADERS)
        return response

    return api


_PROBLEM: Final = Problem.model_json_schema()


def _refused(status: int, sentence: str) -> Response:
    return _answer(RefusalError(HTTPStatus(status), sentence))


def _answer(refused: RefusalError) -> Response:
    body, headers = problem_of(refused)
    return Response(body, refused.status, headers)


async def _on_refusal(_: Request, error: Any) -> Response:
    return _answer(error)


async def _on_http(_: Request, error: Any) -> Response:
    return _refused(error.status_code, str(error.detail))


async def _on_invalid(_: Request, error: Any) -> Response:
    return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, told(error.errors()[0]))


async def _on_inventory(_: Request, error: Any) -> Response:
    return _refused(HTTPStatus.UNPROCESSABLE_ENTITY, "; ".join(error.problems))


async def _on_store(_: Request, error: Any) -> Response:
    log.warning("a request failed: %s", error)
    return _refused(HTTPStatus.SERVICE_UNAVAILABLE, str(error))


async def _on_fault(_: Request, __: Any) -> Response:
    return _refused(HTTPStatus.INTERNAL_SERVER_ERROR, "this is a fault of the program; its log says more")


_HANDLERS: Final[dict[Any, Any]] = {
    RefusalError: _on_refusal,
    HTTPException: _on_http,
    RequestValidationError: _on_invalid,
    InventoryError: _on_inventory,
    StoreError: _on_store,
    Exception: _on_fault,
}
