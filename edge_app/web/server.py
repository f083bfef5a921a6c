"""Serve the local page to whoever its access lets in. Uses the standard library alone."""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, urlsplit

from edge_app.errors import EdgeAppError
from edge_app.system.threads import start_thread
from edge_app.web.access import Access, Asked, Decision, TokenAccess
from edge_app.web.languages import choose_language, messages_json
from edge_app.web.listener import Listen, PageListener
from edge_app.web.live_pictures import KIND, LivePictures
from edge_app.web.page_files import read_page_file

_LONGEST_BODY: Final = 200_000
_LONGEST_LOGIN: Final = 2_000
"""Bytes of a request of somebody who is not known yet."""
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Route: TypeAlias = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Routes:
    """Functions that answer the page's requests.

    picture: returns a JPEG to draw on. live: the pictures that are only looked at. get: path -> what answers with JSON;
    called with the values in the address. post: the same, called with the JSON value that the page sent. files: path ->
    what returns name and content of a CSV file. post_from: as post, also called with the address of the person; these
    go before those of post. An EdgeAppError that one of them raises is shown to the person.
    """

    picture: Callable[[], bytes]
    live: LivePictures
    get: Mapping[str, Route]
    post: Mapping[str, Route]
    files: Mapping[str, Callable[[Any], tuple[str, bytes]]]
    post_from: Mapping[str, Callable[[Any, str], Mapping[str, Any]]] = field(default_factory=dict)


_LOOPBACK: Final = Listen("127.0.0.1")


class PageServer:
    """HTTP server of the page, serving within the context.

    port: 0 takes a free one. access: who may use the page; by default whoever has the token. listen: where and how;
    plain on loopback by default. Raises OSError when the port is taken.
    """

    def __init__(self, routes: Routes, port: int = 0, access: Access | None = None, listen: Listen = _LOOPBACK) -> None:
        self._access = access or TokenAccess()
        handler = type("Handler", (_Handler,), {"routes": routes, "access": self._access})
        self._server = PageListener(listen, port, handler)
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)
        self.fault: OSError | None = None
        """Why the server has ended by itself, as when its network interface is gone."""

    @property
    def port(self) -> int:
        """TCP port on which it listens."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Address of the page; with the token, where there is one, and then a secret."""
        token = f"?token={self._access.token}" if isinstance(self._access, TokenAccess) else ""
        return f"{self._access.scheme}://127.0.0.1:{self.port}/{token}"

    def __enter__(self) -> PageServer:
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self) -> None:
        try:
            self._server.serve_forever(0.2)
        except OSError as error:
            self.fault = error


