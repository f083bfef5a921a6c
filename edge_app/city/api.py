"""The city's page and API, described as OpenAPI 3.1: its routes, who may use them, refusals as problem+json."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from edge_app import __version__
from edge_app.city.access import Access, Asked
from edge_app.city.bodies import BodyLimit
from edge_app.city.database.accounts import AccountError
from edge_app.city.invalid import reason_of_invalid
from edge_app.city.inventory import InventoryError
from edge_app.city.routes.city import City, caller
from edge_app.city.routes.curves import curve_routes
from edge_app.city.routes.data import LIVE, data_routes
from edge_app.city.routes.feeds import feed_routes
from edge_app.city.routes.files import file_routes
from edge_app.city.routes.fleet import fleet_routes
from edge_app.city.routes.gaps import gap_routes
from edge_app.city.routes.intervals import interval_routes
from edge_app.city.routes.inventory import inventory_routes
from edge_app.city.routes.kept import Readers
from edge_app.city.routes.map import map_routes
from edge_app.city.routes.measures import measure_routes
from edge_app.city.routes.packed import compressed, is_known, is_worth, tag_headers, tag_of, takes_gzip
from edge_app.city.routes.people import people_routes
from edge_app.city.routes.places import Places
from edge_app.city.routes.public import PUBLIC, public_routes
from edge_app.city.routes.reviews import review_routes
from edge_app.city.routes.sensorthings import sensorthings_routes
from edge_app.city.routes.watching import watching_routes
from edge_app.errors import ConfigError, StoreError
from edge_app.http.problems import (
    PROBLEM_KIND,
    Reason,
    RefusalError,
    because,
    problem_of,
    problem_schema,
    refusal_of,
)

log = logging.getLogger(__name__)

_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_EXPOSED: Final = ("content-disposition", "etag", "link", "ngsild-results-count", "retry-after")
"""Headers of an answer that a page of others may read."""
_FOR_OTHERS: Final = {"access-control-allow-origin": "*", "access-control-expose-headers": ", ".join(_EXPOSED)}
"""With what everybody may read, also with a refusal: a page of others must see when it may ask again."""
_ASKS: Final = ("/api/", "/ngsi-ld/", "/metrics", "/openapi.json")
"""Paths of what is made for who asks, who must not ask too often; the others are the files of the page."""
_FINDING: Final = 2
"""Threads that find out who asks and do nothing else: who asks too often is told so while others are answered."""
_MOST_FOUND: Final = 300
"""Requests that may wait for that, of a server's 400 connections."""
_READING: Final = 8
"""Requests that read at a time: fewer than there are threads, and connections to the database."""
_READING_OF_ONE: Final = 4
"""Of one who asks: others find places free."""
_MOST_READING: Final = 200
"""Requests that read or wait for it, of a server's 400 connections."""
_STREAM: Final = "text/event-stream"
_TEXTS: Final = ("application/json", "application/geo+json", "application/xml", "text/")
_SOON_S: Final = 60
"""When whoever found the database busy may try again."""
_MOST_TOLD: Final = 20
"""Reasons of one refusal."""


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
        responses={"4XX": _REFUSED, "5XX": _REFUSED},
    )
    access, callers = Access(city.database, city.origin, city.utc), Readers(_FINDING, _MOST_FOUND)
    places = Places(_READING, _READING_OF_ONE, _MOST_READING)
    page = (
        file_routes(),
        people_routes(city, access),
        data_routes(city),
        gap_routes(city),
        fleet_routes(city),
        curve_routes(city),
        measure_routes(city),
        interval_routes(city),
        feed_routes(city),
        sensorthings_routes(city),
        inventory_routes(city),
        map_routes(city),
        review_routes(city),
        public_routes(city),
    )
    api.state.routes = []
    for routes in (*(page if city.page else ()), watching_routes(city)):
        api.include_router(routes)
        api.state.routes += routes.routes
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, handler)

    api.add_middleware(BodyLimit)

    async def guarded(request: Request, go_on: Callable[[Request], Any]) -> Response:
        try:
            access.judge_host(request.headers.get("host", ""))
            if request.url.path.startswith(PUBLIC):
                access.judge_reader(_asked(request, access))
            elif request.url.path.startswith(_ASKS):
                request.state.asked = asked = _asked(request, access)
                request.state.caller = await callers.run(lambda: access.caller(asked))
        except RefusalError as refused:
            return _answer(refused)
        except StoreError as error:
            return await _on_store(request, error)
        try:
            async with places.place(who) if (who := _who_reads(request)) else nullcontext():
                response: Response = await go_on(request)
                for name, value in _HEADERS.items():
                    response.headers.setdefault(name, value)
                return await _with_tag(request, response)
        except RefusalError as refused:
            return _answer(refused)

    @api.middleware("http")
    async def guard(request: Request, go_on: Callable[[Request], Any]) -> Response:
        response = await guarded(request, go_on)
        if request.url.path.startswith(PUBLIC):
            for name, value in _FOR_OTHERS.items():
                response.headers.setdefault(name, value)
        return response

    api.add_middleware(
        CORSMiddleware,
        allow_origins=city.cors,
        allow_methods=["GET", "POST", "PUT", "DELETE"],
        allow_headers=["authorization", "content-type", "if-none-match"],
        expose_headers=_EXPOSED,
    )
    return api


