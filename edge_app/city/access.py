"""Decide who asks, and what they may do: by a login and its cookie, by a token, or by being on this machine.

Without any user a city on loopback is open to whoever is on the machine. Time comes in as an argument.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from edge_app.city.database import accounts
from edge_app.city.database.engine import Database
from edge_app.city.limits import Buckets
from edge_app.errors import ConfigError
from edge_app.http.problems import RefusalError
from edge_app.web.passwords import hash_password, is_password
from edge_app.web.sessions import LoginLimits, network_of

log = logging.getLogger(__name__)

_OWN_HOSTS: Final = ("127.0.0.1", "localhost", "[::1]")
_CHANGES_NOTHING: Final = ("GET", "HEAD", "OPTIONS")
_REQUESTS_PER_S: Final = 10.0
_AT_ONCE: Final = 200
_TURN_S: Final = 8.0
_COMPARED_AT_ONCE: Final = 2
"""Passwords that are compared at a time: each takes 16 MB and a third of a second."""
_WAITING: Final = 6
"""Further logins that wait for their turn, each in a thread that others need too."""


class Right(IntEnum):
    """What somebody may do; each includes those before."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 3


RIGHT_OF_ROLE: Final[Mapping[str, Right]] = {
    "viewer": Right.READ,
    "engineer": Right.WRITE,
    "administrator": Right.ADMIN,
}
RIGHT_OF_SCOPE: Final[Mapping[str, Right]] = {"read": Right.READ, "write": Right.WRITE, "admin": Right.ADMIN}


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. name: for the audit. csrf: what a request of this login that changes something must also know."""

    name: str
    right: Right
    csrf: str = ""
    user: str = ""


NOBODY: Final = Caller("", Right.NONE)
HERE: Final = Caller("this machine", Right.ADMIN)
"""Whoever is on the machine of a city without users."""
PROXIED: Final = Caller("somebody behind a proxy that page.origin does not name", Right.READ)
_OF_PROXIES: Final = {"forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"}
"""Headers that a proxy adds: whoever comes through one need not be on this machine."""
_OF_DIRECT: Final = "1.1"
"""The HTTP of browsers, curl and programs without TLS. A proxy that adds no header often asks by 1.0, as nginx."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a request says who asks. headers: by lower-case name. cookies: by name. peer: address of the client.

    http: version that is spoken, as 1.1.
    """

    method: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]
    peer: str
    http: str = _OF_DIRECT


class Access:
    """Rules by which requests are answered; any thread may use it.

    origin: by which people reach the page through a proxy, as https://counts.example; "" for loopback alone.
    utc: UTC s.
    """

    def __init__(self, database: Database, origin: str, utc: Callable[[], float]) -> None:
        self._database, self._origin, self._utc = database, origin, utc
        self._limits, self._buckets = LoginLimits(), Buckets(_REQUESTS_PER_S, _AT_ONCE)
        self._lock, self._comparing = threading.Lock(), threading.BoundedSemaphore(_COMPARED_AT_ONCE)
        self._logins = threading.BoundedSemaphore(_COMPARED_AT_ONCE + _WAITING)
        self._nobodys = ""
        secure = origin.startswith("https:")
        # The prefix makes a browser refuse the cookie of another host or of a page without TLS (RFC 6265bis, 4.1.3).
        self.cookie = "__Host-city" if secure else "city"
        self._attributes = f"HttpOnly; {'Secure; ' if secure else ''}SameSite=Strict; Path=/"

    def judge_host(self, host: str) -> None:
        """Raise RefusalError for a name that is not the city's: it could resolve to loopback (DNS rebinding)."""
        name = host.rpartition(":")[0] if ":" in host.rpartition("]")[2] else host
        if name not in _OWN_HOSTS and host != urlsplit(self._origin).netloc:
            also = f" and {self._origin}" if self._origin else " alone"
            sentence = f"this page answers to localhost{also}: call it by that name"
            raise RefusalError(HTTPStatus.FORBIDDEN, sentence, code="foreign_host")

    def peer(self, client: str, forwarded: Sequence[str]) -> str:
        """Return the address of whoever asks: with a proxy before it, the one that the proxy has added last.

        forwarded: every X-Forwarded-For, since some proxies append a header of their own to those of the client.
        """
        return ",".join(forwarded).rpartition(",")[2].strip() or client if self._origin else client

    def caller(self, asked: Asked) -> Caller:
        """Return who asks.

        Raises RefusalError: for a wrong token, too many requests, or a change that another page sent.
        """
        try:
            found = self._found(asked)
        except RefusalError:
            self._take_turn(network_of(asked.peer))
            raise
        if found is not HERE:
            self._take_turn(found.name or network_of(asked.peer))
        if asked.method not in _CHANGES_NOTHING and "authorization" not in asked.headers:
            self._judge_page(asked, found)
        return found

    def judge_reader(self, asked: Asked) -> None:
        """Raise RefusalError where whoever reads what everybody may read asks too often; nothing is read for it."""
        self._take_turn(network_of(asked.peer))

    def _take_turn(self, key: str) -> None:
        """Raise RefusalError where somebody asks too often."""
        with self._lock:
            wait = self._buckets.take(key, self._utc())
        if wait:
            seconds = int(wait) + 1
            sentence = f"too many requests: ask again in {seconds} s"
            raise RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS, sentence, seconds, code="too_many_requests", seconds=seconds
            )

    def _found(self, asked: Asked) -> Caller:
        now = self._utc()
        with self._database.connect() as connection:
            if "authorization" in asked.headers:
                kind, _, secret = asked.headers["authorization"].partition(" ")
                token = accounts.find_token(connection, secret.strip(), now) if kind.lower() == "bearer" else None
                if token is None:
                    sentence = "this token is unknown or over: make a new one"
                    raise RefusalError(HTTPStatus.UNAUTHORIZED, sentence, code="wrong_token")
                return Caller(f"token {token.name}", RIGHT_OF_SCOPE[token.scope])
            login = accounts.find_login(connection, asked.cookies.get(self.cookie, ""), now)
            if login is not None:
                return Caller(f"user {login.name}", RIGHT_OF_ROLE[login.role], login.csrf, login.name)
            if self._origin or accounts.has_accounts(connection):
                return NOBODY
        return HERE if asked.http == _OF_DIRECT and not asked.headers.keys() & _OF_PROXIES else PROXIED

    def _judge_page(self, asked: Asked, found: Caller) -> None:
        """Raise RefusalError where another page makes a browser change something."""
        origin = asked.headers.get("origin", "")
        own = {f"http://{asked.headers.get('host', '')}", self._origin}
        known = hmac.compare_digest(asked.headers.get("x-csrf-token", "").encode(), found.csrf.encode())
        if (origin and origin not in own) or (found.csrf and not known):
            raise RefusalError(
                HTTPStatus.FORBIDDEN, "only the page itself may send this: load it again", code="foreign_page"
            )

    def log_in(self, asked: Asked, name: str, password: str) -> str:
        """Return the Set-Cookie of a new login. Raises RefusalError: a wrong name or password, too many attempts."""
        with self._lock:
            wait = self._limits.wait_s(asked.peer, self._utc())
            if not wait:  # until it has succeeded: others would pass here while it is compared
                self._limits.failed(asked.peer, self._utc())
        if wait:
            seconds = int(wait) + 1
            sentence = f"too many attempts: try again in {seconds} s"
            raise RefusalError(
                HTTPStatus.TOO_MANY_REQUESTS, sentence, seconds, code="too_many_attempts", seconds=seconds
            )
        if not self._is_password(name, password):
            log.warning("a wrong name or password", extra={"peer": asked.peer})
            raise RefusalError(HTTPStatus.FORBIDDEN, "that is not the name and password of a user", code="wrong_login")
        with self._lock:
            self._limits.succeeded(asked.peer)
        with self._database.begin() as connection:
            accounts.end_login(connection, asked.cookies.get(self.cookie, ""))
            secret = accounts.begin_login(connection, name, self._utc())
        log.info("a login", extra={"peer": asked.peer, "user": name})
        return f"{self.cookie}={secret}; {self._attributes}; Max-Age={int(accounts.LONGEST_S)}"

    def _is_password(self, name: str, password: str) -> bool:
        with self._database.connect() as connection:
            stored = accounts.password_of(connection, name)
        if not self._logins.acquire(blocking=False):
            raise _busy()
        try:
            return self._compare(name, password, stored)
        finally:
            self._logins.release()

    def _compare(self, name: str, password: str, stored: str | None) -> bool:
        if not self._comparing.acquire(timeout=_TURN_S):
            raise _busy()
        try:
            # A name that there is not takes as long as one that there is.
            self._nobodys = self._nobodys or hash_password("of a user that there is not")
            return is_password(password, stored or self._nobodys) and stored is not None
        except ConfigError:
            sentence = f"the stored password is damaged: set it anew with `edge-app city user password {name}`"
            raise RefusalError(HTTPStatus.INTERNAL_SERVER_ERROR, sentence, code="damaged_password", name=name) from None
        finally:
            self._comparing.release()

    def log_out(self, asked: Asked) -> str:
        """End a login and return the Set-Cookie that removes its cookie."""
        with self._database.begin() as connection:
            accounts.end_login(connection, asked.cookies.get(self.cookie, ""))
        return f"{self.cookie}=; {self._attributes}; Max-Age=0"


def _busy() -> RefusalError:
    return RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "too many log in at once: try again", 3, code="busy_logins")
