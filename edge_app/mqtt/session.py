"""Keep a connection to the broker, connecting again whenever it is lost, for publishing and for subscribing."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

from edge_app.errors import BrokerError
from edge_app.mqtt.broker_limits import NO_LIMITS, BrokerLimits
from edge_app.mqtt.connection import Connection
from edge_app.mqtt.endpoint import Backoff, Endpoint, tls_context
from edge_app.mqtt.events import Connected, Event, Lost, Message, Protocol, SubscriptionRefused, Timing
from edge_app.mqtt.suspects import Suspects

log = logging.getLogger(__name__)

_TIMING: Final = Timing()
_BACKOFF: Final = Backoff()
ProtocolChoice: TypeAlias = Literal["auto", "5", "3.1.1"]
_Legacy: TypeAlias = Literal["no", "maybe", "asking", "yes"]
"""Evidence that the broker is a legacy one, which supports only 3.1.1: some say so, others close the connection without
an answer. "asking": 5 is tried once more, to tell such a broker from one that was down for a moment."""
_AFTER_SILENCE: Final[dict[_Legacy, _Legacy]] = {"no": "maybe", "maybe": "maybe", "asking": "yes", "yes": "yes"}

_QUIET_S: Final = 1.0
"""After so long without a message the broker has sent all that it retains."""
_CONNECT_S: Final = 10.0
_RECALLED_AT_ONCE: Final = 200
"""Topics of one subscription: a broker takes about a millisecond for each, and answers all together."""
_DUPLICATE_ID_AFTER: Final = 3
"""Short connections in a row, closed by a broker that owed us no answer, after which a second client with the same id
is suspected; few brokers report one."""
_SLOWEST: Final = 32
"""Longest limit for acknowledgements, in units of the configured one."""
_WILLS: Final = (NO_LIMITS, BrokerLimits(retain=False), BrokerLimits(retain=False, max_qos=0))
"""Limits that are assumed in turn with 3.1.1, where a broker that cannot keep the last will only closes the
connection."""


class Session:
    """Connection to one broker that is made again after every loss.

    It belongs to one thread, which must call `poll` again and again; any thread may read `connected` and `limits`.

    to: the broker, or several addresses of one cluster, which are tried in turn. client_id: unique at the broker, which
        throws out the older of two clients with one id.
    protocol: "auto" tries MQTT 5 first in each connection and 3.1.1 only where the broker refuses 5, because over
        3.1.1 a message that the broker's access list forbids is acknowledged and lost without notice.
    will: builds the last will, once for each connection. qos: of subscriptions. timing: time-outs of a connection.
        backoff: waits between attempts.
    clock: monotonic seconds.
    Raises ConfigError: when the TLS files cannot be used.

    Attributes: `problem` is one sentence on why there is no connection, empty while there is one; it is logged once.
    `failures` counts failed connections in a row, `connections` all accepted ones.
    """

    kind: type[Connection] = Connection

    def __init__(
        self,
        to: Endpoint | Sequence[Endpoint],
        client_id: str,
        *,
        protocol: ProtocolChoice = "auto",
        will: Callable[[], Message] | None = None,
        qos: int = 1,
        timing: Timing = _TIMING,
        backoff: Backoff = _BACKOFF,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.problem, self.failures, self.connections = "", 0, 0
        self._addresses = (to,) if isinstance(to, Endpoint) else tuple(to)
        self._turn = 0
        self._client_id, self._choice, self._will, self._qos = client_id, protocol, will, qos
        self._timing, self._backoff, self._clock = timing, backoff, clock
        self._tls = tls_context(self._to.tls) if self._to.tls else None
        self._suspects = Suspects(clock)
        self._assumed = NO_LIMITS
        self._wills, self._confirmed = 0, False
        self._ack = timing.ack
        self._idle = 0
        self._connection: Connection | None = None
        self._protocol: Protocol = self._preferred_protocol
        self._legacy: _Legacy = "no"
        self._due = clock()
        self._connected_at: float | None = None

    @property
    def connected(self) -> bool:
        """True while the broker accepts the device; any thread may read it."""
        connection = self._connection
        return connection is not None and connection.accepted

    @property
    def subscribing(self) -> bool:
        """True while the broker has not answered a subscription."""
        return self._connection is not None and self._connection.subscribing

    @property
    def broker(self) -> BrokerLimits:
        """The limits of the broker; those of the last connection while there is none."""
        connection = self._connection
        return connection.limits if connection is not None and connection.accepted else self._assumed

    @property
    def limits(self) -> list[str]:
        """One sentence for each limit of the broker that changes what is delivered, and when."""
        connection = self._connection
        late = connection.late if connection is not None else 0.0
        waits = [f"broker acknowledges late: the oldest message has waited for {late:.0f} s"] if late else []
        return [*waits, *self.broker.sentences()]

    def poll(self, timeout: float) -> Sequence[Event]:
        """Connect when due, send and receive for at most about `timeout` seconds; return the events, oldest first."""
        remaining = self._due - self._clock()
        if self._connection is None and remaining > 0:
            time.sleep(min(timeout, remaining))
            return ()
        if self._connection is None:
            self._connection = self._connect()
        return [event for event in self._connection.poll(timeout) if self._handle(event)]

    def publish(self, message: Message) -> int:
        """Queue a message and return its token; `Acked` with this token or `Lost` follows.

        Raises BrokerError: when there is no connection. The session stores nothing, so the caller keeps what must not
        be lost.
        """
        return self._require_connection().publish(message)

    def subscribe(self, topics: Sequence[str], *, fresh: bool = False) -> None:
        """Subscribe for the present connection only; a refusal arrives as an event.

        fresh: see `Connection.subscribe`.
        Raises BrokerError: when there is no connection.
        """
        self._require_connection().subscribe(topics, fresh=fresh, qos=self._qos)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge messages that came since the last `Connected` event (`Timing.by_hand`).

        What is acknowledged too late, because the connection is lost, comes again.
        """
        if self._connection is not None:
            self._connection.acknowledge(messages)

    def released(self) -> bool:
        """Return True once when something that was left out may be tried again."""
        return self._suspects.released()

    def close(self) -> None:
        """Disconnect with a goodbye, so that the broker does not publish the last will."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @property
    def _to(self) -> Endpoint:
        return self._addresses[self._turn]

    @property
    def _preferred_protocol(self) -> Protocol:
        return "3.1.1" if self._choice == "3.1.1" else "5"

    def _require_connection(self) -> Connection:
        if self._connection is None:
            raise BrokerError(self.problem or f"broker {self._to}: not connected")
        return self._connection

    def _connect(self) -> Connection:
        return self.kind(
            self._to,
            self._client_id,
            self._protocol,
            timing=replace(self._timing, ack=self._ack),
            will=self._will() if self._will else None,
            tls=self._tls,
            suspects=self._suspects,
            assumed=self._assumed,
            clock=self._clock,
        )

    def _handle(self, event: Event) -> bool:
        """Update the state; return False for an event that must be hidden from the caller of `poll`."""
        if isinstance(event, Connected):
            return self._accept(event.protocol)
        if isinstance(event, Lost):
            self._retry(event)
        return True

    def _accept(self, protocol: Protocol) -> bool:
        doubtful = self._wills and not self._confirmed
        if (protocol == "3.1.1" and self._legacy == "maybe") or doubtful:
            # Either a legacy broker, or one that was down for a moment behind a proxy that closed the connection: try
            # MQTT 5, or the whole last will, once more to find out.
            self.close()
            self._due = self._clock()
            if doubtful:
                self._confirmed, self._assumed = True, NO_LIMITS
            else:
                self._legacy, self._protocol = "asking", "5"
            return False
        if self._confirmed and self._assumed == NO_LIMITS:
            self._wills, self._confirmed = 0, False
        self._legacy = "no" if protocol == "5" else self._legacy
        self.problem, self._connected_at = "", self._clock()
        self.connections += 1
        log.info("broker %s: connected with MQTT %s", self._to, protocol)
        return True

    def _retry(self, lost: Lost) -> None:
        connection, self._connection = self._connection, None
        connected_at, self._connected_at = self._connected_at, None
        if self._falls_back(lost) or self._falls_short(lost):
            self._due = self._clock()
            return
        if connection is not None and connected_at is not None:
            slowest = 2.0 * (self._ack if lost.slow else connection.slowest)
            self._ack = min(max(self._timing.ack, slowest), self._timing.ack * _SLOWEST)
        # A connection that soon ends, for instance because another client uses the same id, counts as a failure.
        lasted = connected_at is not None and self._clock() - connected_at >= self._backoff.max_s
        self.failures = 1 if lasted else self.failures + 1
        self._idle = 0 if lasted or not lost.idle else self._idle + 1
        problem = lost.reason
        if self._idle >= _DUPLICATE_ID_AFTER:
            problem += f", each time soon after connecting; does another client use the id {self._client_id}?"
        self._note_problem(problem)
        self._protocol = self._preferred_protocol
        rounds, others = divmod(self.failures - 1, len(self._addresses))
        self._turn = (self._turn + 1) % len(self._addresses)
        untried = others + 1 < len(self._addresses)
        self._due = self._clock() + self._backoff.delay(1 if untried else rounds + 1)

    def _note_problem(self, problem: str) -> None:
        if problem != self.problem:
            self.problem = problem
            log.warning("%s", problem)

    def _falls_back(self, lost: Lost) -> bool:
        """Return True when 3.1.1 must be tried at once; note what the loss says about a legacy broker."""
        asked_v5 = self._choice == "auto" and self._protocol == "5"
        if asked_v5 and lost.refuses_protocol:
            self._legacy = "yes"
        elif asked_v5 and lost.silent:
            self._legacy = _AFTER_SILENCE[self._legacy]
        elif self._legacy != "yes":
            self._legacy = "no"
        if asked_v5 and (lost.refuses_protocol or lost.silent):
            self._protocol = "3.1.1"
            return True
        return False

    def _falls_short(self, lost: Lost) -> bool:
        """Return True when the broker must be tried at once with a last will that it may be able to keep."""
        if lost.refuses_will:
            narrower = BrokerLimits(retain=lost.refuses_will != "retain", max_qos=int(lost.refuses_will != "qos"))
            before, self._assumed = self._assumed, narrower.under(self._assumed)
            return self._assumed != before
        if lost.silent and self._choice == "3.1.1" and self._will is not None:
            if self._confirmed and self._assumed == NO_LIMITS:
                self._assumed = _WILLS[self._wills]  # it has accepted this one and closes at the whole one
                return True
            self._wills = (self._wills + 1) % len(_WILLS)
            self._assumed, self._confirmed = _WILLS[self._wills], False
        return False


class Recall:
    """Topics of which the broker is asked for what it retains, by their names, in portions, on each connection.

    RabbitMQ retains messages for their exact topics alone: a subscription with wildcards gets none of them.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._topics: dict[str, None] = {}
        self._waiting: deque[str] = deque()

    @property
    def pending(self) -> bool:
        """True while the broker was not asked for all of them on this connection."""
        return bool(self._waiting)

    def add(self, topics: Sequence[str]) -> None:
        """Ask for these, too."""
        new = [topic for topic in topics if topic not in self._topics]
        self._topics.update(dict.fromkeys(new))
        self._waiting.extend(new)

    def begin(self) -> None:
        """Ask for all of them on a new connection."""
        self._waiting = deque(self._topics)

    def step(self) -> None:
        """Ask for the next portion when the broker has answered all before it."""
        if self._waiting and self._session.connected and not self._session.subscribing:
            many = min(_RECALLED_AT_ONCE, len(self._waiting))
            self._session.subscribe([self._waiting.popleft() for _ in range(many)])


