"""Know what is held back: topics that the broker refuses, and intervals whose end has not come yet."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

_FUTURE_S: Final = 1.0
"""Seconds after which an interval whose end had not come yet is tried again."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """Key of the first interval that is held back, and when to try it again (monotonic s)."""

    first_key: int
    retry_at: float


class HeldBack:
    """What is held back from the broker, while all else goes on.

    retry_s: seconds until a line whose topic was refused is tried again. clock: monotonic s.

    Attribute: `problem` is one sentence on the refused topics, with a remedy; empty without any.
    """

    def __init__(self, retry_s: float, clock: Callable[[], float]) -> None:
        self._retry_s, self._clock = retry_s, clock
        self._refusals: dict[str, str] = {}
        self._topics: dict[str, _Held] = {}
        self._future: _Held | None = None
        self.problem = ""

    @property
    def limits(self) -> list[str]:
        """Return one sentence for each refused topic, and for intervals that wait for the clock."""
        refused = [f"broker refuses {topic} ({reason})" for topic, reason in self._refusals.copy().items()]
        waits = "intervals wait until the clock has reached their end: it was set back"
        return [*refused, waits] if self._future else refused

    def begin(self) -> None:
        """Begin a new connection: everything may be tried."""
        self._topics.clear()
        self._future = None

    def note(self, topic: str, refused: str) -> None:
        """Note the broker's answer to a message. refused: its reason for refusing it, empty when accepted."""
        beside = "/meta/" in topic or "/pieces/" in topic or topic.endswith("/config/reported")
        if beside or self._refusals.get(topic, "") == refused:  # those beside hold no count back
            return
        if refused:
            self._refusals[topic] = refused
            log.warning("broker refuses %s (%s)", topic, refused)
        else:
            del self._refusals[topic]
            log.info("broker accepts %s again", topic)
        self.problem = _describe(self._refusals)

    def hold(self, topic: str, key: int) -> None:
        """Hold the intervals of a refused topic back, from this key on."""
        first_key = min(key, self._topics[topic].first_key) if topic in self._topics else key
        self._topics[topic] = _Held(first_key, self._clock() + self._retry_s)

    def holds(self, topic: str) -> bool:
        return topic in self._topics

    def wait_for_end(self, key: int) -> None:
        """Hold back an interval whose end has not come yet by the present clock."""
        self._future = self._future or _Held(key, self._clock() + _FUTURE_S)

    def release(self) -> int | None:
        """Return the lowest key from which on intervals may be tried again now; None when there is none."""
        now = self._clock()
        keys = [held.first_key for held in self._topics.values() if now >= held.retry_at]
        self._topics = {topic: held for topic, held in self._topics.items() if now < held.retry_at}
        if self._future and now >= self._future.retry_at:
            keys.append(self._future.first_key)
            self._future = None
        return min(keys, default=None)


def _describe(refusals: dict[str, str]) -> str:
    """Return one sentence on the refused topics (topic -> reason), with a remedy; empty without any."""
    if not refusals:
        return ""
    topic, reason = next(iter(refusals.items()))
    others = f" and {len(refusals) - 1} more topics" if len(refusals) > 1 else ""
    advice = "allow it in the broker's access list" if reason == "Not authorized" else "ask its administrator"
    return f"broker refuses {topic} ({reason}){others}; {advice}"
