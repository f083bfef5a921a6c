"""Open results of jobs before the head of an answer is sent: what is deleted meanwhile is still sent as a whole."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import BinaryIO, Final

from edge_app.http.problems import RefusalError

log = logging.getLogger(__name__)

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_PIECE: Final = 262_144
"""Bytes that are read at once."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An open file, of which the bytes from start up to stop are wanted."""

    file: BinaryIO
    size: int
    start: int
    stop: int

    @property
    def status(self) -> HTTPStatus:
        return HTTPStatus.OK if self.stop - self.start == self.size else HTTPStatus.PARTIAL_CONTENT

    @property
    def headers(self) -> dict[str, str]:
        """Headers of its answer."""
        always = {"content-length": str(self.stop - self.start), "accept-ranges": "bytes"}
        if self.status == HTTPStatus.OK:
            return always
        return {**always, "content-range": f"bytes {self.start}-{self.stop - 1}/{self.size}"}

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the bytes that are wanted, then close the file. Raises OSError."""
        with self.file:
            self.file.seek(self.start)
            left = self.stop - self.start
            while left:
                piece = await asyncio.to_thread(self.file.read, min(left, _PIECE))
                if not piece:
                    raise OSError("a result is shorter than it was")
                left -= len(piece)
                yield piece


def open_result(path: Path, asked: str | None) -> Opened:
    """Open a file. asked: the header Range; what is not one range of bytes is ignored (RFC 9110, 14.2).

    Raises RefusalError: when the file has gone, cannot be read, or ends before the range begins.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise RefusalError(HTTPStatus.NOT_FOUND, "the job has been removed meanwhile") from None
    except OSError as error:
        log.error("a result cannot be read: %s", error.strerror)
        sentence = "the service cannot read the result: its disk fails, tell whoever runs it"
        raise RefusalError(HTTPStatus.INSUFFICIENT_STORAGE, sentence) from error
    size = os.fstat(file.fileno()).st_size
    start, stop = _span(asked or "", size)
    if start >= stop and size:
        file.close()
        raise RefusalError(
            HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"the result has {size:,} bytes: ask for a range within"
        )
    return Opened(file, size, start, stop)


def _span(asked: str, size: int) -> tuple[int, int]:
    found = _RANGE.fullmatch(asked)
    if found is None or not any(found.groups()):
        return 0, size
    if not found[1]:  # so many at the end
        return max(0, size - int(found[2])), size
    if found[2] and int(found[2]) < int(found[1]):  # no range
        return 0, size
    return int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
