"""Serve one text over HTTP/1.1 at /metrics from a single daemon thread; standard library only.

prometheus_client has a server too, but it starts a thread for each connection, without limit and without time-out:
clients that send nothing would use up the unit's TasksMax, which the counting threads need.
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
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

_PATH: Final = "/metrics"
_MAX_REQUEST: Final = 8192
"""Bytes of a request; asyncio's reader refuses a longer one."""
_TIMEOUT_S: Final = 5.0
"""Limit for a whole request and its answer."""
_MAX_CLIENTS: Final = 16
"""Connections served at a time; more wait in the kernel's queue."""
_ACCEPT_PAUSE_S: Final = 0.02
"""Wait from one connection to the next, so that a flood of them takes no time from the counting threads."""
_CACHE_S: Final = 0.5
"""Age up to which a text is served again: making one takes time from the counting threads."""


class MetricsServer:
    """HTTP server that runs while it is entered as a context.

    text: makes the text to serve; called in the server's thread. kind: its media type.
    address, port: where to listen; port 0 takes a free one, `port` is the actual one.
    Raises MetricsError: when it cannot listen there.
    """

    def __init__(self, text: Callable[[], bytes], kind: str, *, address: str = "127.0.0.1", port: int = 0) -> None:
        self._text, self._kind = text, kind
        self._cached, self._cached_at = b"", -_CACHE_S
        self._fault = ""
        self._clients: set[asyncio.Task[None]] = set()
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
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has failed
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_TIMEOUT_S)
        self._listener.close()

    def _main(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:  # counting goes on without metrics; Prometheus sees that scrapes fail
            log.exception("metrics are no longer served")
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        accept_task = asyncio.create_task(self._accept_clients())
        stop_task = asyncio.create_task(self._stop.wait())
        await asyncio.wait((accept_task, stop_task), return_when=asyncio.FIRST_COMPLETED)
        for task in (accept_task, stop_task, *self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        with contextlib.suppress(asyncio.CancelledError):
            await accept_task

    async def _accept_clients(self) -> None:
        free = asyncio.Semaphore(_MAX_CLIENTS)
        while True:
            await free.acquire()
            connection, _ = await self._accept()
            client = asyncio.create_task(self._handle(connection))
            self._clients.add(client)
            client.add_done_callback(self._clients.discard)
            client.add_done_callback(lambda _: free.release())
            await asyncio.sleep(_ACCEPT_PAUSE_S)

    async def _accept(self) -> tuple[socket.socket, object]:
        while True:
            try:
                return await self._loop.sock_accept(self._listener)
            except OSError as error:  # the client has left already, or the process has no file descriptor left
                log.debug("a connection was not made: %s", error)
                await asyncio.sleep(1.0)

    async def _handle(self, connection: socket.socket) -> None:
        try:
            reader, writer = await asyncio.open_connection(sock=connection, limit=_MAX_REQUEST)
        except OSError:
            connection.close()
            return
        try:
            await asyncio.wait_for(self._answer(reader, writer), _TIMEOUT_S)
        except (OSError, asyncio.TimeoutError):
            pass  # the client has left, sent no full request or does not read the answer
        finally:
            writer.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            status, body, head_only = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, b"", False
        except asyncio.IncompleteReadError:
            return
        else:
            status, body, head_only = self._route(head)
        writer.write(_response(status, self._kind, body, head_only=head_only))
        writer.close()
        await writer.wait_closed()  # returns when everything is sent

    def _route(self, head: bytes) -> tuple[HTTPStatus, bytes, bool]:
        """Return status, body and True for a HEAD request, whose answer has no body."""
        parts = head.partition(b"\r\n")[0].split(b" ")
        if len(parts) != 3 or not parts[2].startswith(b"HTTP/1."):
            return HTTPStatus.BAD_REQUEST, b"", False
        method, path = parts[0], parts[1].partition(b"?")[0]
        if path != _PATH.encode():
            return HTTPStatus.NOT_FOUND, b"", False
        if method not in (b"GET", b"HEAD"):
            return HTTPStatus.METHOD_NOT_ALLOWED, b"", False
        return (*self._metrics(), method == b"HEAD")

    def _metrics(self) -> tuple[HTTPStatus, bytes]:
        if time.monotonic() - self._cached_at < _CACHE_S:
            return HTTPStatus.OK, self._cached
        try:
            self._cached = self._text()
        except Exception as fault:  # one metric that cannot be read now must not end the server
            if repr(fault) != self._fault:
                self._fault = repr(fault)
                log.exception("metrics cannot be gathered")
            return HTTPStatus.INTERNAL_SERVER_ERROR, b""
        self._cached_at = time.monotonic()
        return HTTPStatus.OK, self._cached


def _response(status: HTTPStatus, kind: str, body: bytes, *, head_only: bool) -> bytes:
    if status != HTTPStatus.OK:
        kind, body = "text/plain; charset=utf-8", f"{status.value} {status.phrase}; metrics are at {_PATH}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body)}",
        *(["Allow: GET, HEAD"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []),
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    )
    return "\r\n".join(head).encode() + b"\r\n\r\n" + (b"" if head_only else body)
