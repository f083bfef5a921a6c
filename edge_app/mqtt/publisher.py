"""From the outbox to the broker: oldest first, deleted only when acknowledged, nothing under one id in two versions."""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from edge_app.errors import StoreError
from edge_app.mqtt.connection import Acked, Connected, Event, Lost, Message
from edge_app.mqtt.encoding import encode, encode_status, with_late
from edge_app.mqtt.identity import Device
from edge_app.mqtt.messages import Health, Meta, State
from edge_app.mqtt.session import Session
from edge_app.storage.sqlite import Outbox, Outgoing

log = logging.getLogger(__name__)

_IDLE_S: Final = 0.25  # how soon a stop or a newly closed interval is seen
_PAGE: Final = 50


@dataclass(frozen=True, slots=True)
class BirthMessage:
    """Something said at every connect beside status and meta. taken: called once the broker has it."""

    message: Message
    taken: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message without an answer yet. key: of the interval that waits for it. decides: whether a refusal keeps it.
    taken: who wants to know that the broker has it."""

    topic: str
    key: int | None = None
    line: str = ""
    decides: bool = False
    taken: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class _Parked:
    """A line whose topic the broker refuses: from which key on, and when to ask again (monotonic s)."""

    first: int
    until: float


def will(device: Device, at: float) -> Message:
    """What the broker says for us when we vanish; `at`, UTC s, is when the connection is made."""
    return _status(device, "offline", at)


def _status(device: Device, state: State, at: float) -> Message:
    return Message(f"{device.prefix}/status", encode_status(device, state, at).encode(), qos=1, retained=True)


class Publisher:
    """Delivers closed intervals, presence and health; everything but the read-only properties belongs to one thread.

    At most `window` messages are unacknowledged at a time, and at most `rate` intervals are offered a second, so that
    a device that returns after a week does not flood its broker; each connection has a pace of its own between half of
    it and all, drawn by `uniform`, so that a town's devices do not deliver in step. Health goes out every interval_s
    and is not kept. A line whose topic is refused is asked for again after refused_retry_s, the others go on. While the
    store cannot be used it is tried again every store_retry_s. birth_messages: asked at every connect.
    """

    def __init__(
        self,
        session: Session,
        outbox: Outbox,
        device: Device,
        meta: Meta,
        health: Callable[[], Health],
        *,
        interval_s: float,
        birth_messages: Callable[[], Sequence[BirthMessage]] = lambda: (),
        window: int = 20,
        rate: float = 50.0,
        uniform: Callable[[float, float], float] = random.uniform,
        refused_retry_s: float = 60.0,
        store_retry_s: float = 5.0,
        utc: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._session, self._outbox, self._device, self._meta, self._health = session, outbox, device, meta, health
        self._greetings = birth_messages
        self._interval_s, self._window, self._rate, self._uniform = interval_s, window, rate, uniform
        self._pace = rate
        self._refused_retry_s, self._store_retry_s = refused_retry_s, store_retry_s
        self._utc, self._clock = utc, clock
        self._sent: dict[int, _Sent] = {}
        self._open: dict[int, set[int]] = {}  # key of an offered interval -> tokens that wait for an answer
        self._delivered: list[int] = []
        self._parked: dict[str, _Parked] = {}
        self._refusals: dict[str, str] = {}
        self._cursor = 0
        self._allowance, self._refilled = float(window), clock()
        self._health_due = self._store_due = clock()
        self._wait = 0.0
        self._refused = self.store_problem = ""
        self.unsent = self.lost = self.delivered = 0
        self.oldest_end: float | None = None

    @property
    def problem(self) -> str:
        """One sentence, empty when all is well."""
        return self._session.problem or self._refused or self.store_problem

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def connections(self) -> int:
        """How often the broker has accepted us since the start."""
        return self._session.connections

    def run(self, stop: threading.Event, drain_s: float = 5.0) -> None:
        """The thread's body."""
        while not stop.is_set():
            self.step(_IDLE_S)
        self.drain(drain_s)

    def step(self, timeout: float) -> None:
        """What is due now, and at most about `timeout` seconds of waiting."""
        for event in self._session.poll(min(timeout, self._wait)):
            self._take(event)
        self._wait = timeout
        self._use_store()
        if self._session.connected and self._clock() >= self._health_due:
            self._health_due = self._clock() + self._interval_s
            payload = encode(self._health()).encode()
            # Old news to whoever was away for longer: a broker need not keep it for them.
            expires_s = math.ceil(10 * self._interval_s)
            self._session.publish(Message(f"{self._device.prefix}/health", payload, expires_s=expires_s))

    def drain(self, deadline_s: float) -> None:
        """Delivers what it can within the deadline and says `stopped`; without a connection it ends at once."""
        end = self._clock() + deadline_s
        reserve = min(1.0, deadline_s / 2)
        while self._session.connected and self._busy() and self._clock() < end - reserve:
            self.step(0.05)
        if self._session.connected:
            token = self._publish(_status(self._device, "stopped", self._utc()))
            while token in self._sent and self._clock() < end:
                for event in self._session.poll(0.05):
                    self._take(event)
        self._session.close()
        self._use_store()

    def _busy(self) -> bool:
        try:
            return bool(self._sent or self._outbox.pending(self._cursor, 1))
        except StoreError:
            return False

    def _take(self, event: Event) -> None:
        if isinstance(event, Connected) and self._session.connected:
            self._begin()
        elif isinstance(event, Lost):
            self._sent.clear()
            self._open.clear()
        elif isinstance(event, Acked) and event.token in self._sent:
            self._answered(event.token, self._sent.pop(event.token), event.refused)

    def _begin(self) -> None:
        self._cursor = 0
        self._pace = self._rate * self._uniform(0.5, 1.0)
        self._parked.clear()
        self._health_due = self._clock()
        self._publish(_status(self._device, "online", self._utc()))
        self._publish(Message(f"{self._device.prefix}/meta", encode(self._meta).encode(), qos=1, retained=True))
        for greeting in self._greetings():
            token = self._session.publish(greeting.message)
            self._sent[token] = _Sent(greeting.message.topic, taken=greeting.taken)

    def _publish(self, message: Message, row: Outgoing | None = None, *, decides: bool = False) -> int:
        token = self._session.publish(message)
        self._sent[token] = _Sent(message.topic, row.key if row else None, row.line if row else "", decides)
        return token

    def _answered(self, token: int, sent: _Sent, refused: str) -> None:
        self._note_refusal(sent.topic, refused)
        if sent.taken is not None and not refused:
            sent.taken()
        if sent.key is None or token not in self._open.get(sent.key, ()):
            return
        self._open[sent.key].remove(token)
        if refused and sent.decides:
            del self._open[sent.key]
            self._park(sent.line, sent.key)
        elif not self._open[sent.key]:
            del self._open[sent.key]
            self._delivered.append(sent.key)

    def _park(self, line: str, key: int) -> None:
        first = min(key, self._parked[line].first) if line in self._parked else key
        self._parked[line] = _Parked(first, self._clock() + self._refused_retry_s)

    def _unpark(self) -> None:
        for line, parked in list(self._parked.items()):
            if self._clock() >= parked.until:
                del self._parked[line]
                self._cursor = min(self._cursor, parked.first - 1)

    def _note_refusal(self, topic: str, reason: str) -> None:
        if self._refusals.get(topic, "") == reason:
            return
        if reason:
            self._refusals[topic] = reason
            log.warning("broker refuses %s (%s)", topic, reason)
        else:
            del self._refusals[topic]
            log.info("broker takes %s again", topic)
        self._refused = _sentence(self._refusals)

    def _use_store(self) -> None:
        if self._clock() < self._store_due:
            return
        try:
            self._delete_delivered()
            if self._session.connected:
                self._unpark()
                self._offer()
            self.unsent, self.lost = len(self._outbox), self._outbox.dropped
            self.oldest_end = self._outbox.oldest_end() if self.unsent else None
            self.store_problem = ""
        except StoreError as error:
            self._store_due = self._clock() + self._store_retry_s
            if str(error) != self.store_problem:
                self.store_problem = str(error)
                log.warning("%s", error)

    def _delete_delivered(self) -> None:
        while self._delivered:
            self._outbox.delete(self._delivered[0])
            del self._delivered[0]
            self.delivered += 1

    def _offer(self) -> None:
        now = self._clock()
        self._allowance = min(self._window, self._allowance + (now - self._refilled) * self._pace)
        self._refilled = now
        rows = self._outbox.pending(self._cursor, _PAGE)
        for row in rows:
            if len(self._sent) >= self._window:
                return
            if self._allowance < 1:
                self._wait = (1 - self._allowance) / self._pace
                return
            if row.line not in self._parked and row.key not in self._open:
                self._send(row)
                self._allowance -= 1
            self._cursor = row.key
        if len(rows) == _PAGE:
            self._wait = 0.0

    def _send(self, row: Outgoing) -> None:
        late = self._utc() - row.end > row.end - row.start
        # Fixed on disk before the first offering: a second one must not differ from it, whatever happens in between.
        sealed = self._outbox.seal(row.key, late) if row.late is None else row.late
        payload = with_late(row.payload, sealed).encode()
        newest = self._outbox.newest_start(row.line) == row.start
        counts = Message(f"{self._device.prefix}/counts/{row.line}", payload, qos=1)
        self._open[row.key] = {self._publish(counts, row, decides=True)}
        if newest:
            latest = Message(f"{self._device.prefix}/latest/{row.line}", payload, qos=1, retained=True)
            self._open[row.key].add(self._publish(latest, row))


def _sentence(refusals: dict[str, str]) -> str:
    if not refusals:
        return ""
    topic, reason = next(iter(refusals.items()))
    others = f" and {len(refusals) - 1} more topics" if len(refusals) > 1 else ""
    advice = "allow it in the broker's access list" if reason == "Not authorized" else "ask whoever runs it"
    return f"broker refuses {topic} ({reason}){others}; {advice}"