def _who_reads(request: Request) -> str:
    """Return who reads from the database, "" for all other requests: a change has to be sent, which may take long."""
    reads = request.method == "GET" and request.url.path.startswith(_ASKS) and request.url.path != LIVE
    return caller(request).name if reads else ""


def _asked(request: Request, access: Access) -> Asked:
    peer = access.peer(request.client.host if request.client else "", request.headers.getlist("x-forwarded-for"))
    return Asked(request.method, dict(request.headers), request.cookies, peer, request.scope["http_version"])


async def _with_tag(request: Request, response: Response) -> Response:
    """Return the answer compressed, with an ETag, or 304 where the client has it already (RFC 9110, 8.8.3).

    One that has an ETag already is a file, which is not read here, or was made for many.
    """
    kind = response.headers.get("content-type", "")
    if request.method != "GET" or response.status_code != HTTPStatus.OK or kind.startswith(_STREAM):
        return response
    if "etag" in response.headers:
        return response
    body = b"".join([part async for part in response.body_iterator])  # type: ignore[attr-defined]
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    tag = tag_of(body)
    headers = {"cache-control": "no-cache", **headers, **tag_headers(tag, headers.get("vary", ""))}
    if is_known(request, tag):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if is_worth(body) and kind.startswith(_TEXTS) and takes_gzip(request):
        body = await run_in_threadpool(compressed, body)
        headers["content-encoding"] = "gzip"
    return Response(body, headers=headers)


_REFUSED: Final[dict[str, Any]] = {
    "description": "Refused in a sentence",
    "content": {PROBLEM_KIND: {"schema": problem_schema()}},
}


_OF_FRAMEWORK: Final = {HTTPStatus.NOT_FOUND: "no_address", HTTPStatus.METHOD_NOT_ALLOWED: "wrong_method"}
"""Status of what the framework refuses -> code of the reason; all else is no request that it can read."""


def _answer(refused: RefusalError) -> Response:
    body, headers = problem_of(refused)
    return Response(body, refused.status, headers)


async def _on_refusal(_: Request, error: Any) -> Response:
    return _answer(error)


async def _on_http(request: Request, error: Any) -> Response:
    status, told = HTTPStatus(error.status_code), error.detail
    if not isinstance(told, Reason):  # a sentence of the framework
        told = because(str(told), code=_OF_FRAMEWORK.get(status, "no_request"))
    answer = _answer(refusal_of(status, [told]))
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:  # a route knows its own methods alone (RFC 9110, 10.2.1)
        matching = [route for route in request.app.state.routes if route.path_regex.match(request.url.path)]
        answer.headers["allow"] = ", ".join(sorted({method for route in matching for method in route.methods}))
    return answer


async def _on_invalid(_: Request, error: Any) -> Response:
    reasons = [reason_of_invalid(one) for one in error.errors()[:_MOST_TOLD]]
    return _answer(refusal_of(HTTPStatus.UNPROCESSABLE_ENTITY, reasons))


async def _on_inventory(_: Request, error: Any) -> Response:
    return _answer(refusal_of(HTTPStatus.UNPROCESSABLE_ENTITY, error.reasons))


async def _on_account(_: Request, error: Any) -> Response:
    return _answer(RefusalError(HTTPStatus.CONFLICT, str(error), code=error.code, **error.parameters))


async def _on_config(_: Request, error: Any) -> Response:
    return _answer(RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error), code="config", why=str(error)))


async def _on_store(_: Request, error: Any) -> Response:
    log.warning("a request failed: %s", error)
    if error.code:  # words of its own
        return _answer(RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), _SOON_S, code=error.code))
    return _answer(RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), code="store", why=str(error)))


async def _on_fault(_: Request, __: Any) -> Response:
    sentence = "this is a fault of the program; its log says more"
    return _answer(RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, sentence, code="fault"))


_HANDLERS: Final[dict[Any, Any]] = {
    RefusalError: _on_refusal,
    HTTPException: _on_http,
    RequestValidationError: _on_invalid,
    InventoryError: _on_inventory,
    AccountError: _on_account,
    ConfigError: _on_config,
    StoreError: _on_store,
    Exception: _on_fault,
}
