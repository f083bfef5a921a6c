"""Find out at which publication or subscription a broker closes the connection, and leave that one out for an hour.

Brokers that speak MQTT 3.1.1, and some others, refuse a topic or a size by closing the connection without a word. A
broker works in order, so the oldest one without an answer is the suspect. After a loss, each topic is tried alone until
it has been answered once, so that no other comes under suspicion.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

WITHIN_S: Final = 5.0
"""A connection that is lost so soon after a message may have been closed because of it."""
_LOSSES: Final = 3
_LEFT_OUT_S: Final = 3600.0


@dataclass(slots=True)
class _Suspect:
    """losses: connections lost at it in a row. reason: the broker's, if it gave one. until: left out, monotonic s."""

    losses: int = 0
    reason: str = ""
    until: float = 0.0


class Suspects:
    """Topics at which connections of one session were lost. It belongs to one thread.

    clock: monotonic seconds.

    Attribute: `careful` is True after a loss: topics are to be tried alone.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.careful = False
        self._clock = clock
        self._suspects: dict[str, _Suspect] = {}

    def lost(self, topic: str, reason: str = "") -> bool:
        """Note that a connection was lost at a topic; return True when it is left out from now on.

        reason: the broker's, if it gave one.
        """
        self.careful = True
        # A broker that refuses something comes to the same one each time; a bad link breaks anywhere.
        self._suspects = {name: one for name, one in self._suspects.items() if name == topic or one.until}
        suspect = self._suspects.setdefault(topic, _Suspect())
        suspect.losses, suspect.reason = suspect.losses + 1, reason
        if suspect.losses >= _LOSSES:
            suspect.until = self._clock() + _LEFT_OUT_S
        return bool(suspect.until)

    def answered(self, topic: str) -> None:
        """Note that the broker has answered: it does not close the connection at this topic."""
        self._suspects.pop(topic, None)

    def calm(self) -> None:
        """Note that a connection lasts."""
        self.careful = False

    def refusal(self, topic: str) -> str:
        """Return why a topic is left out, empty when it may be sent."""
        suspect = self._suspects.get(topic)
        if suspect is None or not suspect.until:
            return ""
        return f"the connection was lost {_LOSSES} times at it{_given(suspect)}, it is left out for an hour"

    def released(self) -> bool:
        """Return True once when the hour of a topic is over; one more loss leaves it out again."""
        over = [one for one in self._suspects.values() if one.until and self._clock() >= one.until]
        for suspect in over:
            suspect.losses, suspect.until, self.careful = _LOSSES - 1, 0.0, True
        return bool(over)


def _given(suspect: _Suspect) -> str:
    return f" ({suspect.reason})" if suspect.reason else ""
