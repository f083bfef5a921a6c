"""Keep a password as a scrypt hash, and compare one with it. Uses the standard library alone.

scrypt (RFC 7914) is in Python's own hashlib, that is in OpenSSL, on every board; argon2-cffi would be one more package
with compiled code to update on devices, for a hash that is read only by whoever is root already.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Final

from edge_app.errors import ConfigError

_N, _R, _P = 2**14, 8, 5
"""16 MB for one comparison, and about 0.3 s on two busy x86-64 cores: among what OWASP names as least (2023)."""
_LIMIT: Final = 2**26
"""Most memory that a stored hash may ask for, bytes."""
SHORTEST: Final = 10
LONGEST: Final = 200


def judge_password(password: str) -> None:
    """Raise ConfigError for a password that is too short, too long, or of blanks alone."""
    if not SHORTEST <= len(password) <= LONGEST or not password.strip():
        raise ConfigError(
            f"a password has {SHORTEST} to {LONGEST} characters, not blanks alone; four random words are easy to type"
        )


def hash_password(password: str) -> str:
    """Return what is stored of a password. Raises ConfigError: for one that `judge_password` refuses."""
    judge_password(password)
    salt = secrets.token_bytes(16)
    key = _scrypt(password, salt, _N, _R, _P)
    return f"scrypt${_N}${_R}${_P}${_text(salt)}${_text(key)}"


def is_password(given: str, stored: str) -> bool:
    """Return whether this is the password. Raises ConfigError: when what is stored is no hash of this program."""
    salt, known, cost = read_hash(stored)
    return hmac.compare_digest(_scrypt(given[: LONGEST + 1], salt, *cost), known)


def read_hash(stored: str) -> tuple[bytes, bytes, tuple[int, int, int]]:
    """Return salt, key and cost (n, r, p) of what is stored. Raises ConfigError: when it is no hash of this program."""
    try:
        kind, n, r, p, salt, key = stored.strip().split("$")
        known, cost = base64.b64decode(key, validate=True), (int(n), int(r), int(p))
        if kind != "scrypt" or len(known) != 32 or not _fits(*cost):
            raise ValueError(kind)
        return base64.b64decode(salt, validate=True), known, cost
    except ValueError as error:
        raise ConfigError("the stored password is damaged: set it again with `edge-app page --password`") from error


def _fits(n: int, r: int, p: int) -> bool:
    """Return whether scrypt takes this cost, and this program gives the memory for it."""
    return n > 1 and n & (n - 1) == 0 and r > 0 and 0 < p <= 16 and 128 * n * r <= _LIMIT


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> bytes:
    text = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=_LIMIT, dklen=32)


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
