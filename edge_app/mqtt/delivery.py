"""Send closed intervals of the outbox, oldest first, as fast as the broker may be asked, and delete those it has.

A message that is sent again is equal to the first one byte for byte, so one id never stands for two contents.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from edge_app.mqtt.config_texts import ConfigTexts
from edge_app.mqtt.encoding import with_late
from edge_app.mqtt.events import Message
from edge_app.mqtt.held_back import HeldBack
from edge_app.mqtt.identity import Device, interval_topic
from edge_app.mqtt.in_flight import InFlight
from edge_app.storage.outbox import Outbox, Outgoing

_PAGE: Final = 50
"""Intervals read from the outbox at a time."""


class Publish(Protocol):
    """Hand a message to the session and note it as in flight; return its token."""

    def __call__(
        self,
        message: Message,
        key: int | None = None,
        *,
        required: bool = False,
        on_answer: Callable[[str], object] | None = None,
    ) -> int: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast intervals are sent.

    window: largest number of messages without an acknowledgement.
    rate: largest number of intervals sent per second, so that a device that returns after a week does not flood its
        broker. Each connection draws its own rate between half of it and all from `uniform`, so that the devices of a
        town do not deliver in step.
    """

    window: int = 20
    rate: float = 50.0
    uniform: Callable[[float, float], float] = random.uniform


USUAL_PACE: Final = Pace()


class IntervalDelivery:
    """Sender of the outbox's intervals, in the publisher's thread. Every method may raise StoreError.

    held_back, in_flight, configs: shared with the publisher. told: the lines that get a retained `latest`, others lose
        theirs. publish: sends a message.
    installation: returns the id under which intervals are numbered now. utc, clock: UTC seconds and monotonic seconds.

    Attribute: `delivered` counts the intervals that the broker has acknowledged since the start.
    """

    def __init__(
        self,
        outbox: Outbox,
        device: Device,
        told: frozenset[str],
        publish: Publish,
        *,
        held_back: HeldBack,
        in_flight: InFlight,
        configs: ConfigTexts,
        installation: Callable[[], str],
        pace: Pace,
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._outbox, self._device, self._told, self._publish = outbox, device, told, publish
        self._held_back, self._in_flight, self._configs = held_back, in_flight, configs
        self._installation = installation
        self._pace, self._rate = pace, pace.rate
        self._utc, self._clock = utc, clock
        self._taken_back = False
        self._cursor = self._generation = 0
        self._allowance, self._refilled = float(pace.window), clock()
        self.delivered = 0

    @property
    def pending(self) -> bool:
        """Return whether an interval waits to be sent."""
        return bool(self._outbox.pending(self._cursor, 1))

    def begin(self) -> None:
        """Begin a new connection: start again with the oldest interval, at a rate of its own."""
        self._cursor = 0
        self._rate = self._pace.rate * self._pace.uniform(0.5, 1.0)
        self._held_back.begin()
        self._taken_back = False

    def delete_acknowledged(self) -> None:
        """Delete what the broker has acknowledged."""
        if self._generation != self._outbox.generation:  # other rows, also older ones
            self._generation, self._cursor = self._outbox.generation, 0
        while self._in_flight.acknowledged:
            self._outbox.delete(self._in_flight.acknowledged[0])
            del self._in_flight.acknowledged[0]
            self.delivered += 1

    def release(self) -> None:
        """Go back to the first interval whose topic may be tried again."""
        released = self._held_back.release()
        self._cursor = self._cursor if released is None else min(self._cursor, released - 1)

    def send_due(self) -> float | None:
        """Send intervals from the cursor on as far as window and rate allow; return s until the next one, if known.

        The rate is limited by a token bucket that holds at most `window` intervals.
        """
        now = self._clock()
        self._allowance = min(self._pace.window, self._allowance + (now - self._refilled) * self._rate)
        self._refilled = now
        rows = self._outbox.pending(self._cursor, _PAGE)
        for row in rows:
            if len(self._in_flight) >= self._pace.window:
                return None
            if self._allowance < 1:
                return (1 - self._allowance) / self._rate
            if row.end > self._utc():
                self._held_back.wait_for_end(row.key)
            elif not self._in_flight.carries(row.key) and not self._send(row):
                return None
            self._cursor = row.key
        return 0.0 if len(rows) == _PAGE else None

    def _send(self, row: Outgoing) -> bool:
        """Send an interval, unless its topic is refused; return False when its configuration must go first."""
        document = json.loads(row.payload)
        # A device that was renamed delivers what it counted under its former name where that belongs.
        prefix = self._device.prefix_of(document["site"], document["device"])
        topic = interval_topic(prefix, row.line)
        if self._held_back.holds(topic):
            return True
        if not self._configs.ready(prefix, row.config, self._publish):
            return False
        late = self._utc() - row.end > row.end - row.start
        # `late` is stored before the first sending, so that a second one after a crash or much later is the same.
        sealed = self._outbox.seal(row.key, late) if row.late is None else row.late
        payload = with_late(row.payload, sealed).encode()
        self._allowance -= 1
        self._publish(Message(topic, payload, qos=1), row.key, required=True)
        if self._is_latest(row, prefix):
            latest = Message(f"{prefix}/latest/{row.line}", payload, qos=1, retained=True)
            self._outbox.memory.note_retained(row.line)
            self._publish(latest, row.key)
        return True

    def _is_latest(self, row: Outgoing, prefix: str) -> bool:
        """Return True for the highest number of a line with `latest` under the present installation."""
        present = prefix == self._device.prefix and row.installation == self._installation()
        return present and row.line in self._told and row.seq == self._outbox.newest_seq(row.installation, row.line)

    def take_back(self) -> None:
        """Remove the retained `latest` of lines that have none any more, once in a connection."""
        if self._taken_back:
            return
        self._taken_back = True
        for line in set(self._outbox.memory.retained()) - self._told:
            message = Message(f"{self._device.prefix}/latest/{line}", b"", qos=1, retained=True)
            self._publish(message, on_answer=lambda no, line=line: None if no else self._forget(line))  # type: ignore[misc]

    def _forget(self, line: str) -> None:
        self._outbox.memory.forget_retained(line)
