"""A connection to the broker that is made again for ever, for publishing and for subscribing."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Literal, TypeAlias

from edge_app.errors import BrokerError
from edge_app.mqtt.connection import Connected, Connection, Event, Lost, Message, Protocol, SubscriptionRefused, Timing
from edge_app.mqtt.endpoint import Backoff, Endpoint, tls_context

log = logging.getLogger(__name__)

_TIMING: Final = Timing()
_BACKOFF: Final = Backoff()
Choice: TypeAlias = Literal["auto", "5", "3.1.1"]
Old: TypeAlias = Literal["no", "maybe", "asking", "yes"]
"""Whether the broker knows only 3.1.1: some say so, others close the connection without a word."""
_AFTER_SILENCE: Final[dict[Old, Old]] = {"no": "maybe", "maybe": "maybe", "asking": "yes", "yes": "yes"}

_TWIN: Final = 3
"""Connections lost so soon in a row raise the question; few brokers tell a client that it was thrown out by a twin."""


class Session:
    """Keeps one connection; used by one thread, which must keep calling `poll`.

    will: builds the last will anew for each connection. protocol "auto" begins each connection with MQTT 5 and takes
    3.1.1 only where the broker refuses 5: over 3.1.1 a message that the broker's access list forbids is acknowledged
    and lost without a trace.

    `problem` is one sentence about why there is no connection, empty while there is one, and logged once; `failures`
    counts those in a row, `connections` those that were made so far. Raises ConfigError when the TLS files do not fit.
    """

    def __init__(
        self,
        to: Endpoint,
        client_id: str,
        *,
        protocol: Choice = "auto",
        will: Callable[[], Message] | None = None,
        timing: Timing = _TIMING,
        backoff: Backoff = _BACKOFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem, self.failures, self.connections = "", 0, 0
        self._to, self._client_id, self._choice, self._will = to, client_id, protocol, will
        self._timing, self._backoff, self._clock = timing, backoff, clock
        self._tls = tls_context(to.tls) if to.tls else None
        self._connection: Connection | None = None
        self._next = self._first
        self._old: Old = "no"
        self._due = clock()
        self._connected_at: float | None = None

    @property
    def connected(self) -> bool:
        """May be asked by any thread."""
        connection = self._connection
        return connection is not None and connection.accepted

    def poll(self, timeout: float) -> Sequence[Event]:
        """Does what is due, for at most about `timeout` seconds, and returns what happened, oldest first."""
        remaining = self._due - self._clock()
        if self._connection is None and remaining > 0:
            time.sleep(min(timeout, remaining))
            return ()
        if self._connection is None:
            self._connection = self._connect()
        return [event for event in self._connection.poll(timeout) if self._note(event)]

    def publish(self, message: Message) -> int:
        """Hands a message over; with QoS 1 an `Acked` with the returned token follows, or `Lost`.

        Raises BrokerError when there is no connection: what must not be lost stays with the caller.
        """
        return self._live().publish(message)

    def subscribe(self, topics: Sequence[str]) -> None:
        """For this connection, at QoS 1; a refusal arrives as an event. Raises BrokerError without a connection."""
        self._live().subscribe(topics)

    def close(self) -> None:
        """Says goodbye, so that the broker does not send the last will."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _first(self) -> Protocol:
        return "3.1.1" if self._choice == "3.1.1" else "5"

    def _live(self) -> Connection:
        if self._connection is None:
            raise BrokerError(self.problem or f"broker {self._to}: not connected")
        return self._connection

    def _connect(self) -> Connection:
        return Connection(
            self._to,
            self._client_id,
            self._next,
            timing=self._timing,
            will=self._will() if self._will else None,
            tls=self._tls,
            clock=self._clock,
        )

    def _note(self, event: Event) -> bool:
        """Whether the owner is to know."""
        if isinstance(event, Connected):
            return self._accept(event.protocol)
        if isinstance(event, Lost):
            self._retry(event)
        return True

    def _accept(self, protocol: Protocol) -> bool:
        if protocol == "3.1.1" and self._old == "maybe":
            # An old broker, or one that was down a moment ago behind a proxy that answered for it? Ask once more in 5.
            self.close()
            self._old, self._next, self._due = "asking", "5", self._clock()
            return False
        self._old = "no" if protocol == "5" else self._old
        self.problem, self._connected_at = "", self._clock()
        self.connections += 1
        log.info("broker %s: connected with MQTT %s", self._to, protocol)
        return True

    def _retry(self, lost: Lost) -> None:
        self._connection, connected_at, self._connected_at = None, self._connected_at, None
        if self._falls_back(lost):
            self._next, self._due = "3.1.1", self._clock()
            return
        # A connection that is soon taken away again, by a twin of ours for instance, is a failure like any other.
        lasted = connected_at is not None and self._clock() - connected_at >= self._backoff.max_s
        self.failures = 1 if lasted else self.failures + 1
        self._next, self._due = self._first, self._clock() + self._backoff.delay(self.failures)
        twin = connected_at is not None and self.failures >= _TWIN
        why = f"{lost.why}, each time soon; does another client use the id {self._client_id}?" if twin else lost.why
        if why != self.problem:
            self.problem = why
            log.warning("%s", why)

    def _falls_back(self, lost: Lost) -> bool:
        asked_v5 = self._choice == "auto" and self._next == "5"
        if asked_v5 and lost.refuses_protocol:
            self._old = "yes"
        elif asked_v5 and lost.silent:
            self._old = _AFTER_SILENCE[self._old]
        elif self._old != "yes":
            self._old = "no"
        return asked_v5 and (lost.refuses_protocol or lost.silent)


class Subscriber:
    """Everything published under some topic filters, across lost connections; used by one thread."""

    def __init__(self, session: Session, topics: Sequence[str]) -> None:
        self._session, self._topics = session, topics
        self._inbox: deque[Message] = deque()
        self._refused = ""

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def problem(self) -> str:
        """One sentence, empty when all is well."""
        return self._session.problem or self._refused

    def read(self, timeout: float) -> Message | None:
        """The next message, or None when none came within about `timeout` seconds."""
        if not self._inbox:
            for event in self._session.poll(timeout):
                self._take(event)
        return self._inbox.popleft() if self._inbox else None

    def _take(self, event: Event) -> None:
        if isinstance(event, Message):
            self._inbox.append(event)
        elif isinstance(event, Connected) and self._session.connected:
            self._refused = ""
            self._session.subscribe(self._topics)
        elif isinstance(event, SubscriptionRefused):
            self._refused = f"broker refuses the subscription to {event.topic} ({event.reason}); check its access list"

    def close(self) -> None:
        self._session.close()


def probe(to: Endpoint, client_id: str, *, protocol: Choice = "auto", timeout_s: float = 10.0) -> Protocol:
    """Whether the broker accepts us, and in which version of MQTT. Use an id of its own, or the service is thrown out.

    Raises BrokerError with the reason, after three attempts or timeout_s.
    """
    quick = Backoff(min_s=0.2, max_s=0.2)
    session = Session(to, client_id, protocol=protocol, timing=Timing(connect=timeout_s), backoff=quick)
    deadline = time.monotonic() + timeout_s
    try:
        while session.failures < 3 and time.monotonic() < deadline:
            for event in session.poll(0.1):
                if isinstance(event, Connected):
                    return event.protocol
        raise BrokerError(session.problem or f"broker {to}: no answer within {timeout_s:g} s")
    finally:
        session.close()