class Subscriber:
    """Inbox of everything published under some topic filters, across lost connections; it belongs to one thread."""

    def __init__(self, session: Session, topics: Sequence[str]) -> None:
        self._session, self._topics = session, topics
        self._inbox: deque[Message] = deque()
        self._refusal = ""
        self._recall = Recall(session)

    @property
    def connected(self) -> bool:
        return self._session.connected

    @property
    def subscribing(self) -> bool:
        """True while the broker has not answered all subscriptions; what it retains comes after its answers."""
        return self._recall.pending or self._session.subscribing

    @property
    def problem(self) -> str:
        """One sentence, empty when all is well."""
        return self._session.problem or self._refusal

    def recall(self, topics: Sequence[str]) -> None:
        """Have what is retained under these topics delivered, now and on each connection to come; see `Recall`."""
        self._recall.add(topics)

    def read(self, timeout: float) -> Message | None:
        """Return the next message, or None when none came within about `timeout` seconds."""
        if not self._inbox:
            for event in self._session.poll(timeout):
                self._handle(event)
            if self._session.connected and self._session.released():
                self._session.subscribe(self._topics)
            self._recall.step()
        return self._inbox.popleft() if self._inbox else None

    def _handle(self, event: Event) -> None:
        if isinstance(event, Message):
            self._inbox.append(event)
        elif isinstance(event, Connected) and self._session.connected:
            self._refusal = ""
            self._session.subscribe(self._topics)
            self._recall.begin()
        elif isinstance(event, SubscriptionRefused):
            self._refusal = f"broker refuses the subscription to {event.topic} ({event.reason}); check its access list"

    def close(self) -> None:
        self._session.close()


