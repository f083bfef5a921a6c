"""Listen and speak HTTP/1.1 within limits. The only file that imports uvicorn and httptools.

uvicorn alone waits for ever for the head of a request, reads an endless body behind a refusal, and takes as many
connections and pipelined requests as come. Here a connection is closed when its head takes too long or is too long,
when its body goes on after the answer, when it does not read its answer, when it asks on and on without waiting for
answers, and, where all connections are taken, when it has been sending for the longest. Whoever can still read it is
told why.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from http import HTTPStatus
from typing import Any, ClassVar, Final

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from edge_app.errors import ServeError
from edge_app.http.problems import RefusalError, raw_problem
from edge_app.system.threads import start_thread

HEAD_S: Final = 10.0
"""Longest time from a connection, or from the answer before, to the end of a request's head."""
_MOST_HEAD: Final = 32_768
"""Bytes of a head, or of what is no body between and behind chunks."""
_PIPELINED: Final = 8
"""Requests of a connection that wait for the answer before (RFC 9112, 9.3.2)."""
_ANSWER_S: Final = 30.0
"""Longest time for which a client may not read its answer."""
CONNECTIONS: Final = 400
"""Connections at a time: below the 1,024 files that a process may have open."""
_STOP_S: Final = 10


class Server:
    """HTTP server of an ASGI application, serving within the context.

    host, port: where to listen; port 0 takes a free one, `port` is the actual one. remedy: what to do where another
    program listens there.
    Raises ServeError: when it cannot listen there.
    """

    def __init__(
        self,
        app: Any,
        host: str,
        port: int,
        *,
        connections: int = CONNECTIONS,
        head_s: float = HEAD_S,
        remedy: str = "choose another --host or --port",
    ) -> None:
        self._socket = _listening(host, port, remedy)
        self.port: int = self._socket.getsockname()[1]
        limits = {"open": {}, "most": connections, "head_s": head_s}
        config = uvicorn.Config(
            _heads_as_gets(app),
            http=type("Protocol", (_Protocol,), limits),
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            backlog=256,
            timeout_keep_alive=int(HEAD_S),
            timeout_graceful_shutdown=_STOP_S,
        )
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = uvicorn.Server(config)
        # In a thread uvicorn leaves the signals to the program.
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), name="http", daemon=True)

    def __enter__(self) -> Server:
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_STOP_S + 5)
        self._socket.close()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()


def _heads_as_gets(app: Any) -> Any:
    """Return the application, which answers HEAD as GET; uvicorn leaves the body out (RFC 9110, 9.3.2)."""

    async def answering(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "method": "GET"} if scope.get("method") == "HEAD" else scope, receive, send)

    return answering


def require_free(host: str, port: int, remedy: str) -> None:
    """Make sure that one can listen there. Raises ServeError: as `Server` does, before anything else was started."""
    _listening(host, port, remedy).close()


def _listening(host: str, port: int, remedy: str) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address, family=family)
        # Connections inherit it. Without it the body of an answer waits 40 ms for the client's word about its head.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except OSError as error:
        why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise ServeError(f"cannot listen on {host}:{port} ({why}); {remedy}") from error


class _Parser(httptools.HttpRequestParser):
    """Parser that reads a request to change the protocol as one of HTTP/1.1, with its body (RFC 9110, 7.8).

    httptools takes what follows the head for another protocol; so the head is read again without the wish.
    """

    def __init__(self, protocol: _Protocol) -> None:
        super().__init__(protocol)
        self._protocol = protocol

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                return super().feed_data(data)
            except httptools.HttpParserUpgrade as wish:
                if not self._protocol.wishes_upgrade:  # CONNECT
                    raise
                data = self._protocol.head_without_upgrade() + data[wish.args[0] :]


