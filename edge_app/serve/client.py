"""Typed client of the service, sync and async. The only file that imports httpx.

    with Client("http://127.0.0.1:8765") as service:
        for box in service.predict(Path("road.jpg")).boxes:
            print(box.label, box.score, box.px)

A service that is busy is asked again after the seconds that it names, and one that cannot be reached after a second.
Every method raises RefusalError: when the service refuses; ServeError: when it cannot be reached, or answers with
something else. One that takes a file raises OSError: when it cannot be read; TypeError: for what is neither content nor
a path. A clip is sent again only while it cannot have been taken: a second job would count it twice.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from edge_app.errors import ConfigError, ServeError
from edge_app.http.problems import Problem, RefusalError
from edge_app.serve.answers import CONFIDENCE, Batch, ModelAnswer, Models, NamedAnswer, Prediction
from edge_app.serve.jobs import Job

_T = TypeVar("_T")
_BUSY: Final = (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS)
_LONGEST_PAUSE_S: Final = 60.0
_PIECE: Final = 1_000_000
_JOBS: Final = TypeAdapter(list[Job])
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.WriteError, httpx.WriteTimeout)
"""Faults before the end of a body: the service cannot have taken it."""

Picture = bytes | bytearray | memoryview | str | Path
"""Content of a picture, or the path of its file."""


@dataclass(frozen=True, slots=True)
class _Call:
    """One request. clip: file that is its body, opened anew for each try."""

    method: str
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    content: bytes | None = None
    files: Sequence[tuple[str, tuple[str, bytes]]] | None = None
    clip: Path | None = None


def _predict(picture: Picture, model: str, confidence: float, form: str) -> _Call:
    params = {"model": model, "confidence": confidence, "format": form}
    return _Call("POST", "/predict", params, content=_content(picture))


def _batch(pictures: Mapping[str, Picture], model: str, confidence: float) -> _Call:
    files = [("picture", (name, _content(picture))) for name, picture in pictures.items()]
    return _Call("POST", "/predict/batch", {"model": model, "confidence": confidence}, files=files)


def _count(clip: str | Path, lines: Sequence[str], model: str, annotate: bool) -> _Call:
    if isinstance(lines, str):
        raise TypeError('lines is a list: ["main:0.5,0.95,0.5,0.4"]')
    clip = Path(clip)
    params = {"line": list(lines), "name": clip.name, "model": model, "annotate": annotate}
    return _Call("POST", "/counts", params, clip=clip)


def _content(picture: Picture) -> bytes:
    if isinstance(picture, (str, Path)):
        return Path(picture).read_bytes()
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return bytes(picture)
    raise TypeError(f"a picture is its bytes or the path of its file, not {type(picture).__name__}")


def _pause_s(call: _Call, answer: httpx.Response | None, fault: httpx.RequestError | None) -> float | None:
    """Return the wait before another try; None when another one is of no use, or could begin a second job.

    answer: None when there was none, but a fault.
    """
    if answer is None:
        return 1.0 if not call.clip or isinstance(fault, _UNSENT) else None
    named = _retry_after_s(answer)
    if answer.status_code not in _BUSY or (call.clip and named is None):
        return None
    return 1.0 if named is None else min(_LONGEST_PAUSE_S, float(named))


def _retry_after_s(answer: httpx.Response) -> int | None:
    named = answer.headers.get("retry-after", "")
    return int(named) if named.isdecimal() else None


def _checked(answer: httpx.Response) -> bytes:
    """Return the body of a good answer. Raises RefusalError: for every other."""
    if answer.is_success:
        return answer.content
    try:
        sentence = Problem.model_validate_json(answer.content).detail
    except ValidationError:
        sentence = f"the service answered {answer.status_code} without a reason"
    try:
        status = HTTPStatus(answer.status_code)
    except ValueError:  # such as 520 of a proxy
        status = HTTPStatus.BAD_GATEWAY
    raise RefusalError(status, sentence, _retry_after_s(answer))


def _valid(read: Callable[[bytes], _T], body: bytes) -> _T:
    """Return what an answer says. Raises ServeError: when it is not of this service."""
    try:
        return read(body)
    except ValueError as error:
        raise ServeError("the address answers with something else than `edge-app serve` does: is it right?") from error


def _unreachable(url: str, call: _Call, error: httpx.RequestError) -> ServeError:
    why = str(error) or type(error).__name__
    if call.clip and not isinstance(error, _UNSENT):
        return ServeError(
            f"the service at {url} has not answered for {call.clip} ({why.lower()}): it may have a job for it, so look "
            "at the jobs before the clip is sent again"
        )
    return ServeError(f"the service at {url} cannot be reached ({why.lower()}): is it running there?")


def _settings(url: str, token: str, timeout_s: float) -> dict[str, Any]:
    """Return the settings of a client. Raises ConfigError: for what is no URL of HTTP, or no token."""
    if not all("!" <= sign <= "~" for sign in token):
        raise ConfigError("the token (EDGE_APP_TOKEN) has a space or a sign that no token has: copy it again")
    if not re.match("https?://[^/]", url, re.IGNORECASE):
        hint = "begin with http:// or https://" if "://" in url else f"write http://{url}"
        raise ConfigError(f'"{url}" is no address of a service: {hint}')
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigError(f'"{url}" is no address of a service: {str(error).lower()}') from error
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return {"base_url": url, "headers": headers, "timeout": timeout_s}


class Client:
    """Client for programs without an event loop; a context manager.

    url: of the service. token: one of its tokens, "" for none. timeout_s: longest silence. tries: of each request.
    sleep: waits between them. Raises ServeError: when the URL is none of HTTP.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout_s: float = 60.0,
        tries: int = 5,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._url, self._tries, self._sleep = url, tries, sleep
        self._http = httpx.Client(**_settings(url, token, timeout_s))

    def predict(self, picture: Picture, *, model: str = "", confidence: float = CONFIDENCE) -> Prediction:
        """Return the boxes of a picture."""
        return _valid(Prediction.model_validate_json, self._send(_predict(picture, model, confidence, "json")))

    def draw(self, picture: Picture, *, model: str = "", confidence: float = CONFIDENCE) -> bytes:
        """Return a picture with its boxes drawn, as JPEG."""
        return self._send(_predict(picture, model, confidence, "image"))

    def predict_batch(
        self, pictures: Mapping[str, Picture], *, model: str = "", confidence: float = CONFIDENCE
    ) -> tuple[NamedAnswer, ...]:
        """Return an answer or a problem for each picture, by name and in their order."""
        return _valid(Batch.model_validate_json, self._send(_batch(pictures, model, confidence))).answers

    def models(self) -> tuple[ModelAnswer, ...]:
        """Return the models, the default first."""
        return _valid(Models.model_validate_json, self._send(_Call("GET", "/models"))).models

    def count(self, clip: str | Path, lines: Sequence[str], *, model: str = "", annotate: bool = False) -> Job:
        """Send a clip to be counted and return its job. lines: as "ID:x0,y0,x1,y1" in 0..1 of the picture."""
        return _valid(Job.model_validate_json, self._send(_count(clip, lines, model, annotate)))

    def job(self, job: str) -> Job:
        """Return how far a job is. job: its id."""
        return _valid(Job.model_validate_json, self._send(_Call("GET", f"/counts/{job}")))

    def jobs(self) -> list[Job]:
        """Return the jobs of this client, the newest first."""
        return _valid(_JOBS.validate_json, self._send(_Call("GET", "/counts")))

    def remove(self, job: str) -> None:
        """Cancel a job if it is not over, and remove it with its results."""
        self._send(_Call("DELETE", f"/counts/{job}"))

    def wait(self, job: str, on_progress: Callable[[Job], None] = lambda _job: None, every_s: float = 1.0) -> Job:
        """Return a job when it is over. on_progress: called about every `every_s` s."""
        while not (found := self.job(job)).over:
            on_progress(found)
            self._sleep(every_s)
        return found

    def result(self, job: str) -> dict[str, Any]:
        """Return the result of a job, as `edge-app count --out` writes it."""
        found: dict[str, Any] = _valid(json.loads, self._send(_Call("GET", f"/counts/{job}/result")))
        return found

    def annotated(self, job: str) -> bytes:
        """Return the annotated video of a job, MP4."""
        return self._send(_Call("GET", f"/counts/{job}/annotated"))

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, call: _Call) -> bytes:
        for left in reversed(range(self._tries)):
            answer, fault = self._try(call)
            pause = _pause_s(call, answer, fault)
            if answer is not None and (pause is None or not left):
                return _checked(answer)
            if fault is not None and (pause is None or not left):
                raise _unreachable(self._url, call, fault) from fault
            self._sleep(pause or 0.0)
        raise AssertionError("the last try returns or raises")

    def _try(self, call: _Call) -> tuple[httpx.Response | None, httpx.RequestError | None]:
        content = _pieces(call.clip) if call.clip else call.content
        try:
            return self._http.request(
                call.method, call.path, params=call.params, content=content, files=call.files
            ), None
        except httpx.RequestError as error:
            return None, error


