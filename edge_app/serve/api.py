"""Routes of the service and their description as OpenAPI 3.1. The only file that imports FastAPI.

A route reads the request, hands it on and sends the answer; nothing else happens here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from edge_app import __version__
from edge_app.serve.access import Access, Client
from edge_app.serve.answers import CONFIDENCE, LEAST_CONFIDENCE, Batch, Health, Models, NamedAnswer, Prediction, Problem
from edge_app.serve.bodies import BodyLimits, Budget, in_memory
from edge_app.serve.engines import Engines
from edge_app.serve.entrance import PROBLEM_KIND, Entrance, problem_of
from edge_app.serve.metrics import KIND, Metrics
from edge_app.serve.multipart import Part, is_multipart, parts_of
from edge_app.serve.predictor import Found, Predictor, Wish
from edge_app.serve.problems import RefusalError

log = logging.getLogger(__name__)

Confidence = Annotated[
    float, Query(ge=LEAST_CONFIDENCE, le=1, description="Lowest score of a box.", examples=[CONFIDENCE])
]
Model = Annotated[str, Query(description="Name of a model from /models; without it the default.", max_length=200)]
Form = Annotated[Literal["json", "image"], Query(description="JSON, or the picture with its boxes drawn, as JPEG.")]

_MOST_PICTURES: Final = 64
"""Pictures in one batch."""
_OVERHEAD: Final = 100_000
"""Bytes that multipart may add to its pictures."""
_PICTURE_KINDS: Final = ("image/jpeg", "image/png", "image/webp", "image/bmp", "application/octet-stream")
_BINARY: Final = {"type": "string", "format": "binary"}
_PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    int(status): {"description": text, "content": {PROBLEM_KIND: {"schema": Problem.model_json_schema()}}}
    for status, text in (
        (HTTPStatus.BAD_REQUEST, "The body is empty or broken."),
        (HTTPStatus.UNAUTHORIZED, "A token is needed."),
        (HTTPStatus.FORBIDDEN, "The token lacks the scope, or a foreign page asks."),
        (HTTPStatus.NOT_FOUND, "There is no such model."),
        (HTTPStatus.REQUEST_TIMEOUT, "The body comes too slowly."),
        (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Too many bytes or pixels."),
        (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "This is no picture."),
        (HTTPStatus.UNPROCESSABLE_ENTITY, "The picture is broken, or a parameter is out of range."),
        (HTTPStatus.SERVICE_UNAVAILABLE, "The queue is full; Retry-After says when to ask again."),
    )
}
_ONE_PICTURE: Final = {
    "requestBody": {
        "required": True,
        "description": "The picture as the body, or as the first file of a form.",
        "content": {
            **{kind: {"schema": _BINARY} for kind in _PICTURE_KINDS},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"picture": _BINARY}, "required": ["picture"]}
            },
        },
    }
}
_SEVERAL_PICTURES: Final = {
    "requestBody": {
        "required": True,
        "description": f"Up to {_MOST_PICTURES} pictures as files of one form.",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"picture": {"type": "array", "items": _BINARY}},
                    "required": ["picture"],
                }
            }
        },
    }
}


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes work with.

    most_bytes: of one picture. body_s: longest time that a body may take, s. activity: called for each use.
    """

    predictor: Predictor
    engines: Engines
    access: Access
    metrics: Metrics
    budget: Budget
    most_bytes: int
    body_s: float = 30.0
    activity: Callable[[], None] = field(default=lambda: None)


def build_api(service: Service) -> FastAPI:
    """Return the ASGI application of a service."""
    api = FastAPI(
        title="Vehicle detector",
        version=__version__,
        summary="Pictures in, boxes of vehicles out.",
        redoc_url=None,
    )
    _add_pictures(api, service)
    _add_state(api, service)
    for kind, handler in _HANDLERS.items():
        api.add_exception_handler(kind, handler)
    api.add_middleware(
        Entrance,
        access=service.access,
        metrics=service.metrics,
        activity=service.activity,
    )
    if service.access.origins:
        api.add_middleware(
            CORSMiddleware,
            allow_origins=list(service.access.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["location", "retry-after"],
        )
    return api


def _add_pictures(api: FastAPI, service: Service) -> None:
    predictor, metrics = service.predictor, service.metrics
    one = BodyLimits(service.most_bytes + _OVERHEAD, service.body_s)
    several = BodyLimits(4 * service.most_bytes, service.body_s)

    @api.post(
        "/predict",
        summary="Boxes of one picture",
        responses={200: {"model": Prediction, "content": {"image/jpeg": {"schema": _BINARY}}}, **_PROBLEMS},
        openapi_extra=_ONE_PICTURE,
    )
    async def predict(
        request: Request, model: Model = "", confidence: Confidence = CONFIDENCE, format: Form = "json"
    ) -> Response:
        client = _client(request, "predict")
        kind = request.headers.get("content-type", "")
        body = await _body(request, one, service.budget)
        try:
            content = _first_file(body, kind) if is_multipart(kind) else bytes(body)
            wish = Wish(model, confidence, draw=format == "image")
            found = await _unless_gone(request, predictor.submit(client.name, content, wish))
        finally:
            service.budget.give_back(len(body))
        metrics.predicted(len(found.prediction.boxes))
        if found.jpeg is not None:
            return Response(found.jpeg, media_type="image/jpeg")
        return Response(found.prediction.model_dump_json(), media_type="application/json")

    @api.post(
        "/predict/batch",
        summary="Boxes of several pictures, each with its own answer or its own problem",
        responses={200: {"model": Batch}, **_PROBLEMS},
        openapi_extra=_SEVERAL_PICTURES,
    )
    async def predict_batch(request: Request, model: Model = "", confidence: Confidence = CONFIDENCE) -> Response:
        client = _client(request, "predict")
        kind = request.headers.get("content-type", "")
        if not is_multipart(kind):
            raise RefusalError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a batch is a form: send the pictures as multipart/form-data"
            )
        body = await _body(request, several, service.budget)
        try:
            parts = [part for part in parts_of(body, kind, _MOST_PICTURES) if part.file]
            if not parts:
                raise RefusalError(HTTPStatus.BAD_REQUEST, "the form holds no file: send pictures as files")
            answers = await _each(request, service, client, parts, Wish(model, confidence))
        finally:
            service.budget.give_back(len(body))
        return Response(Batch(answers=answers).model_dump_json(exclude_none=True), media_type="application/json")


