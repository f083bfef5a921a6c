"""Know which messages the broker has not answered yet, and which intervals are delivered by its answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from edge_app.errors import StoreError
from edge_app.mqtt.held_back import HeldBack

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """Message that the broker has not answered yet.

    key: of the interval in the outbox that it carries, None for other messages.
    required: True when its refusal keeps the interval in the outbox; `latest` may be refused without that.
    on_answer: called with the broker's reason for refusing it, empty when it has accepted it.
    """

    topic: str
    key: int | None = None
    required: bool = False
    on_answer: Callable[[str], object] | None = None


class InFlight:
    """Messages in flight, by the token of their publication. held_back: is told of refusals.

    Attribute: `acknowledged` has the keys of intervals that are to be deleted from the outbox.
    """

    def __init__(self, held_back: HeldBack) -> None:
        self._held_back = held_back
        self._sent: dict[int, Sent] = {}
        self._awaiting: dict[int, set[int]] = {}  # key of a sent interval -> tokens of its messages in flight
        self.acknowledged: list[int] = []

    def __len__(self) -> int:
        return len(self._sent)

    def has(self, token: int) -> bool:
        """Return whether this message was not answered yet."""
        return token in self._sent

    def carries(self, key: int) -> bool:
        """Return whether a message of this interval was not answered yet."""
        return key in self._awaiting

    def add(self, token: int, sent: Sent) -> None:
        """Note a message that was handed to the session."""
        self._sent[token] = sent
        if sent.key is not None:
            self._awaiting.setdefault(sent.key, set()).add(token)

    def forget(self) -> None:
        """Forget all: the connection is lost, and what was not answered is sent again."""
        self._sent.clear()
        self._awaiting.clear()

    def settle(self, token: int, refused: str) -> None:
        """Use the broker's answer: an interval is delivered when all its messages are answered and counts accepted.

        refused: its reason for refusing the message, empty when it has accepted it.
        """
        sent = self._sent.pop(token, None)
        if sent is None:
            return
        self._held_back.note(sent.topic, refused)
        if sent.on_answer is not None:
            try:
                sent.on_answer(refused)
            except StoreError as error:  # what could not be noted is done once more
                log.warning("%s", error)
        if sent.key is None or token not in self._awaiting.get(sent.key, ()):
            return
        self._awaiting[sent.key].remove(token)
        if refused and sent.required:
            del self._awaiting[sent.key]
            self._held_back.hold(sent.topic, sent.key)
        elif not self._awaiting[sent.key]:
            del self._awaiting[sent.key]
            self.acknowledged.append(sent.key)
