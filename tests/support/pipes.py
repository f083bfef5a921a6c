"""Pipes that nobody reads, for tests."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

_SIZE = 4096


@contextmanager
def full_pipe() -> Iterator[tuple[int, int]]:
    """Yield reading and writing end of a pipe that is full: a write to it waits until somebody reads."""
    reading, writing = os.pipe()
    try:
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _SIZE)
        os.set_blocking(writing, False)
        try:
            while os.write(writing, b"x" * _SIZE):
                pass
        except BlockingIOError:
            os.set_blocking(writing, True)
        yield reading, writing
    finally:
        os.close(reading)
        os.close(writing)


def read_all(reading: int) -> str:
    """Return what is in a pipe now, without the bytes that filled it."""
    os.set_blocking(reading, False)
    parts = []
    try:
        while part := os.read(reading, _SIZE):
            parts.append(part)
    except BlockingIOError:
        pass
    return b"".join(parts).decode().lstrip("x")
