"""Routes of the service and their description as OpenAPI 3.1. The only file that imports FastAPI.

A route reads the request, hands it on and sends the answer; nothing else happens here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Annotated, Final, Literal

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from edge_app import __version__
from edge_app.http.problems import RefusalError, problem_of
from edge_app.serve import examples, page_files
from edge_app.serve.access import Access, Client
from edge_app.serve.answers import CONFIDENCE, LEAST_CONFIDENCE, Batch, Health, Models, Prediction
from edge_app.serve.asked import answer_each, files_of, first_file, unless_gone
from edge_app.serve.bodies import BodyLimits, Budget, in_memory
from edge_app.serve.description import (
    BINARY,
    CLIP_BODY,
    JOB_LINKS,
    LINE_FORMAT,
    ONE_PICTURE,
    PROBLEMS,
    SEVERAL_PICTURES,
)
from edge_app.serve.engines import Engines
from edge_app.serve.entrance import Entrance
from edge_app.serve.jobs import ANNOTATED, RESULT, Job, Jobs, Wanted
from edge_app.serve.metrics import KIND, Metrics
from edge_app.serve.multipart import is_multipart
from edge_app.serve.predictor import Predictor, Wish
from edge_app.serve.results import open_result
from edge_app.serve.uploads import Clips

log = logging.getLogger(__name__)

Confidence = Annotated[
    float, Query(ge=LEAST_CONFIDENCE, le=1, description="Lowest score of a box.", examples=[CONFIDENCE])
]
Model = Annotated[str, Query(description="Name of a model from /models; without it the default.", max_length=200)]
Lines = Annotated[
    Sequence[str],
    Query(
        description="Counting line as ID:x0,y0,x1,y1 in 0..1; may be repeated, each with an id of its own. "
        "Without one the clip is counted on the line `middle`, across the middle of the picture.",
        max_length=16,
        json_schema_extra={"items": {"type": "string", "format": LINE_FORMAT}, "uniqueItems": True},
        examples=[["main:0.5,0.95,0.5,0.4"]],
    ),
]
Form = Annotated[Literal["json", "image"], Query(description="JSON, or the picture with its boxes drawn, as JPEG.")]

_OVERHEAD: Final = 100_000
"""Bytes that multipart may add to its pictures."""


@dataclass(frozen=True, slots=True)
class Service:
    """What the routes work with.

    most_bytes: of one picture. body_s: longest time that a picture may take to arrive, s. clips: None takes none.
    activity: called for each use.
    """

    predictor: Predictor
    engines: Engines
    access: Access
    metrics: Metrics
    budget: Budget
    most_bytes: int
    body_s: float = 30.0
    clips: Clips | None = None
    activity: Callable[[], None] = field(default=lambda: None)

    @property
    def health(self) -> Health:
        """Whether it takes work: every thread runs, and it does not stop."""
        return Health(alive=True, ready=self.engines.healthy and (self.clips is None or self.clips.counting.healthy))


def build_api(service: Service) -> FastAPI:
    """Return the ASGI application of a service."""
    api = FastAPI(
        title="Vehicle detector",
        version=__version__,
        summary="Pictures in, boxes of vehicles out.",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # it would send others on to a foreign Host
        generate_unique_id_function=lambda route: route.name,
    )
    _add_page(api)
    _add_pictures(api, service)
    _add_state(api, service)
    if service.clips:
        _add_counts(api, service.clips)
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
            _Origins,
            allow_origins=list(service.access.origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["authorization", "content-type"],
            expose_headers=["location", "retry-after"],
        )
    return api


class _Origins(CORSMiddleware):
    """CORS whose refusals are problems too."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return answer
        sentence = "a page may not ask this: start the service with its --origin, or ask as /docs says"
        body, headers = problem_of(RefusalError(HTTPStatus.BAD_REQUEST, sentence))
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return Response(body, HTTPStatus.BAD_REQUEST, {**kept, **headers})


def _add_page(api: FastAPI) -> None:
    @api.get("/", include_in_schema=False)
    @api.get("/page/{name}", include_in_schema=False)
    async def page(name: str = "index.html") -> Response:
        content = page_files.read(name)
        if content is None:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        return Response(content, media_type=page_files.KINDS[name], headers=page_files.HEADERS)

    @api.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return await page("docs.html")

    @api.get("/examples/{name}", include_in_schema=False)
    async def example(request: Request) -> Response:
        if request.url.path not in examples.PATHS:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        content, kind = await asyncio.to_thread(examples.example, request.url.path)
        return Response(content, media_type=kind)


