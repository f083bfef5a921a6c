"""Keep messages that no count uses until the broker has acknowledged them; in memory alone: comparisons, reviews."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from edge_app.mqtt.events import Message

_AT_ONCE: Final = 2


class Publish(Protocol):
    """Publishes a message; `on_answer` gets the broker's reason for refusing it, empty when it has accepted it."""

    def __call__(self, message: Message, *, on_answer: Callable[[str], object]) -> int: ...


@dataclass(slots=True, eq=False)
class _Waiting:
    topic: str
    payload: str
    offered: bool = False


class InMemory:
    """Messages that wait for the broker. `add` may be called by any thread, all else by the publishing one.

    most: that wait; beyond it the oldest are dropped. `dropped` counts those, and what the broker has refused.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._new: deque[_Waiting] = deque()
        self._waiting: list[_Waiting] = []
        self.dropped = 0

    def add(self, topic: str, payload: str) -> None:
        """Take a message."""
        self._new.append(_Waiting(topic, payload))
        while len(self._new) > self._most:
            self._new.popleft()
            self.dropped += 1

    def publish_due(self, publish: Publish) -> None:
        """Publish the oldest, a few at a time."""
        while self._new:
            self._waiting.append(self._new.popleft())
        self.dropped += max(0, len(self._waiting) - self._most)
        del self._waiting[: -self._most]
        free = _AT_ONCE - sum(one.offered for one in self._waiting)
        for one in [one for one in self._waiting if not one.offered][: max(0, free)]:
            one.offered = True
            publish(Message(one.topic, one.payload.encode(), qos=1), on_answer=self._done(one))

    def lost(self) -> None:
        """Note that the connection is lost: what was not acknowledged is published again."""
        for one in self._waiting:
            one.offered = False

    def _done(self, one: _Waiting) -> Callable[[str], None]:
        def done(refused: str) -> None:  # a refused one does not come again, and `limits` names its topic
            if one in self._waiting:
                self._waiting.remove(one)
                self.dropped += bool(refused)

        return done
