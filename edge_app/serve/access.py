"""Decide who may ask for what: tokens with scopes, and on loopback the names by which the service is called."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from edge_app.errors import ConfigError
from edge_app.http.problems import RefusalError

SCOPES: Final = ("predict", "counts", "metrics")
"""What a token may allow: pictures (and the list of models), clips, and /metrics."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_LOCAL: Final = "127.0.0.1"
"""Name of all clients where no tokens are used: any program of this machine may take any address of loopback."""
_OWN_HOSTS: Final = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Client:
    """Whoever asks. name: of its token, or one for all where no tokens are used."""

    name: str
    scopes: frozenset[str]

    def needs(self, scope: str) -> None:
        """Raise RefusalError when the client may not do this."""
        if scope not in self.scopes:
            raise RefusalError(
                HTTPStatus.FORBIDDEN, f'the token "{self.name}" lacks the scope {scope}: use another one'
            )


@dataclass(frozen=True, slots=True)
class Access:
    """Rules of one service.

    tokens: SHA-256 of a token -> its client; None asks for none, and then only names of this machine are answered:
    a foreign page whose name resolves to loopback has its own name in Host (DNS rebinding).
    origins: pages of other servers that may ask, such as "https://map.example".
    """

    tokens: Mapping[str, Client] | None = None
    origins: Collection[str] = field(default_factory=tuple)

    def client(self, headers: Mapping[str, str]) -> Client:
        """Return who sends a request. headers: by lower-case name.

        Raises RefusalError: for a missing or unknown token, a foreign host or a foreign page.
        """
        if self.tokens is None:
            self._refuse_foreign(headers)
            return Client(_LOCAL, frozenset(SCOPES))
        kind, _, token = headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not token.strip():
            raise RefusalError(
                HTTPStatus.UNAUTHORIZED,
                "a token is needed: send `Authorization: Bearer TOKEN` with one of this service",
            )
        known = self.tokens.get(digest(token.strip()))
        if known is None:
            raise RefusalError(
                HTTPStatus.UNAUTHORIZED,
                "this token is not known: send one of this service, or have whoever runs it make one with --new-token",
            )
        return known

    def _refuse_foreign(self, headers: Mapping[str, str]) -> None:
        host = headers.get("host", "")
        if _host_of(f"//{host}") not in _OWN_HOSTS:
            raise RefusalError(
                HTTPStatus.FORBIDDEN, "without tokens the service answers to localhost alone: call it by that name"
            )
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}" and origin not in self.origins:
            raise RefusalError(
                HTTPStatus.FORBIDDEN, "pages of other servers may not ask: start the service with their --origin"
            )


def _host_of(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


def digest(token: str) -> str:
    """Return what is kept of a token; tokens are random and long, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def new_token(name: str, scopes: Collection[str]) -> tuple[str, str]:
    """Return a new token and its line for the file of tokens. Raises ConfigError: for a wrong name or scope."""
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f'--new-token "{name}": a name is 1 to 64 of A-Z, a-z, 0-9, ".", "_" and "-", the first no sign'
        )
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown:
        raise ConfigError(f'--scopes: "{unknown[0]}" is no scope; choose of {", ".join(SCOPES)}, with commas between')
    token = secrets.token_urlsafe(32)
    return token, f"{name} {','.join(scopes)} {digest(token)}"


def parse_tokens(text: str) -> dict[str, Client]:
    """Return the clients of a file as `clients_of`. Raises ConfigError: as that, and when there is no token at all."""
    clients = clients_of(text)
    if not clients:
        raise ConfigError("the file of tokens holds none: add one with --new-token NAME")
    return clients


def clients_of(text: str) -> dict[str, Client]:
    """Return the clients by the hash of their token. text: lines `NAME SCOPE,SCOPE SHA256`; # begins a comment.

    Raises ConfigError: for a line of another form.
    """
    clients: dict[str, Client] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 3 or not _NAME.fullmatch(words[0]) or not _DIGEST.fullmatch(words[2]):
            raise ConfigError(f"tokens, line {number}: must be NAME SCOPE,SCOPE SHA256, as --new-token prints it")
        scopes = words[1].split(",")
        unknown = [scope for scope in scopes if scope not in SCOPES]
        if unknown:
            raise ConfigError(f'tokens, line {number}: "{unknown[0]}" is no scope; there are {", ".join(SCOPES)}')
        clients[words[2]] = Client(words[0], frozenset(scopes))
    return clients


def is_loopback(host: str) -> bool:
    """Return whether only programs on this machine can reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