def _add_state(api: FastAPI, service: Service) -> None:
    @api.get("/models", summary="Models that can be asked for", responses=_PROBLEMS)
    async def models(request: Request) -> Models:
        _client(request, "predict")
        return Models(models=service.predictor.models)

    @api.get("/health", summary="Whether the service lives, and whether it takes work")
    async def health() -> Health:
        return Health(alive=True, ready=service.engines.healthy)

    @api.get("/health/live", summary="200 while the service lives")
    async def live() -> Health:
        return Health(alive=True, ready=service.engines.healthy)

    @api.get(
        "/health/ready",
        summary="200 while it takes work, else 503",
        responses={503: {"model": Health, "description": "It takes no work: an engine has failed or it stops."}},
    )
    async def ready(response: Response) -> Health:
        if not service.engines.healthy:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Health(alive=True, ready=service.engines.healthy)

    @api.get("/metrics", summary="Figures for Prometheus", responses={**_PROBLEMS, 200: {"content": {KIND: {}}}})
    async def metrics(request: Request) -> Response:
        _client(request, "metrics")
        return Response(service.metrics.text(), media_type=KIND)


def _client(request: Request, scope: str) -> Client:
    client: Client = request.state.client
    client.needs(scope)
    return client


async def _body(request: Request, limits: BodyLimits, budget: Budget) -> bytearray:
    return await in_memory(request.stream(), limits, request.headers.get("content-length"), budget)


def _first_file(body: bytearray, kind: str) -> bytes:
    for part in parts_of(body, kind, _MOST_PICTURES):
        if part.file:
            return part.content
    raise RefusalError(HTTPStatus.BAD_REQUEST, "the form holds no file: send the picture as a file")


async def _each(
    request: Request, service: Service, client: Client, parts: list[Part], wish: Wish
) -> tuple[NamedAnswer, ...]:
    """Return an answer for each picture; no more are under way at once than there are engines."""
    room = asyncio.Semaphore(service.engines.threads)

    async def answer(part: Part) -> NamedAnswer:
        async with room:
            try:
                found = await _unless_gone(request, service.predictor.submit(client.name, part.content, wish))
            except RefusalError as refused:
                return NamedAnswer(name=part.file, problem=_problem(refused))
        service.metrics.predicted(len(found.prediction.boxes))
        return NamedAnswer(name=part.file, prediction=found.prediction)

    return tuple(await asyncio.gather(*map(answer, parts)))


def _problem(refused: RefusalError) -> Problem:
    return Problem(title=refused.status.phrase, status=refused.status.value, detail=refused.sentence)


async def _unless_gone(request: Request, begun: Future[Found]) -> Found:
    """Wait for a result; one that nobody will read any more is taken out of the queue."""
    waiting = asyncio.wrap_future(begun)
    gone = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise RefusalError(HTTPStatus.BAD_REQUEST, "the client has left")
        return waiting.result()
    finally:
        gone.cancel()
        waiting.cancel()


async def _left(request: Request) -> None:
    """Return when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _on_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    body, headers = problem_of(error)
    return Response(body, error.status, headers)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = str(first["loc"][-1]) if first["loc"] else "request"
    sentence = f"{where}: {str(first['msg']).lower()}, see /docs"
    return await _on_refusal(_request, RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence))


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    sentences = {
        HTTPStatus.NOT_FOUND: "there is no such address: /docs lists them",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address takes another method: /docs lists them",
    }
    answer = await _on_refusal(_request, RefusalError(status, sentences.get(status, str(error.detail))))
    answer.headers.update(error.headers or {})
    return answer


async def _on_fault(_request: Request, _error: Exception) -> Response:
    """Answer where the service itself is wrong; the server logs the fault, without the request."""
    sentence = "the service has a fault, which its log describes: tell whoever runs it"
    return await _on_refusal(_request, RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, sentence))


_HANDLERS: Final = {
    RefusalError: _on_refusal,
    RequestValidationError: _on_invalid,
    HTTPException: _on_http,
    Exception: _on_fault,
}