def _add_pictures(api: FastAPI, service: Service) -> None:
    predictor, metrics = service.predictor, service.metrics
    one = BodyLimits(service.most_bytes + _OVERHEAD, service.body_s)
    several = BodyLimits(4 * service.most_bytes, service.body_s)

    @api.post(
        "/predict",
        summary="Boxes of one picture",
        responses={200: {"model": Prediction, "content": {"image/jpeg": {"schema": BINARY}}}, **PROBLEMS},
        openapi_extra=ONE_PICTURE,
    )
    async def predict(
        request: Request, model: Model = "", confidence: Confidence = CONFIDENCE, format: Form = "json"
    ) -> Response:
        client = _client(request, "predict")
        kind = request.headers.get("content-type", "")
        async with _body(request, one, service.budget, client) as body:
            content = first_file(body, kind) if is_multipart(kind) else bytes(body)
            wish = Wish(model, confidence, draw=format == "image")
            found = await unless_gone(request.receive, predictor.submit(client.name, content, wish))
        metrics.predicted(len(found.prediction.boxes))
        if found.jpeg is not None:
            return Response(found.jpeg, media_type="image/jpeg")
        return Response(found.prediction.model_dump_json(), media_type="application/json")

    @api.post(
        "/predict/batch",
        summary="Boxes of several pictures, each with its own answer or its own problem",
        responses={200: {"model": Batch}, **PROBLEMS},
        openapi_extra=SEVERAL_PICTURES,
    )
    async def predict_batch(request: Request, model: Model = "", confidence: Confidence = CONFIDENCE) -> Response:
        client = _client(request, "predict")
        kind = request.headers.get("content-type", "")
        if not is_multipart(kind):
            raise RefusalError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a batch is a form: send the pictures as multipart/form-data"
            )
        async with _body(request, several, service.budget, client) as body:
            submit = partial(predictor.submit, client.name, wish=Wish(model, confidence))
            answers = await answer_each(request.receive, files_of(body, kind), submit, service.engines.threads)
        for answer in answers:
            if answer.prediction:
                metrics.predicted(len(answer.prediction.boxes))
        return Response(Batch(answers=answers).model_dump_json(exclude_none=True), media_type="application/json")


def _add_counts(api: FastAPI, clips: Clips) -> None:
    @api.post(
        "/counts",
        status_code=HTTPStatus.ACCEPTED,
        summary="Count a clip, as a job",
        responses={202: {"links": JOB_LINKS}, 507: {"description": "The disk is full."}, **PROBLEMS},
        openapi_extra=CLIP_BODY,
    )
    async def count(
        request: Request,
        response: Response,
        line: Lines = (),
        name: Annotated[str, Query(description="Name of the clip in the result.", max_length=200)] = "clip.mp4",
        model: Model = "",
        annotate: Annotated[bool, Query(description="Make an annotated video too.")] = False,
    ) -> Job:
        client = _client(request, "counts")
        wanted = Wanted(name=name, lines=tuple(line), model=model, annotate=annotate)
        job = await clips.take(client.name, wanted, request.stream(), request.headers.get("content-length"))
        response.headers["location"] = f"/counts/{job.id}"
        return job

    @api.get("/counts", summary="Your jobs, the newest first", responses=PROBLEMS)
    async def jobs(request: Request) -> list[Job]:
        return list(clips.jobs.of_client(_client(request, "counts").name))

    @api.get("/counts/{job}", summary="How far a job is", responses=PROBLEMS)
    async def state(request: Request, job: str) -> Job:
        return clips.jobs.get(job, _client(request, "counts").name)

    @api.delete(
        "/counts/{job}",
        status_code=HTTPStatus.NO_CONTENT,
        summary="Cancel a job if it is not over, and remove it",
        responses=PROBLEMS,
    )
    async def remove(request: Request, job: str) -> None:
        found = clips.jobs.get(job, _client(request, "counts").name)
        await asyncio.to_thread(clips.counting.remove, found)

    @api.get(
        "/counts/{job}/result",
        summary="The result, exactly as of `edge-app count --out`",
        responses={**PROBLEMS, 200: {"content": {"application/json": {}}}, 409: {"description": "It is not done."}},
    )
    async def result(request: Request, job: str) -> StreamingResponse:
        return await _file(request, clips.jobs, job, RESULT, "application/json")

    @api.get(
        "/counts/{job}/annotated",
        summary="The annotated video, where it was asked for",
        responses={**PROBLEMS, 200: {"content": {"video/mp4": {"schema": BINARY}}}, 409: {"description": "Not done."}},
    )
    async def annotated(request: Request, job: str) -> StreamingResponse:
        return await _file(request, clips.jobs, job, ANNOTATED, "video/mp4")


