"""The pictures of one request: taken out of its form, looked at, and let go of when their sender has left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from http import HTTPStatus

from edge_app.http.problems import Problem, RefusalError
from edge_app.serve.answers import NamedAnswer
from edge_app.serve.description import MOST_PICTURES
from edge_app.serve.entrance import Receive
from edge_app.serve.multipart import Part, parts_of
from edge_app.serve.predictor import Found


def files_of(body: bytearray, content_type: str) -> list[Part]:
    """Return the files of a form. Raises RefusalError: when it is broken, or holds none or too many."""
    files = [part for part in parts_of(body, content_type, MOST_PICTURES) if part.file]
    if not files:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "the form holds no file: send pictures as files")
    return files


def first_file(body: bytearray, content_type: str) -> bytes:
    """Return the first file of a form. Raises RefusalError: as `files_of`."""
    return files_of(body, content_type)[0].content


async def answer_each(
    receive: Receive, pictures: Sequence[Part], submit: Callable[[bytes], Future[Found]], at_once: int
) -> tuple[NamedAnswer, ...]:
    """Return an answer for each picture, in their order. receive: of ASGI. at_once: pictures under way at a time."""
    room = asyncio.Semaphore(at_once)

    async def answer(picture: Part) -> NamedAnswer:
        async with room:
            try:
                found = await unless_gone(receive, submit(picture.content))
            except RefusalError as refused:
                return NamedAnswer(name=picture.file, problem=_problem(refused))
        return NamedAnswer(name=picture.file, prediction=found.prediction)

    return tuple(await asyncio.gather(*map(answer, pictures)))


def _problem(refused: RefusalError) -> Problem:
    return Problem(title=refused.status.phrase, status=refused.status.value, detail=refused.sentence)


async def unless_gone(receive: Receive, begun: Future[Found]) -> Found:
    """Wait for a result; one that nobody will read any more is taken out of the queue. receive: of ASGI."""
    waiting = asyncio.wrap_future(begun)
    gone = asyncio.ensure_future(_left(receive))
    try:
        await asyncio.wait((waiting, gone), return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise RefusalError(HTTPStatus.BAD_REQUEST, "the client has left")
        return waiting.result()
    finally:
        gone.cancel()
        waiting.cancel()


async def _left(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
