"""The publisher of a device without a thread of its own: a carrier wakes it when there is something to do for it.

Session, outbox, payloads and commands are those of every device. Only who waits is another: thousands of devices wait
together, in one look at all their connections.
"""

from __future__ import annotations

import heapq
import math
import queue
import selectors
import time
from collections.abc import Sequence
from typing import Final

from edge_app.mqtt.client import Client
from edge_app.mqtt.connection import Connection
from edge_app.mqtt.events import Event
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Session

_ANSWER_S: Final = 5.0
"""Longest wait until the limits of a connection that the broker has not accepted are looked at."""


class _LeanClient(Client):
    """Client that connects where it is: to an address of this machine that takes no time, and a thread would."""

    def dial(self) -> queue.SimpleQueue[Exception | None]:
        """Connect; the queue gets None, or what went wrong."""
        outcome: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()
        self._dial(outcome)
        return outcome


class _LeanConnection(Connection):
    kind = _LeanClient


class LeanSession(Session):
    """Session that never waits: its carrier knows when something has come."""

    kind = _LeanConnection

    def poll(self, timeout: float) -> Sequence[Event]:  # noqa: ARG002
        """Send and receive what goes at once."""
        return super().poll(0.0) if self._connection is not None or self._due <= self._clock() else ()

    @property
    def dialed(self) -> bool:
        """Whether it has just connected, or failed, and has not looked at that."""
        return self._connection is not None and self._connection._outcome is not None

    @property
    def wanted(self) -> tuple[int, int]:
        """File of the connection, -1 without one, and the events of `selectors` that it waits for."""
        client = self._connection._client if self._connection is not None and not self.dialed else None
        socket = client._paho.socket() if client is not None else None
        if client is None or socket is None:
            return -1, 0
        return socket.fileno(), selectors.EVENT_READ | (selectors.EVENT_WRITE if client._paho.want_write() else 0)

    @property
    def due_in_s(self) -> float:
        """Seconds until it is to be polled though nothing has come."""
        connection = self._connection
        if connection is None:
            return max(0.0, self._due - self._clock())
        client = connection._client
        has_more = self.dialed or connection._events or (client is not None and client._paho.unread)
        return 0.0 if has_more else _ANSWER_S if not connection.accepted else math.inf


class LeanPublisher(Publisher):
    """Publisher that waits nowhere. idle_s: longest time until it looks at its queue and its clock by itself."""

    carrier: Carrier
    idle_s = 5.0

    def step(self, timeout: float) -> None:
        """Have the carrier look after all its publishers, this one too, for at most about `timeout` seconds."""
        self.carrier.turn(timeout)

    def work(self) -> None:
        """Do what is due now."""
        super().step(self.idle_s)

    @property
    def session(self) -> LeanSession:
        """Its session, which must be one that never waits."""
        assert isinstance(self._session, LeanSession)
        return self._session

    @property
    def due_in_s(self) -> float:
        """Seconds until it has to work though nothing has come."""
        if not self._session.connected:
            return self.session.due_in_s
        health = max(0.0, self._health_due - self._clock())
        return min(self._wait, health, self.idle_s, self.session.due_in_s)


class Carrier:
    """Waits for many publishers, and has each work when something has come or is due. It belongs to one thread."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._watched: dict[LeanPublisher, tuple[int, int]] = {}
        self._at: dict[LeanPublisher, float] = {}
        self._heap: list[tuple[float, int, LeanPublisher]] = []
        self._number = 0

    def add(self, publisher: LeanPublisher) -> None:
        """Look after a publisher from now on."""
        publisher.carrier = self
        self._watched[publisher] = -1, 0
        self.hurry(publisher)

    def remove(self, publisher: LeanPublisher) -> None:
        """Forget a publisher, whose connection is the caller's business."""
        self._watch(publisher, -1, 0)
        del self._watched[publisher], self._at[publisher]

    def hurry(self, publisher: LeanPublisher) -> None:
        """Have a publisher work at the next turn: it has something new."""
        self._plan(publisher, time.monotonic())

    def turn(self, timeout: float) -> None:
        """Have publishers work, waiting for at most about `timeout` seconds."""
        now = time.monotonic()
        while self._heap and self._at.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        wait = min(timeout, max(0.0, self._heap[0][0] - now) if self._heap else timeout)
        for key, _ in self._selector.select(wait):
            self._work(key.data)
        now = time.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, publisher = heapq.heappop(self._heap)
            if self._at.get(publisher) == due:
                self._work(publisher)

    def close(self) -> None:
        """Give the files back."""
        self._selector.close()

    def _work(self, publisher: LeanPublisher) -> None:
        publisher.work()
        self._watch(publisher, *publisher.session.wanted)
        self._plan(publisher, time.monotonic() + publisher.due_in_s)

    def _plan(self, publisher: LeanPublisher, at: float) -> None:
        self._number += 1
        self._at[publisher] = at
        heapq.heappush(self._heap, (at, self._number, publisher))

    def _watch(self, publisher: LeanPublisher, file: int, events: int) -> None:
        before = self._watched[publisher]
        if before == (file, events):
            return
        if before[0] == file:
            self._selector.modify(file, events, publisher)
        else:
            if before[0] >= 0:
                self._selector.unregister(before[0])
            if file >= 0:
                self._selector.register(file, events, publisher)
        self._watched[publisher] = file, events
