"""Serve one text over HTTP at /metrics, by the same bounded server as the local page.

prometheus_client has a server too, but it starts a thread for each connection, without limit and without time-out:
clients that send nothing would use up the unit's TasksMax, which the counting threads need.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Final

from edge_app.errors import MetricsError
from edge_app.system.bounded_server import BoundedServer
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

_PATH: Final = "/metrics"
_TIMEOUT_S: Final = 5.0
"""Limit for a whole request and its answer."""
_MAX_CLIENTS: Final = 16
"""Connections at a time; further ones are closed at once, and Prometheus asks again."""
_PAUSE_S: Final = 0.02
_CACHE_S: Final = 0.5
"""Age up to which a text is served again: making one takes time from the counting threads."""


class MetricsServer:
    """HTTP server that runs while it is entered as a context.

    text: makes the text to serve; called in one thread at a time. kind: its media type.
    address, port: where to listen; port 0 takes a free one, `port` is the actual one.
    Raises MetricsError: when it cannot listen there.
    """

    def __init__(self, text: Callable[[], bytes], kind: str, *, address: str = "127.0.0.1", port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"text": _Cached(text), "kind": kind})
        try:
            self._server = BoundedServer(
                (address, port), handler, connections=_MAX_CLIENTS, total_s=_TIMEOUT_S, pause_s=_PAUSE_S
            )
        except OSError as error:
            raise MetricsError(
                f"no metrics: cannot listen on {address}:{port} ({os.strerror(error.errno or 0)}); set metrics.port to "
                "a free one and metrics.address to one of this device"
            ) from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._main, name="metrics", daemon=True)

    @property
    def clients(self) -> int:
        """Number of connections that are open now."""
        return self._server.open_connections

    def __enter__(self) -> MetricsServer:
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _main(self) -> None:
        try:
            self._server.serve_forever(0.2)
        except Exception:  # counting goes on without metrics; Prometheus sees that scrapes fail
            log.exception("metrics are no longer served")


class _Cached:
    """The newest text, made at most twice a second."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._make, self._lock = make, threading.Lock()
        self._text, self._at, self._fault = b"", -_CACHE_S, ""

    def get(self) -> bytes | None:
        """Return the text; None when it cannot be made, which is logged once."""
        with self._lock:
            if time.monotonic() - self._at < _CACHE_S:
                return self._text
            try:
                self._text = self._make()
            except Exception as fault:  # one metric that cannot be read now must not end the server
                if repr(fault) != self._fault:
                    self._fault = repr(fault)
                    log.exception("metrics cannot be gathered")
                return None
            self._at = time.monotonic()
            return self._text


class _Handler(BaseHTTPRequestHandler):
    text: ClassVar[_Cached]
    kind: ClassVar[str]
    timeout = _TIMEOUT_S
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "edge-app", ""

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has left, sent no full request or does not read the answer
            super().handle()

    def do_GET(self) -> None:
        if self.path.partition("?")[0] != _PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
        elif (text := self.text.get()) is None:
            self.send_error(HTTPStatus.INTERNAL_SERVER_ERROR)
        else:
            self._send(HTTPStatus.OK, self.kind, text)

    def do_HEAD(self) -> None:
        self.do_GET()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send a refusal in one line, without anything of the request."""
        del message, explain
        status = HTTPStatus(code)
        text = f"{status.value} {status.phrase}; metrics are at {_PATH}\n"
        self._send(status, "text/plain; charset=utf-8", text.encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.close_connection = True
        self.request_version = self.protocol_version  # an unreadable request is answered with a head, too
        self.send_response(status)
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
        for name, value in (headers | {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log no request."""
