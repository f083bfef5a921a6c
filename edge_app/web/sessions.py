"""Remember who has logged in, and slow down who guesses. Time comes in as an argument, s of a monotonic clock."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import Final

IDLE_S: Final = 30 * 60.0
LONGEST_S: Final = 12 * 3600.0
_MOST_SESSIONS: Final = 20
_ATTEMPTS: Final = 5
_REFILL_S: Final = 20.0
"""An address may fail so often at once, and once more after each such time."""
_MOST_ADDRESSES: Final = 1000


@dataclass(slots=True)
class Session:
    """One login. csrf: what a request that changes something must also know. peer: address of the person."""

    csrf: str
    peer: str
    began: float
    used: float


class Sessions:
    """Logins that are valid now; of too many the one that was not used for longest ends."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, peer: str, now: float) -> tuple[str, Session]:
        """Return the secret of a new session, and the session. The secret itself is not kept."""
        secret = secrets.token_urlsafe(32)
        while len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.popitem(last=False)
        session = self._sessions[_digest(secret)] = Session(secrets.token_urlsafe(24), peer, now, now)
        return secret, session

    def find(self, secret: str, now: float) -> Session | None:
        """Return the session of a secret and note that it is used; None when there is none, or when it is over."""
        key = _digest(secret)
        session = self._sessions.get(key)
        if session is None:
            return None
        if now - session.used > IDLE_S or now - session.began > LONGEST_S:
            del self._sessions[key]
            return None
        session.used = now
        self._sessions.move_to_end(key)
        return session

    def end(self, secret: str) -> None:
        """End a session, if there is one."""
        self._sessions.pop(_digest(secret), None)


class LoginLimits:
    """Failed logins by address, so that one that guesses waits while others get in."""

    def __init__(self) -> None:
        self._failed: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Network -> number of failures that still count, and when that was so, s."""

    def wait_s(self, peer: str, now: float) -> float:
        """Return how long this address has to wait for its next attempt, s; 0 when it may try now."""
        return max(0.0, (self._count(network_of(peer), now) - _ATTEMPTS + 1) * _REFILL_S)

    def failed(self, peer: str, now: float) -> None:
        """Note a wrong password."""
        network = network_of(peer)
        self._failed[network] = self._count(network, now) + 1.0, now
        self._failed.move_to_end(network)
        while len(self._failed) > _MOST_ADDRESSES:
            self._failed.popitem(last=False)

    def succeeded(self, peer: str) -> None:
        """Forget what an address has failed in."""
        self._failed.pop(network_of(peer), None)

    def _count(self, network: str, now: float) -> float:
        count, at = self._failed.get(network, (0.0, now))
        return max(0.0, count - (now - at) / _REFILL_S)


def network_of(peer: str) -> str:
    """Return what counts as one address: an IPv4 address, or the 64 bits of an IPv6 one that a site gives away."""
    try:
        address = ip_address(peer.partition("%")[0])
    except ValueError:
        return peer
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Address(int(address) >> 64 << 64))
    return str(address)


def _digest(secret: str) -> str:
    """Return the key of a secret; so a comparison of keys tells nothing about the secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