def retained(subscriber: Subscriber, looks: Iterable[Message | None]) -> Iterator[Message]:
    """Yield messages until the broker has sent all that it retains, which a silence shows.

    looks: what `subscriber.read` has returned, look by look. Raises BrokerError: without an answer, or at a refusal.
    """
    end, last = time.monotonic() + _CONNECT_S, math.inf
    for message in looks:
        if subscriber.problem or (not subscriber.connected and time.monotonic() > end):
            raise BrokerError(
                subscriber.problem or f"the broker gives no answer within {_CONNECT_S:g} s; check its host and port"
            )
        if message is not None:
            yield message
        if subscriber.connected and (message is not None or subscriber.subscribing or last == math.inf):
            last = time.monotonic()
        if time.monotonic() - last > _QUIET_S:
            return


def probe(
    to: Endpoint,
    client_id: str,
    *,
    protocol: ProtocolChoice = "auto",
    timeout_s: float = 10.0,
    timing: Timing = _TIMING,
) -> Connected:
    """Connect once and return the version of MQTT that the broker accepts, with its limits.

    client_id: one that nothing else uses, or the broker disconnects the running service. timing: how whoever has a
    session under this id connects: one that begins anew drops what the broker keeps in it.
    Raises BrokerError: with the reason, after three failed attempts or timeout_s seconds.
    """
    quick = Backoff(min_s=0.2, max_s=0.2)
    session = Session(to, client_id, protocol=protocol, timing=replace(timing, connect=timeout_s), backoff=quick)
    deadline = time.monotonic() + timeout_s
    try:
        while session.failures < 3 and time.monotonic() < deadline:
            for event in session.poll(0.1):
                if isinstance(event, Connected):
                    return event
        raise BrokerError(session.problem or f"broker {to}: no answer within {timeout_s:g} s")
    finally:
        session.close()