class _Handler(BaseHTTPRequestHandler):
    routes: Routes
    access: Access
    timeout = 20.0
    server_version, sys_version = "edge-app", ""
    _cookies: Collection[str] = ()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError):  # the client left in the middle
            super().handle()

    def do_GET(self) -> None:
        address = self._address()
        decision = self._decided(self._asked(address))
        if decision is None:
            return
        values = {name: given[-1] for name, given in parse_qs(address.query).items()}
        if file := read_page_file(decision.file or address.path):
            self._send(HTTPStatus.OK, *file)
        elif address.path == "/messages.json":
            language = choose_language(self.headers.get("Accept-Language", ""), self._asked(address).cookie("language"))
            self._send(HTTPStatus.OK, "application/json", messages_json(language))
        elif address.path == "/picture.jpg":
            self._answer(lambda: ("image/jpeg", self.routes.picture()))
        elif address.path == "/live.mjpeg":
            self._stream()
        elif address.path in self.routes.get:
            self._answer(lambda: _json(self.routes.get[address.path](values)))
        elif address.path in self.routes.files:
            self._answer_file(lambda: self.routes.files[address.path](values))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        address = self._address()
        peer = str(self.client_address[0])
        by_person = {path: partial(_told, route, peer) for path, route in self.routes.post_from.items()}
        routes: Mapping[str, Route] = {**self.routes.post, **by_person}
        asked, path = self._asked(address._replace(query="")), address.path
        if path != "/login" and self._decided(asked) is None:
            return
        length = self.headers.get("Content-Length", "")
        longest = _LONGEST_LOGIN if path == "/login" else _LONGEST_BODY
        if path not in routes and path not in ("/login", "/logout"):
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
        elif self.headers.get_content_type() != "application/json":
            # A form on a foreign page cannot send this type without a preflight request, which gets 501 here.
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only JSON is accepted.")
        elif not _is_acceptable(length, longest):
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {longest} bytes are accepted.")
        elif path == "/login":
            self._log_in(asked, self.rfile.read(int(length)))
        elif path == "/logout":
            self._end(self.access.log_out(asked))
        else:
            self._answer_json(routes[path], self.rfile.read(int(length)))

    def _log_in(self, asked: Asked, body: bytes) -> None:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            data = None
        try:
            self._end(self.access.log_in(asked, data.get("password") if isinstance(data, dict) else None))
        except EdgeAppError as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _asked(self, address: SplitResult) -> Asked:
        headers = {name.lower(): value for name, value in self.headers.items()}
        own = self.connection.getsockname()[0]
        return Asked(str(self.command), address.path, address.query, headers, str(self.client_address[0]), own)

    def _decided(self, asked: Asked) -> Decision | None:
        """Return the decision to answer a request; None when a refusal has been sent."""
        decision = self.access.decide(asked)
        if decision.problem:
            self._end(decision)
            return None
        self._cookies = decision.cookies
        return decision

    def _end(self, decision: Decision) -> None:
        """Send a decision that is itself the answer."""
        self._cookies = decision.cookies
        if not decision.problem:
            self._send(HTTPStatus.OK, "application/json", b"{}")
            return
        self.close_connection = True
        body = json.dumps({"problems": [decision.problem], "retry_s": decision.retry_s}).encode()
        more = {"Retry-After": str(decision.retry_s)} if decision.retry_s else None
        self._send(decision.status, "application/json", body, more)

    def _address(self) -> SplitResult:
        """Return the requested address; an unreadable one is empty, so that it is not found."""
        with contextlib.suppress(ValueError):
            return urlsplit(self.path)
        return urlsplit("")

    def _answer_json(self, route: Route, body: bytes) -> None:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, "The body is not valid JSON.")
            return
        self._answer(lambda: _json(route(data)))

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        try:
            kind, body = make()
        except EdgeAppError as error:
            self._explain(error)
        else:
            self._send(HTTPStatus.OK, kind, body)

    def _answer_file(self, make: Callable[[], tuple[str, bytes]]) -> None:
        try:
            name, body = make()
        except EdgeAppError as error:
            self._explain(error)
        else:
            disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
            self._send(HTTPStatus.OK, "text/csv; charset=utf-8", body, disposition)

    def _stream(self) -> None:
        """Send live pictures until the viewer leaves or the stream is over."""
        live = self.routes.live
        if not live.enter():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many people watch at the moment.", code="watched")
            return
        try:
            live.newest()
            self.close_connection = True
            with contextlib.suppress(ConnectionError, TimeoutError):  # the viewer has left
                self._send_head(HTTPStatus.OK, {"Content-Type": KIND})
                for part in live.stream():
                    self.wfile.write(part)
        except EdgeAppError as error:
            self._explain(error)
        finally:
            live.leave()

    def _explain(self, error: EdgeAppError) -> None:
        self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, *str(error).splitlines(), code=error.code)

    def _refuse(self, status: HTTPStatus, *problems: str, code: str = "") -> None:
        self.close_connection = True
        self._send(
            status, "application/json", json.dumps({"problems": problems, **({"code": code} if code else {})}).encode()
        )

    def _send(self, status: HTTPStatus, kind: str, body: bytes, more: Mapping[str, str] | None = None) -> None:
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}
        with contextlib.suppress(ConnectionError, TimeoutError):  # the client has left
            self._send_head(status, headers)
            self.wfile.write(body)

    def _send_head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in (*_HEADERS.items(), *headers.items(), *(("Set-Cookie", one) for one in self._cookies)):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log no request: its address holds the token."""


def _told(route: Callable[[Any, str], Mapping[str, Any]], peer: str, data: Any) -> Mapping[str, Any]:
    return route(data, peer)


def _is_acceptable(length: str, longest: int) -> bool:
    """Return whether a Content-Length is a number within the limit; int() refuses a number of thousands of digits."""
    return length.isascii() and length.isdecimal() and len(length) < 10 and int(length) <= longest


def _json(value: Mapping[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