class _Protocol(HttpToolsProtocol):
    """One connection. open: all of the server, the oldest first."""

    open: ClassVar[dict[_Protocol, None]]
    most: ClassVar[int]
    head_s: ClassVar[float]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.parser, self.wishes_upgrade = _Parser(self), False
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self._in_head, self._head, self._timer = True, 0, self.loop.call_later(self.head_s, self._head_is_late)
        self._why: RefusalError | None = None
        self._stalled: asyncio.TimerHandle | None = None
        if len(self.open) >= self.most:
            self._one_to_close()._give_up()
        self.open[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.pop(self, None)
        self._timer.cancel()
        if self._stalled:
            self._stalled.cancel()
        super().connection_lost(exc)

    def _one_to_close(self) -> _Protocol:
        """Return the connection that gives way: one that sends, else one that does not read, else the new one."""
        stalled = next((one for one in self.open if one._stalled), self)
        return next((one for one in self.open if one.sending), stalled)

    @property
    def sending(self) -> bool:
        """True while the service waits for this client: for a head, or for the rest of a body."""
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > _MOST_HEAD:
            self._refuse(_too_long())
            self._give_up()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer behind the last chunk, which nobody reads (RFC 9110, 6.5.1)
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._head = 0
        super().on_body(body)

    def head_without_upgrade(self) -> bytes:
        """Return the head that was read, without Upgrade."""
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        lines += [b"%s: %s" % header for header in self.headers if header[0] != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_headers_complete(self) -> None:
        """Begin a request. What is raised here ends the parsing, and uvicorn calls `send_400_response`."""
        self.wishes_upgrade = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        if self.wishes_upgrade:
            return
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > _MOST_HEAD:
            self._why = _too_long()
            raise self._why
        if len(self.pipeline) >= _PIPELINED:
            sentence = "too many requests at once: wait for their answers"
            raise RefusalError(HTTPStatus.TOO_MANY_REQUESTS, sentence, code="many_at_once")
        self._in_head = False
        self._timer.cancel()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        if self.wishes_upgrade:
            return
        self._in_head, self._head = True, 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        newest = not self.pipeline  # else the request that was answered had come as a whole
        super().on_response_complete()
        if not newest:
            return
        if self.cycle.more_body:
            self._give_up()
        elif not self.transport.is_closing():
            self._timer.cancel()
            self._timer = self.loop.call_later(self.head_s, self._head_is_late)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self._stalled or self.loop.call_later(_ANSWER_S, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stalled:
            self._stalled.cancel()
            self._stalled = None

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  (the name is uvicorn's, and so is its English)
        """Tell that this is no HTTP. uvicorn calls it, also for what the methods above raise."""
        sentence = "this is no request in HTTP/1.1: its head or a chunk is broken"
        self._refuse(self._why or RefusalError(HTTPStatus.BAD_REQUEST, sentence, code="no_request"))

    def _head_is_late(self) -> None:
        if self._head:  # else it has asked nothing, and waits for no answer
            sentence = "the head of the request comes too slowly: send it again"
            self._refuse(RefusalError(HTTPStatus.REQUEST_TIMEOUT, sentence, code="slow_head"))
        self._give_up()

    def _refuse(self, why: RefusalError) -> None:
        """Tell why the connection ends and close it; where an answer is due first, close it behind that one."""
        if self.transport.is_closing():
            return
        due = self.cycle is not None and not self.cycle.response_complete
        if self.pipeline or (due and (self.cycle.response_started or not self.cycle.more_body)):
            self.cycle.keep_alive = False
            return
        head, body = raw_problem(why)
        lines = [*self.server_state.default_headers, *head, (b"connection", b"close")]
        status = f"HTTP/1.1 {why.status.value} {why.status.phrase}\r\n".encode()
        self.transport.write(status + b"".join(b"%s: %s\r\n" % line for line in lines) + b"\r\n" + body)
        self.transport.close()

    def _give_up(self) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.abort()


def _too_long() -> RefusalError:
    sentence = f"the head has more than {_MOST_HEAD:,} bytes: send fewer headers"
    status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return RefusalError(status, sentence, code="long_head", most=_MOST_HEAD)
