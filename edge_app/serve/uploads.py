"""Take clips in: onto the disk as they come, told by their content, with a place reserved before the first byte."""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Final

from edge_app.errors import ConfigError
from edge_app.http.problems import RefusalError
from edge_app.serve.bodies import BodyLimits, timed
from edge_app.serve.clips import ENOUGH, clip_kind
from edge_app.serve.counting import Counting
from edge_app.serve.jobs import CLIP, Job, Jobs, Wanted

_PIECE: Final = 1_000_000
"""Bytes that are written at once."""
_MOST_NAME: Final = 100
"""Bytes of a file's name; file systems take 143 or 255."""
_UNSAFE: Final = re.compile(r"[^\w. -]+")


@dataclass(frozen=True, slots=True)
class Clips:
    """What takes clips. limits: of one clip. models: names that may be asked for, the default first.

    check_lines: raises ConfigError for lines that cannot be counted on.
    """

    jobs: Jobs
    counting: Counting
    limits: BodyLimits
    models: Sequence[str]
    check_lines: Callable[[Sequence[str]], object]

    async def take(self, client: str, wanted: Wanted, stream: AsyncIterator[bytes], announced: str | None) -> Job:
        """Write a clip to disk and have it counted. announced: its Content-Length, if it has one.

        Raises RefusalError: for wrong lines or models, what is no video, too many bytes, a full disk or queue.
        """
        wanted = self._checked(wanted)
        self.counting.reserve(client)
        job = ""
        try:
            job = self.jobs.new_id()
            await _write(timed(stream, self.limits, announced), self.jobs.folder(job) / CLIP / wanted.name)
            made = self.jobs.add(job, client, wanted)
            self.counting.add(made)
            return made
        except OSError as error:
            self.jobs.discard(job)
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = "its disk is full" if full else "its disk fails"
            raise RefusalError(
                HTTPStatus.INSUFFICIENT_STORAGE, f"the service cannot keep the clip: {why}; tell whoever runs it"
            ) from error
        except BaseException:
            self.jobs.discard(job)
            raise
        finally:
            self.counting.release(client)

    def _checked(self, wanted: Wanted) -> Wanted:
        """Return what is wanted with the model's name filled in and a name that is safe as a file's."""
        try:
            self.check_lines(wanted.lines)
        except ConfigError as error:
            sentence = error.problems[0].removeprefix("--")
            raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence) from None
        model = wanted.model or self.models[0]
        if model not in self.models:
            known = ", ".join(self.models)
            raise RefusalError(HTTPStatus.NOT_FOUND, f'there is no model "{model[:80]}": ask for one of {known}')
        name = _UNSAFE.sub("_", wanted.name).encode()[-_MOST_NAME:].decode(errors="ignore").lstrip(".- ") or "clip.mp4"
        return wanted.model_copy(update={"model": model, "name": name})


async def _write(pieces: AsyncIterator[bytes], path: Path) -> None:
    """Write a clip piece by piece, outside of the event loop. Raises OSError, and RefusalError: for no video."""
    gathered, known = bytearray(), False
    with path.open("wb") as file:
        async for piece in pieces:
            gathered += piece
            if not known and len(gathered) >= ENOUGH:
                known = _refuse_other(gathered)
            if len(gathered) >= _PIECE:
                await asyncio.to_thread(file.write, gathered)
                gathered = bytearray()
        if not known:
            _refuse_other(gathered)
        await asyncio.to_thread(file.write, gathered)


def _refuse_other(first: bytes | bytearray) -> bool:
    if not first:
        raise RefusalError(HTTPStatus.BAD_REQUEST, "there is no clip: the body is empty")
    if clip_kind(bytes(first[:ENOUGH])) is None:
        raise RefusalError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "this is no clip: send MP4, QuickTime, Matroska, WebM, AVI or MPEG"
        )
    return True