class AsyncClient:
    """Client for programs with an event loop; an asynchronous context manager. Arguments as of `Client`."""

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout_s: float = 60.0,
        tries: int = 5,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._url, self._tries, self._sleep = url, tries, sleep
        self._http = httpx.AsyncClient(**_settings(url, token, timeout_s))

    async def predict(self, picture: Picture, *, model: str = "", confidence: float = CONFIDENCE) -> Prediction:
        """Return the boxes of a picture."""
        return _valid(Prediction.model_validate_json, await self._send(_predict(picture, model, confidence, "json")))

    async def draw(self, picture: Picture, *, model: str = "", confidence: float = CONFIDENCE) -> bytes:
        """Return a picture with its boxes drawn, as JPEG."""
        return await self._send(_predict(picture, model, confidence, "image"))

    async def predict_batch(
        self, pictures: Mapping[str, Picture], *, model: str = "", confidence: float = CONFIDENCE
    ) -> tuple[NamedAnswer, ...]:
        """Return an answer or a problem for each picture, by name and in their order."""
        return _valid(Batch.model_validate_json, await self._send(_batch(pictures, model, confidence))).answers

    async def models(self) -> tuple[ModelAnswer, ...]:
        """Return the models, the default first."""
        return _valid(Models.model_validate_json, await self._send(_Call("GET", "/models"))).models

    async def count(self, clip: str | Path, lines: Sequence[str], *, model: str = "", annotate: bool = False) -> Job:
        """Send a clip to be counted and return its job. lines: as "ID:x0,y0,x1,y1" in 0..1 of the picture."""
        return _valid(Job.model_validate_json, await self._send(_count(clip, lines, model, annotate)))

    async def job(self, job: str) -> Job:
        """Return how far a job is. job: its id."""
        return _valid(Job.model_validate_json, await self._send(_Call("GET", f"/counts/{job}")))

    async def jobs(self) -> list[Job]:
        """Return the jobs of this client, the newest first."""
        return _valid(_JOBS.validate_json, await self._send(_Call("GET", "/counts")))

    async def remove(self, job: str) -> None:
        """Cancel a job if it is not over, and remove it with its results."""
        await self._send(_Call("DELETE", f"/counts/{job}"))

    async def wait(self, job: str, on_progress: Callable[[Job], None] = lambda _job: None, every_s: float = 1.0) -> Job:
        """Return a job when it is over. on_progress: called about every `every_s` s."""
        while not (found := await self.job(job)).over:
            on_progress(found)
            await self._sleep(every_s)
        return found

    async def result(self, job: str) -> dict[str, Any]:
        """Return the result of a job, as `edge-app count --out` writes it."""
        found: dict[str, Any] = _valid(json.loads, await self._send(_Call("GET", f"/counts/{job}/result")))
        return found

    async def annotated(self, job: str) -> bytes:
        """Return the annotated video of a job, MP4."""
        return await self._send(_Call("GET", f"/counts/{job}/annotated"))

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, call: _Call) -> bytes:
        for left in reversed(range(self._tries)):
            answer, fault = await self._try(call)
            pause = _pause_s(call, answer, fault)
            if answer is not None and (pause is None or not left):
                return _checked(answer)
            if fault is not None and (pause is None or not left):
                raise _unreachable(self._url, call, fault) from fault
            await self._sleep(pause or 0.0)
        raise AssertionError("the last try returns or raises")

    async def _try(self, call: _Call) -> tuple[httpx.Response | None, httpx.RequestError | None]:
        content = _pieces_async(call.clip) if call.clip else call.content
        try:
            return await self._http.request(
                call.method, call.path, params=call.params, content=content, files=call.files
            ), None
        except httpx.RequestError as error:
            return None, error


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


async def _pieces_async(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE):
            yield piece
