"""Serve the local page, on loopback, to whoever has the token. Uses the standard library alone."""

from __future__ import annotations

import contextlib
import hmac
import json
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qs, urlsplit

from edge_app.errors import EdgeAppError
from edge_app.system.threads import start_thread
from edge_app.web.bounded_server import BoundedServer
from edge_app.web.languages import choose_language, messages_json
from edge_app.web.live_pictures import KIND, LivePictures
from edge_app.web.page_files import read_page_file

_OWN_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
_LONGEST_BODY: Final = 200_000
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Route: TypeAlias = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Routes:
    """Functions that answer the page's requests.

    picture: returns a JPEG to draw on. live: the pictures that are only looked at. get: path -> what answers with JSON;
    called with the values in the address. post: the same, called with the JSON value that the page sent. files: path ->
    what returns name and content of a CSV file. An EdgeAppError that one of them raises is shown to the person.
    """

    picture: Callable[[], bytes]
    live: LivePictures
    get: Mapping[str, Route]
    post: Mapping[str, Route]
    files: Mapping[str, Callable[[Any], tuple[str, bytes]]]


class PageServer:
    """HTTP server of the page, serving within the context.

    port: 0 takes a free one. Raises OSError when the port is taken.
    """

    def __init__(self, routes: Routes, port: int = 0) -> None:
        self._token = secrets.token_urlsafe(18)
        handler = type("Handler", (_Handler,), {"routes": routes, "token": self._token})
        self._server = BoundedServer(("127.0.0.1", port), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="page", daemon=True)

    @property
    def url(self) -> str:
        """Address of the page with its token: a secret."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/?token={self._token}"

    def __enter__(self) -> PageServer:
        start_thread(self._thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    routes: Routes
    token: str
    timeout = 20.0
    server_version, sys_version = "edge-app", ""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client left in the middle of its request
            super().handle()

    def do_GET(self) -> None:
        address = self._address()
        if not self._authorised(parse_qs(address.query)):
            return
        values = {name: given[-1] for name, given in parse_qs(address.query).items()}
        if file := read_page_file(address.path):
            self._send(HTTPStatus.OK, *file)
        elif address.path == "/messages.json":
            language = choose_language(self.headers.get("Accept-Language", ""), self._cookie("language"))
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
        path, routes = self._address().path, self.routes.post
        if not self._authorised({}) or not self._from_own_page():
            return
        length = self.headers.get("Content-Length", "")
        if path not in routes:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
        elif self.headers.get_content_type() != "application/json":
            # A form on a foreign page cannot send this type without a preflight request, which gets 501 here.
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only JSON is accepted.")
        elif not _is_acceptable(length):
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {_LONGEST_BODY} bytes are accepted.")
        else:
            self._answer_json(routes[path], self.rfile.read(int(length)))

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

    def _authorised(self, query: Mapping[str, list[str]]) -> bool:
        """Return whether the request may be answered; a refusal has been sent otherwise.

        The token must be in the address, or in the cookie that the first visit sets. The host must be a name of this
        machine: otherwise a foreign name that resolves to loopback could reach the page (DNS rebinding).
        """
        given = [*query.get("token", []), self._cookie("token")]
        if self._host() in _OWN_HOSTS and any(hmac.compare_digest(one.encode(), self.token.encode()) for one in given):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "Open the address that `edge-app lines` has printed, with its token.")
        return False

    def _from_own_page(self) -> bool:
        """Return whether the page itself sent this request; a refusal has been sent otherwise.

        A browser sends the origin with every POST, and the cookie with those of every page of this machine.
        """
        if self.headers.get("Origin") == f"http://{self.headers.get('Host')}":
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "Only the page of `edge-app lines` itself may send this.")
        return False

    def _host(self) -> str | None:
        with contextlib.suppress(ValueError):
            return urlsplit(f"//{self.headers.get('Host', '')}").hostname
        return None

    def _cookie(self, name: str) -> str:
        with contextlib.suppress(CookieError):
            morsel = SimpleCookie(self.headers.get("Cookie", "")).get(name)
            return morsel.value if morsel else ""
        return ""

    def _answer(self, make: Callable[[], tuple[str, bytes]]) -> None:
        try:
            kind, body = make()
        except EdgeAppError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, *str(error).splitlines())
        else:
            self._send(HTTPStatus.OK, kind, body)

    def _answer_file(self, make: Callable[[], tuple[str, bytes]]) -> None:
        try:
            name, body = make()
        except EdgeAppError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, *str(error).splitlines())
        else:
            disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
            self._send(HTTPStatus.OK, "text/csv; charset=utf-8", body, disposition)

    def _stream(self) -> None:
        """Send live pictures until the viewer leaves or the stream is over."""
        live = self.routes.live
        if not live.enter():
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, "Too many people watch at the moment.")
            return
        try:
            live.newest()
            self.close_connection = True
            with contextlib.suppress(ConnectionError, TimeoutError):  # the viewer has left
                self._send_head(HTTPStatus.OK, {"Content-Type": KIND})
                for part in live.stream():
                    self.wfile.write(part)
        except EdgeAppError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, *str(error).splitlines())
        finally:
            live.leave()

    def _refuse(self, status: HTTPStatus, *problems: str) -> None:
        self.close_connection = True
        self._send(status, "application/json", json.dumps({"problems": problems}).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes, more: Mapping[str, str] | None = None) -> None:
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}
        if status == HTTPStatus.OK and kind.startswith("text/html"):
            headers["Set-Cookie"] = f"token={self.token}; HttpOnly; SameSite=Strict; Path=/"
        with contextlib.suppress(ConnectionError, TimeoutError):  # the client has left
            self._send_head(status, headers)
            self.wfile.write(body)

    def _send_head(self, status: HTTPStatus, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in (*_HEADERS.items(), *headers.items()):
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Log no request: its address holds the token."""


def _is_acceptable(length: str) -> bool:
    """Return whether a Content-Length is a number within the limit; int() refuses a number of thousands of digits."""
    return length.isascii() and length.isdecimal() and len(length) < 10 and int(length) <= _LONGEST_BODY


def _json(value: Mapping[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()
