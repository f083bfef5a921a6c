"""Serves one text over HTTP/1.1 at /metrics, from a single daemon thread: standard library, no vendor.

prometheus_client brings a server too, but that begins a thread for each connection, without a limit and without a
time-out: clients that say nothing would use up the unit's TasksMax, which the threads that count need.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Final

from edge_app.errors import MetricsError

log = logging.getLogger(__name__)

_PATH: Final = "/metrics"
_LONGEST: Final = 8192
"""Bytes of a request; asyncio's reader refuses more."""
_PATIENCE_S: Final = 5.0
"""For a whole request and its answer."""
_GUESTS: Final = 16
"""Connections at a time; more wait in the kernel's queue."""
_PAUSE_S: Final = 0.02
"""From one connection to the next, so that a flood of them takes no time from the threads that count."""
_FRESH_S: Final = 0.5
"""The text is made no more often, however many ask: making it takes time from the threads that count."""


class MetricsServer:
    """Serves while it is entered. port: 0 takes a free one. kind: the text's media type. Raises MetricsError."""

    def __init__(self, text: Callable[[], bytes], kind: str, *, address: str = "127.0.0.1", port: int = 0) -> None:
        self._text, self._kind = text, kind
        self._made, self._made_at = b"", -_FRESH_S
        self._fault = ""
        self._guests: set[asyncio.Task[None]] = set()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            self._listener = socket.create_server((address, port), family=family)
        except OSError as error:
            raise MetricsError(
                f"no metrics: cannot listen on {address}:{port} ({os.strerror(error.errno or 0)}); set metrics.port to "
                "a free one and metrics.address to one of this device"
            ) from error
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self._loop, self._stop = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._main, name="metrics", daemon=True)

    def __enter__(self) -> MetricsServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_PATIENCE_S)
        self._listener.close()

    def _main(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:  # counting goes on without; the scrape that fails tells whom it concerns
            log.exception("metrics are no longer served")
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        door, told = asyncio.create_task(self._receive()), asyncio.create_task(self._stop.wait())
        await asyncio.wait((door, told), return_when=asyncio.FIRST_COMPLETED)
        for task in (door, told, *self._guests):
            task.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await door

    async def _receive(self) -> None:
        room = asyncio.Semaphore(_GUESTS)
        while True:
            await room.acquire()
            connection, _ = await self._accept()
            guest = asyncio.create_task(self._meet(connection))
            self._guests.add(guest)
            guest.add_done_callback(self._guests.discard)
            guest.add_done_callback(lambda _: room.release())
            await asyncio.sleep(_PAUSE_S)

    async def _accept(self) -> tuple[socket.socket, object]:
        while True:
            try:
                return await self._loop.sock_accept(self._listener)
            except OSError as error:  # whoever came has gone again, or the process has no file left
                log.debug("a connection was not made: %s", error)
                await asyncio.sleep(1.0)

    async def _meet(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=_LONGEST)
        except OSError:
            connection.close()
            return
        try:
            await asyncio.wait_for(self._talk(reader, writer), _PATIENCE_S)
        except (OSError, asyncio.TimeoutError):
            pass  # whoever asked has gone, never did ask, or does not read
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            status, body, bare = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b"", False
        except asyncio.IncompleteReadError:
            return
        else:
            status, body, bare = self._answer(head)
        writer.write(_reply(status, self._kind, body, bare=bare))
        writer.close()
        await writer.wait_closed()  # not before all is sent

    def _answer(self, head: bytes) -> tuple[HTTPStatus, bytes, bool]:
        """Status, body, and whether only its length is wanted."""
        parts = head.partition(b"\r\n")[0].split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
            return HTTPStatus.BAD_REQUEST, b"", False
        method, path = parts[0], parts[1].partition(b"?")[0]
        if path != _PATH.encode():
            return HTTPStatus.NOT_FOUND, b"", False
        if method not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, b"", False
        return (*self._figures(), method == b"HEAD")

    def _figures(self) -> tuple[HTTPStatus, bytes]:
        if time.monotonic() - self._made_at < _FRESH_S:
            return HTTPStatus.OK, self._made
        try:
            self._made = self._text()
        except Exception as fault:  # a figure that cannot be had is no reason to stop what serves the others later
            if repr(fault) != self._fault:
                self._fault = repr(fault)
                log.exception("metrics cannot be gathered")
            return HTTPStatus.INTERNAL_SERVER_ERROR, b""
        self._made_at = time.monotonic()
        return HTTPStatus.OK, self._made


def _reply(status: HTTPStatus, kind: str, body: bytes, *, bare: bool) -> bytes:
    if status != HTTPStatus.OK:
        kind, body = "text/plain; charset=utf-8", f"{status.value} {status.phrase}; figures are at {_PATH}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *(["Allow: GET, HEAD"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []),
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + (b"" if bare else body)
