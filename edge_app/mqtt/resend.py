"""Offer intervals of the archive again, in order, as often as connections are lost, until all are acknowledged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, Final

from edge_app.mqtt.commands import ResendArgs
from edge_app.storage.archive import Missing, Reason

_MAX_RANGES: Final = 200
"""Most ranges that one reply may name."""


class Resend:
    """Progress of one `resend`.

    why_missing: returns why a number is not kept.
    """

    def __init__(self, args: ResendArgs, why_missing: Callable[[str, str, int], Reason]) -> None:
        self.args = args
        self._why_missing = why_missing
        self._waiting = deque(range(args.from_seq, args.to_seq + 1))
        self._in_flight: dict[int, int] = {}
        self._missing: list[Missing] = []
        self._sent = 0
        self._next_seq: int | None = None
        self.refused = ""

    def next(self) -> int | None:
        """Return the next number to be offered; None when all are on their way or answered."""
        return self._waiting[0] if self._waiting else None

    def offered(self, token: int) -> None:
        """Note that the next number is on its way."""
        self._in_flight[token] = self._waiting.popleft()

    def is_missing(self) -> None:
        """Note that the next number is not kept."""
        seq = self._waiting[0]
        reason = self._why_missing(self.args.installation, self.args.line, seq)
        last = self._missing[-1] if self._missing else None
        if last and last.to_seq == seq - 1 and last.reason == reason:
            self._missing[-1] = Missing(last.from_seq, seq, reason)
        elif len(self._missing) == _MAX_RANGES:
            self._next_seq = seq
            self._waiting = deque(n for n in self._waiting if n < seq)
            return
        else:
            self._missing.append(Missing(seq, seq, reason))
        self._waiting.popleft()

    def answered(self, token: int, refused: str) -> bool:
        """Use the broker's answer to a message; return False for one of somebody else."""
        if token not in self._in_flight:
            return False
        del self._in_flight[token]
        self._sent += not refused
        self.refused = self.refused or refused
        return True

    def lost(self) -> None:
        """Offer again what the lost connection has not acknowledged."""
        self._waiting.extendleft(sorted(self._in_flight.values(), reverse=True))
        self._in_flight.clear()

    @property
    def done(self) -> bool:
        return bool(self.refused) or not (self._waiting or self._in_flight)

    def result(self) -> Mapping[str, Any]:
        found: dict[str, Any] = {"sent": self._sent, "missing": [asdict(missing) for missing in self._missing]}
        return found if self._next_seq is None else {**found, "next_seq": self._next_seq}
