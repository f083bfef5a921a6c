"""Decide who may ask for what: by the token that is printed on a terminal, or by a password and a session."""

from __future__ import annotations

import contextlib
import hmac
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from ipaddress import ip_address
from typing import Final, Protocol
from urllib.parse import parse_qs, urlsplit

from edge_app.web.passwords import is_password
from edge_app.web.sessions import LONGEST_S, LoginLimits, Session, Sessions

log = logging.getLogger(__name__)

OWN_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
_SESSION: Final = "__Host-session"
_CSRF: Final = "__Host-csrf"
"""The prefix makes a browser refuse the cookie of another host or of a page without TLS (RFC 6265bis, 4.1.3)."""
_PUBLIC: Final = ("/page.css", "/login.css", "/login.js", "/messages.js", "/messages.json")
"""What the login page is made of."""
_WAITING: Final = 4
"""Logins that may wait for their turn: comparing one takes time and memory, so it is done one at a time."""
_TURN_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. headers: by lower-case name. peer: address of the other side. own: the address that was reached."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    peer: str
    own: str = "127.0.0.1"

    @property
    def host(self) -> str | None:
        """Name by which it was called, without port; None for an unreadable one."""
        with contextlib.suppress(ValueError):
            return urlsplit(f"//{self.headers.get('host', '')}").hostname
        return None

    def cookie(self, name: str) -> str:
        """Return a cookie's value, "" when it was not sent."""
        with contextlib.suppress(CookieError):
            morsel = SimpleCookie(self.headers.get("cookie", "")).get(name)
            return morsel.value if morsel else ""
        return ""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with a request.

    problem: one sentence of a refusal, "" when it is answered. file: the path of a file of the page to send in place of
    what was asked for. cookies: values of Set-Cookie. retry_s: when it may be tried again, s. peer: for the log.
    """

    status: HTTPStatus = HTTPStatus.OK
    problem: str = ""
    file: str = ""
    cookies: Collection[str] = field(default_factory=tuple)
    retry_s: int = 0


class Access(Protocol):
    """Rules by which requests are answered. scheme: "http" or "https"."""

    scheme: str

    def decide(self, asked: Asked) -> Decision:
        """Return whether a request is answered; one that changes something must come from the page itself."""

    def log_in(self, asked: Asked, password: object) -> Decision:
        """Return the decision about a password that was sent."""

    def log_out(self, asked: Asked) -> Decision:
        """End the session of a request."""


class TokenAccess:
    """Whoever has the token in the address, or in the cookie that the first visit sets, on this machine."""

    scheme = "http"

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(18)

    def decide(self, asked: Asked) -> Decision:
        """Return whether a request has the token.

        The host must be a name of this machine: otherwise a foreign name that resolves to loopback could reach the page
        (DNS rebinding). A browser sends the cookie with requests of every page of this machine, whatever its port, and
        the origin with every POST.
        """
        given = [*parse_qs(asked.query).get("token", []), asked.cookie("token")]
        known = any(hmac.compare_digest(one.encode(), self.token.encode()) for one in given)
        if asked.host not in OWN_HOSTS or not known:
            return _no(HTTPStatus.FORBIDDEN, "Open the address that `edge-app lines` has printed, with its token.")
        if asked.method == "POST" and not _same_origin(asked, self.scheme):
            return _no(HTTPStatus.FORBIDDEN, "Only the page of `edge-app lines` itself may send this.")
        return Decision(cookies=(f"token={self.token}; HttpOnly; SameSite=Strict; Path=/",))

    def log_in(self, asked: Asked, password: object) -> Decision:
        """Refuse: there is no password here."""
        del asked, password
        return _no(HTTPStatus.NOT_FOUND, "There is no such page.")

    def log_out(self, asked: Asked) -> Decision:
        """Refuse: there is no session here."""
        del asked
        return _no(HTTPStatus.NOT_FOUND, "There is no such page.")


class PasswordAccess:
    """Whoever knows the password, over TLS.

    stored: hash of the password. names: further names by which this device may be called, such as "pole-7.local"; by
    other names nothing is answered. clock: s of a monotonic clock.
    """

    scheme = "https"

    def __init__(
        self, stored: str, names: Collection[str] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stored, self._clock = stored, clock
        self._names = own_names() if names is None else names
        self._sessions, self._limits = Sessions(), LoginLimits()
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._waiting: set[str] = set()

    def decide(self, asked: Asked) -> Decision:
        """Return whether a request has a session, and, where it changes something, the session's own second secret."""
        if refused := self._foreign(asked):
            return refused
        session = self._session(asked)
        if session is None:
            if asked.method == "GET" and asked.path == "/":
                return Decision(file="/login.html")
            if asked.method == "GET" and asked.path in _PUBLIC:
                return Decision()
            return _no(HTTPStatus.UNAUTHORIZED, "Log in first: open the page again.")
        if asked.method == "POST" and not hmac.compare_digest(
            asked.headers.get("x-csrf-token", "").encode("utf-8", "surrogateescape"), session.csrf.encode()
        ):
            return _no(HTTPStatus.FORBIDDEN, "Only the page itself may send this: load it again.")
        return Decision()

    def log_in(self, asked: Asked, password: object) -> Decision:
        """Return a new session for the password; an old one ends, so that nobody can give a person a session.

        A wrong password costs its address time, others none.
        """
        if refused := self._foreign(asked):
            return refused
        if not isinstance(password, str):
            return _no(HTTPStatus.BAD_REQUEST, "The password is missing.")
        with self._lock:
            wait_s = self._limits.wait_s(asked.peer, self._clock())
            busy = asked.peer in self._waiting or len(self._waiting) >= _WAITING
            if not wait_s and not busy:
                self._waiting.add(asked.peer)
        if wait_s or busy:
            seconds = int(wait_s) + 1 if wait_s else 3
            problem = f"Too many attempts: try again in {seconds} s."
            return Decision(HTTPStatus.TOO_MANY_REQUESTS, problem, retry_s=seconds)
        try:
            return self._compared(asked, password)
        finally:
            with self._lock:
                self._waiting.discard(asked.peer)

    def log_out(self, asked: Asked) -> Decision:
        """End the session of a request that `decide` has let through."""
        with self._lock:
            self._sessions.end(asked.cookie(_SESSION))
        return Decision(cookies=(_cookie(_SESSION, "", 0, "HttpOnly; "), _cookie(_CSRF, "", 0)))

    def _compared(self, asked: Asked, password: str) -> Decision:
        if not self._turn.acquire(timeout=_TURN_S):
            return Decision(HTTPStatus.SERVICE_UNAVAILABLE, "The device is busy: try again in 3 s.", retry_s=3)
        try:
            right = is_password(password, self._stored)
        finally:
            self._turn.release()
        with self._lock:
            if not right:
                self._limits.failed(asked.peer, self._clock())
                log.warning("a wrong password", extra={"peer": asked.peer})
                return _no(HTTPStatus.UNAUTHORIZED, "That is not the password.")
            self._limits.succeeded(asked.peer)
            self._sessions.end(asked.cookie(_SESSION))
            secret, session = self._sessions.begin(asked.peer, self._clock())
        log.info("a login", extra={"peer": asked.peer})
        longest = int(LONGEST_S)
        return Decision(
            cookies=(_cookie(_SESSION, secret, longest, "HttpOnly; "), _cookie(_CSRF, session.csrf, longest))
        )

    def _session(self, asked: Asked) -> Session | None:
        secret = asked.cookie(_SESSION)
        with self._lock:
            return self._sessions.find(secret, self._clock()) if secret else None

    def _foreign(self, asked: Asked) -> Decision | None:
        """Return the refusal of a request that calls this device by a foreign name, or that another page has sent."""
        host = asked.host or ""
        if host not in OWN_HOSTS and host not in self._names and not _is_address(host, asked.own):
            return _no(HTTPStatus.FORBIDDEN, "Call this device by its address or its own name.")
        if asked.method == "POST" and not _same_origin(asked, self.scheme):
            return _no(HTTPStatus.FORBIDDEN, "Only the page itself may send this.")
        return None


def own_names() -> tuple[str, ...]:
    """Return the names by which this machine is called on its own network."""
    name = socket.gethostname().partition(".")[0].lower()
    return name, f"{name}.local"


def _same_origin(asked: Asked, scheme: str) -> bool:
    return asked.headers.get("origin") == f"{scheme}://{asked.headers.get('host')}"


def _is_address(host: str, own: str) -> bool:
    try:
        return ip_address(host) == ip_address(own)
    except ValueError:
        return False


def _cookie(name: str, value: str, seconds: int, more: str = "") -> str:
    return f"{name}={value}; {more}Secure; SameSite=Strict; Path=/; Max-Age={seconds}"


def _no(status: HTTPStatus, problem: str) -> Decision:
    return Decision(status, problem)