async def _file(request: Request, jobs: Jobs, job: str, name: str, kind: str) -> StreamingResponse:
    """Answer with a result of a job. Raises RefusalError: when there is none."""
    found = jobs.get(job, _client(request, "counts").name)
    if found.state != "done":
        why = found.problem or f"it is {found.state}: ask again later"
        raise RefusalError(HTTPStatus.CONFLICT, f"the job has no result, {why}")
    if name == ANNOTATED and not found.wanted.annotate:
        raise RefusalError(HTTPStatus.NOT_FOUND, "no annotated video was asked for: send the clip with annotate=true")
    opened = await asyncio.to_thread(open_result, jobs.folder(job) / name, request.headers.get("range"))
    return StreamingResponse(opened.pieces(), opened.status, opened.headers, kind)


def _add_state(api: FastAPI, service: Service) -> None:
    @api.get("/models", summary="Models that can be asked for", responses=PROBLEMS)
    async def models(request: Request) -> Models:
        _client(request, "predict")
        return Models(models=service.predictor.models)

    @api.get("/health", summary="Whether the service lives, and whether it takes work")
    async def health() -> Health:
        return service.health

    @api.get("/health/live", summary="200 while the service lives")
    async def live() -> Health:
        return service.health

    @api.get(
        "/health/ready",
        summary="200 while it takes work, else 503",
        responses={503: {"model": Health, "description": "It takes no work: a thread has failed or it stops."}},
    )
    async def ready(response: Response) -> Health:
        found = service.health
        if not found.ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return found

    @api.get("/metrics", summary="Figures for Prometheus", responses={**PROBLEMS, 200: {"content": {KIND: {}}}})
    async def metrics(request: Request) -> Response:
        _client(request, "metrics")
        return Response(service.metrics.text(), media_type=KIND)


def _client(request: Request, scope: str) -> Client:
    client: Client = request.state.client
    client.needs(scope)
    return client


def _body(
    request: Request, limits: BodyLimits, budget: Budget, client: Client
) -> AbstractAsyncContextManager[bytearray]:
    return in_memory(request.stream(), limits, request.headers.get("content-length"), budget, client.name)


async def _on_refusal(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusalError)
    body, headers = problem_of(error)
    return Response(body, error.status, headers)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = str(first["loc"][1]) if len(first["loc"]) > 1 else "request"
    sentence = f"{where}: {str(first['msg']).lower()}, see /docs"
    return await _on_refusal(_request, RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    sentences = {
        HTTPStatus.NOT_FOUND: "there is no such address: /docs lists them",
        HTTPStatus.METHOD_NOT_ALLOWED: "this address takes another method: /docs lists them",
    }
    answer = await _on_refusal(request, RefusalError(status, sentences.get(status, str(error.detail))))
    if status == HTTPStatus.METHOD_NOT_ALLOWED:  # Starlette names those of the first route alone
        routes = [route for route in request.app.routes if route.matches(request.scope)[0] != Match.NONE]
        answer.headers["allow"] = ", ".join(sorted({method for route in routes for method in route.methods}))
    return answer


async def _on_gone(_request: Request, _error: Exception) -> Response:
    """Answer nobody: the client has left in the middle of its body."""
    return await _on_refusal(_request, RefusalError(HTTPStatus.BAD_REQUEST, "the body has ended too early"))


_HANDLERS: Final = {
    RefusalError: _on_refusal,
    RequestValidationError: _on_invalid,
    HTTPException: _on_http,
    ClientDisconnect: _on_gone,
}
