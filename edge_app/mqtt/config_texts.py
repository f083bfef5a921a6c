"""Publish what was counted under each `config` on meta/{config}, before the first interval that names it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, Protocol

from edge_app.errors import StoreError
from edge_app.mqtt.device_messages import ConfigMeta, Meta
from edge_app.mqtt.encoding import encode
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device
from edge_app.storage.memory import DeliveryMemory

log = logging.getLogger(__name__)

_TIDY_S: Final = 60.0
_ANSWER_S: Final = 20.0
"""Longest wait of an interval for the broker's answer to its text."""


class Publish(Protocol):
    """Publish a message; on_answer gets the broker's reason for refusing it, empty when it has accepted it."""

    def __call__(self, message: Message, *, on_answer: Callable[[str], object]) -> int: ...


class ConfigTexts:
    """Texts of the configurations, retained at the broker as long as an interval of theirs is kept here.

    A broker that refuses one holds no count back. Methods that publish may raise StoreError.

    Attribute: `limits` has a sentence for each refused text.
    """

    def __init__(
        self, memory: DeliveryMemory, device: Device, meta: Meta, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._memory, self._device, self._clock = memory, device, clock
        self._current, self._text = meta.config, _text_of(meta)
        self._answered: set[tuple[str, str]] = set()
        self._in_flight: dict[tuple[str, str], float] = {}  # since when, monotonic s
        self._repeated: set[tuple[str, str]] = set()
        self._job: object = None
        self._tidy_due = 0.0
        self._stored = False
        self._refused: dict[str, str] = {}

    @property
    def limits(self) -> list[str]:
        return [f"broker refuses {topic} ({reason})" for topic, reason in self._refused.copy().items()]

    def renew(self, meta: Meta) -> None:
        """Have another text, or another configuration, from now on: names and places are in a text, not in its hash."""
        self._current, self._text, self._stored = meta.config, _text_of(meta), False
        key = self._device.prefix, self._current
        self._answered.discard(key)
        self._in_flight.pop(key, None)

    def lost(self) -> None:
        """Begin anew with the next connection: the present text is published again at every connect."""
        self._answered.clear()
        self._in_flight.clear()
        self._repeated.clear()
        self._tidy_due = 0.0

    def publish_current(self, publish: Publish) -> None:
        """Publish the present text once in a connection, and have it on disk before."""
        if not self._current or (self._device.prefix, self._current) in {*self._answered, *self._in_flight}:
            return
        if not self._stored or self._memory.config(self._device.prefix, self._current) is None:
            self._memory.put_config(self._device.prefix, self._current, self._text)  # also in a file that was replaced
            self._stored = True
        self.ready(self._device.prefix, self._current, publish)

    def ready(self, prefix: str, config: str, publish: Publish, *, again: object = None) -> bool:
        """Return True when the broker has answered the text under which an interval was counted, or takes too long.

        again: the `resend` that repeats the interval; each one publishes a former text once more.
        """
        key = prefix, config
        if again is not self._job and again is not None:
            self._job = again
            self._repeated.clear()
        current = key == (self._device.prefix, self._current)
        if not config or key in (self._answered if again is None or current else self._repeated):
            return True
        if key in self._in_flight:
            return self._clock() - self._in_flight[key] > _ANSWER_S
        known = self._memory.config(prefix, config)
        if known is None or (known.sent and again is None and not current):
            self._note(key)
            return True
        self._in_flight[key] = self._clock()
        message = Message(f"{prefix}/meta/{config}", known.payload.encode(), qos=1, retained=True)
        publish(message, on_answer=lambda refused: self._on_answer(key, message.topic, refused))
        return False

    def tidy(self, publish: Publish) -> None:
        """Take back the texts of which no interval is kept any more."""
        if self._clock() < self._tidy_due:
            return
        self._tidy_due = self._clock() + _TIDY_S
        for prefix, config in self._memory.unused_configs():
            if (prefix, config) != (self._device.prefix, self._current):
                message = Message(f"{prefix}/meta/{config}", b"", qos=1, retained=True)
                publish(message, on_answer=lambda _refused, key=(prefix, config): self._memory.forget_config(*key))  # type: ignore[misc]

    def _on_answer(self, key: tuple[str, str], topic: str, refused: str) -> None:
        self._in_flight.pop(key, None)
        self._note(key)
        if refused:
            self._refused[topic] = refused
        else:
            self._refused.pop(topic, None)
            try:
                self._memory.note_config_sent(*key)
            except StoreError as error:
                log.warning("%s", error)  # it is sent once more

    def _note(self, key: tuple[str, str]) -> None:
        self._answered.add(key)
        self._repeated.add(key)


def _text_of(meta: Meta) -> str:
    return encode(ConfigMeta(**{name: getattr(meta, name) for name in ConfigMeta.model_fields if name != "schema_id"}))
