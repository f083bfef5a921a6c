"""The page on which lines are drawn, served on loopback to whoever has the token: standard library, a few routes."""

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
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qs, urlsplit

from edge_app.errors import EdgeAppError

_FOLDER: Final = Path(__file__).parent / "page"
_STATIC: Final = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_OURS: Final = ("127.0.0.1", "localhost", "::1")
_LONGEST: Final = 200_000
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}

Answer = Callable[[Any], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Routes:
    """picture: a JPEG. The others take what the page sent as JSON, None for a GET, and answer with what becomes JSON;
    an EdgeAppError is shown to the person."""

    picture: Callable[[], bytes]
    state: Answer
    lint: Answer
    save: Answer


class PageServer:
    """Serves while it is entered. port: 0 takes a free one. Raises OSError when it is taken."""

    def __init__(self, routes: Routes, port: int = 0) -> None:
        self._token = secrets.token_urlsafe(18)
        handler = type("Handler", (_Handler,), {"routes": routes, "token": self._token})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="page", daemon=True)

    @property
    def url(self) -> str:
        """With the token: a secret."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/?token={self._token}"

    def __enter__(self) -> PageServer:
        self._thread.start()
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
        with contextlib.suppress(ConnectionError):  # whoever asked has gone in the middle of it
            super().handle()

    def do_GET(self) -> None:
        parts = self._parts()
        if not self._admitted(parse_qs(parts.query)):
            return
        if parts.path in _STATIC:
            name, kind = _STATIC[parts.path]
            self._send(HTTPStatus.OK, kind, (_FOLDER / name).read_bytes())
        elif parts.path == "/picture.jpg":
            self._answer(lambda: (self.routes.picture(), "image/jpeg"))
        elif parts.path == "/state":
            self._answer(lambda: _json(self.routes.state(None)))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")

    def do_POST(self) -> None:
        routes = {"/lint": self.routes.lint, "/save": self.routes.save}
        path = self._parts().path
        if not self._admitted({}):
            return
        length = self.headers.get("Content-Length", "")
        if path not in routes:
            self._refuse(HTTPStatus.NOT_FOUND, "There is no such page.")
        elif self.headers.get_content_type() != "application/json":
            # A form of another page cannot send this type without asking first.
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only JSON is taken.")
        elif not _short(length):
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"At most {_LONGEST} bytes are taken.")
        else:
            self._take(routes[path], self.rfile.read(int(length)))

    def _parts(self) -> SplitResult:
        """Those of the address asked for; all empty, and so not found, when it is none."""
        with contextlib.suppress(ValueError):
            return urlsplit(self.path)
        return urlsplit("")

    def _take(self, route: Answer, body: bytes) -> None:
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, "That is no JSON.")
            return
        self._answer(lambda: _json(route(data)))

    def _admitted(self, query: Mapping[str, list[str]]) -> bool:
        """The token from the address, or from the cookie that the first visit sets; and only by our own name, so that
        no foreign name can be led here (DNS rebinding)."""
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname if self._readable_host() else None
        given = [*query.get("token", []), self._cookie()]
        if host in _OURS and any(hmac.compare_digest(one.encode(), self.token.encode()) for one in given):
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "Open the address that `edge-app lines` has printed, with its token.")
        return False

    def _readable_host(self) -> bool:
        with contextlib.suppress(ValueError):
            return bool(urlsplit(f"//{self.headers.get('Host', '')}").hostname)
        return False

    def _cookie(self) -> str:
        with contextlib.suppress(CookieError):
            morsel = SimpleCookie(self.headers.get("Cookie", "")).get("token")
            return morsel.value if morsel else ""
        return ""

    def _answer(self, make: Callable[[], tuple[bytes, str]]) -> None:
        try:
            body, kind = make()
        except EdgeAppError as error:
            self._refuse(HTTPStatus.UNPROCESSABLE_ENTITY, *str(error).splitlines())
        else:
            self._send(HTTPStatus.OK, kind, body)

    def _refuse(self, status: HTTPStatus, *problems: str) -> None:
        self.close_connection = True
        self._send(status, "application/json", json.dumps({"problems": problems}).encode())

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        with contextlib.suppress(ConnectionError, TimeoutError):  # whoever asked has gone
            self.send_response(status)
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            if status == HTTPStatus.OK and kind.startswith("text/html"):
                self.send_header("Set-Cookie", f"token={self.token}; HttpOnly; SameSite=Strict; Path=/")
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: the address holds the token."""


def _short(length: str) -> bool:
    """Whether a Content-Length is a number and within the limit. Python converts no number of thousands of digits."""
    return length.isascii() and length.isdecimal() and len(length) < 10 and int(length) <= _LONGEST


def _json(value: Mapping[str, Any]) -> tuple[bytes, str]:
    return json.dumps(value).encode(), "application/json"
