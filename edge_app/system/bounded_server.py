"""Limit the connections of an HTTP server and their duration, which the standard library's server does not limit."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

log = logging.getLogger(__name__)

_LEAVE_S: Final = 5.0
"""Longest wait for the answers that are being made when the server is closed."""


class BoundedServer(ThreadingHTTPServer):
    """HTTP server with a limit on the number of its connections and on the duration of each.

    connections: most connections at a time; further ones are closed at once. each: most of them from one address, so
    that others get in while one keeps all of its own busy; as many as there are by default. total_s: longest duration
    of one, from its acceptance to the end of the answer, s. A handler's `timeout` limits each read, not their sum: a
    client that sends a byte now and then would keep a thread for ever. pause_s: wait from one connection to the next,
    so that a flood of them leaves time to the other threads of the process. Raises OSError when the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128
    """Connections that wait to be accepted. With the usual five a burst of others keeps a person out for seconds."""

    def __init__(
        self,
        address: tuple[str, int],
        handler: type[BaseHTTPRequestHandler],
        *,
        connections: int = 16,
        each: int | None = None,
        total_s: float = 20.0,
        pause_s: float = 0.0,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._pause_s = pause_s
        self._connections, self._each, self._total_s = connections, each or connections, total_s
        self._accepted_at: dict[Any, float] = {}
        self._peers: dict[Any, str] = {}
        self._lock = threading.Condition()
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind to the address. HTTPServer would look its name up in the domain name system, which may take long."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def open_connections(self) -> int:
        """Number of connections that are answered now."""
        return len(self._accepted_at)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether one more connection is allowed, and record its time if so."""
        peer = str(client_address[0])
        with self._lock:
            own = sum(other == peer for other in self._peers.values())
            if len(self._accepted_at) >= self._connections or own >= self._each:
                return False
            self._accepted_at[request], self._peers[request] = time.monotonic(), peer
            return True

    def service_actions(self) -> None:
        """End the connections that last too long; `serve_forever` calls this after each and a few times a second."""
        time.sleep(self._pause_s)
        self._end(before=time.monotonic() - self._total_s)

    def server_close(self) -> None:
        """Close the port, end all connections, and wait for their threads.

        A thread that is within OpenCV when the interpreter ends takes the process down: a C++ library cannot be
        unwound as Python does it with daemon threads.
        """
        super().server_close()
        self._end(before=math.inf)
        with self._lock:
            self._lock.wait_for(lambda: not self._accepted_at, _LEAVE_S)

    def _end(self, before: float) -> None:
        """End the connections that were accepted before a time, s of the monotonic clock."""
        with self._lock:
            for request in [request for request, at in self._accepted_at.items() if at < before]:
                with contextlib.suppress(OSError):  # it is ending by itself at this moment
                    # That of SSLSocket would let the handler's thread go on without encryption for a moment.
                    socket.socket.shutdown(request, socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        """Remove a connection from the record, then end it: a client that sees the end may connect again at once."""
        with self._lock:
            self._accepted_at.pop(request, None)
            self._peers.pop(request, None)
            self._lock.notify_all()
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a fault in an answer, or that no thread could be started for it; the server goes on."""
        del request, client_address
        log.exception("a request was not answered")
