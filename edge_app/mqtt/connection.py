"""One MQTT connection, from its first packet to its last: what waits, what is unanswered, and why it ended."""

from __future__ import annotations

import math
import queue
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from edge_app.errors import BrokerError
from edge_app.mqtt.broker_limits import NO_LIMITS, BrokerLimits
from edge_app.mqtt.client import RECEIVE_MAXIMUM, Client
from edge_app.mqtt.endpoint import NOT_OUR_FAULT, Endpoint, explain_refusal, explain_unreachable
from edge_app.mqtt.events import Acked, Connected, Event, Lost, Message, Protocol, SubscriptionRefused, Timing
from edge_app.mqtt.suspects import WITHIN_S, Suspects

MAX_PACKET: Final = 16_384 + 2_048
"""Largest packet that a device wants to receive: a command with its topic and properties."""
_TIMING: Final = Timing()
_DIALS: Final = 3
"""Time for connecting, in units of the limit for each of its steps: several addresses of a host, TLS, a WebSocket."""
_PATIENCE: Final = 30
"""Time for an acknowledgement of a broker that is alive, in units of the limit for one that is silent."""
_REFUSES_WILL: Final = {"Retain not supported": "retain", "QoS not supported": "qos"}


@dataclass(frozen=True, slots=True)
class _Item:
    """Publication or subscription on its way. topic: what the limits and the suspects call it."""

    token: int
    topic: str
    message: Message | None = None
    filters: tuple[str, ...] = ()
    qos: int = 1
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class _Sent:
    item: _Item
    at: float


class Connection:
    """MQTT connection that begins to connect when it is made and ends with one `Lost` event.

    It belongs to one thread, which must call `poll` again and again.

    to: the broker.
    protocol: the only version of MQTT that is tried.
    will: last will, which the broker publishes when the connection breaks.
    tls: context for encryption, None without.
    suspects: at which topics former connections were lost; this one adds to it.
    assumed: limits that the broker has shown before.
    clock: monotonic seconds.

    Attributes: `accepted` is True while the broker accepts this connection; `limits` are the broker's; `slowest` is the
    longest time until an acknowledgement, s; `late` is how long the oldest message has waited for one, 0 in time.
    """

    kind: type[Client] = Client

    def __init__(
        self,
        to: Endpoint,
        client_id: str,
        protocol: Protocol,
        *,
        timing: Timing = _TIMING,
        will: Message | None = None,
        tls: ssl.SSLContext | None = None,
        suspects: Suspects | None = None,
        assumed: BrokerLimits = NO_LIMITS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.accepted, self.limits, self.slowest, self.late = False, assumed, 0.0, 0.0
        self._to, self._protocol, self._timing, self._tls, self._clock = to, protocol, timing, tls, clock
        self._suspects = suspects or Suspects(clock)
        fitting = will.within(assumed) if will else None
        self._client: Client | None = self.kind(to, client_id, protocol, timing, fitting, tls, self)
        self._started_at = self._accepted_at = self._heard_at = clock()
        self._heard = 0
        self._refusal = ""
        self._events: list[Event] = []
        self._tokens = 0
        self._queue: deque[_Item] = deque()
        self._sent: dict[int, _Sent] = {}
        self._behind: list[_Sent] = []  # without an answer of their own; the broker is to be asked for one
        self._asked: dict[int, list[_Sent]] = {}
        self._unanswerable: _Sent | None = None  # the newest of QoS 0, when nobody asked for an answer to it
        self._subscribed: _Sent | None = None
        self._proven: set[str] = set()
        self._receive_maximum = RECEIVE_MAXIMUM
        self._outcome: queue.SimpleQueue[Exception | None] | None = self._client.dial()

    def poll(self, timeout: float) -> Sequence[Event]:
        """Send and receive for at most about `timeout` seconds; return the events, oldest first."""
        if self._events:  # some came while something was sent
            timeout = 0.0
        if self._outcome is not None and self._client is not None:
            self._await_dial(self._outcome, timeout)
        elif self._client is not None:
            self._run_loop(self._client, timeout)
        events, self._events = self._events, []
        return events

    def publish(self, message: Message) -> int:
        """Queue a message and return its token; `Acked` with this token or `Lost` follows.

        Raises BrokerError: when there is no connection.
        """
        client = self._require_client()
        self._tokens += 1
        refused = self.limits.refusal(message.packet_size) or self._suspects.refusal(message.topic)
        if refused:
            self._events.append(Acked(self._tokens, refused))
        else:
            self._queue.append(_Item(self._tokens, message.topic, message))
            self._flush(client)
        return self._tokens

    def subscribe(self, topics: Sequence[str], *, fresh: bool = False, qos: int = 1) -> None:
        """Subscribe to topic filters; a refusal arrives as `SubscriptionRefused`.

        fresh: receive no retained messages, and see which of the others were published as such (MQTT 5 only).
        Raises BrokerError: when there is no connection.
        """
        client = self._require_client()
        item = _Item(0, f"the subscription to {', '.join(topics)}", None, tuple(topics), qos, fresh)
        refused = self._suspects.refusal(item.topic)
        if refused:
            self._events += [SubscriptionRefused(topic, refused) for topic in topics]
        else:
            self._queue.append(item)
            self._flush(client)

    @property
    def subscribing(self) -> bool:
        """True while a subscription waits for the broker's answer."""
        waiting = chain(self._queue, (sent.item for sent in self._sent.values()))
        return any(item.filters for item in waiting)

    def acknowledge(self, messages: Sequence[Message]) -> None:
        """Acknowledge received messages. They must have come over this connection: numbers of another mean others."""
        if self._client is not None and self.accepted:
            self._client.acknowledge([one.unacknowledged for one in messages if one.unacknowledged])

    def close(self, *, goodbye: bool = True) -> None:
        """Close the connection; with a goodbye (DISCONNECT) the broker does not publish the last will."""
        client, self._client = self._client, None
        if client is not None:
            client.close(goodbye=goodbye and self.accepted)
        self.accepted = False

    def on_accepted(self, limits: BrokerLimits, receive_maximum: int) -> None:
        """Take the broker's acceptance."""
        self.accepted, self.limits, self._receive_maximum = True, limits.under(self.limits), receive_maximum
        self._accepted_at = self._heard_at = self._clock()
        self._events.append(Connected(self._protocol, self.limits))

    def on_refused(self, reason: str) -> None:
        """Take the reason for which the broker refuses or ends the connection."""
        self._refusal = reason

    def on_answered(self, mid: int, refused: str) -> None:
        """Take the answer to a publication, or to what was asked to know that the broker is there."""
        answered = [self._sent.pop(mid)] if mid in self._sent else self._asked.pop(mid, [])
        for sent in answered:
            if sent.item.message is None:  # an answer to a subscription is another one
                continue
            self.slowest = max(self.slowest, self._clock() - sent.at)
            self._settle(sent.item, refused)

    def on_subscribed(self, mid: int, refused: Sequence[str]) -> None:
        """Take the answer to a subscription."""
        sent = self._sent.pop(mid, None)
        if sent is None or not sent.item.filters:
            return  # one that nobody has asked for
        self._proven.add(sent.item.topic)
        pairs = zip(sent.item.filters, refused, strict=False)
        self._events += [SubscriptionRefused(topic, reason) for topic, reason in pairs if reason]

    def on_message(self, message: Message) -> None:
        """Take a message."""
        if self.accepted:
            self._events.append(message)

    def _require_client(self) -> Client:
        if self._client is None or not self.accepted:
            raise BrokerError(f"broker {self._to}: not connected")
        return self._client

    def _await_dial(self, outcome: queue.SimpleQueue[Exception | None], timeout: float) -> None:
        try:
            error = outcome.get(timeout=timeout)
        except queue.Empty:
            if self._clock() - self._started_at > _DIALS * self._timing.connect:
                self._end(Lost(f"broker {self._to}: takes connections but completes none; is this an MQTT port?"))
            return
        self._outcome, self._started_at = None, self._clock()
        if error is not None:
            self._end(Lost(explain_unreachable(error, self._to, self._timing.connect)))

    def _run_loop(self, client: Client, timeout: float) -> None:
        fault = client.turn(timeout)
        now = self._clock()
        if client.received != self._heard:
            self._heard, self._heard_at = client.received, now
        lost = self._check_deadlines(now) if fault is None else self._explain_end(fault, now)
        if lost:
            self._end(lost)
            return
        self._give_up_asking(now)
        if self.accepted and now - self._accepted_at > 2 * WITHIN_S:
            self._suspects.calm()
            self._accepted_at = math.inf
        if self._subscribed and now - self._subscribed.at > WITHIN_S:
            # Not at its answer already: what is wrong may be the messages that a subscription brings.
            self._suspects.answered(self._subscribed.item.topic)
            self._subscribed = None
        if self.accepted:
            self._flush(client)

    def _explain_end(self, fault: str, now: float) -> Lost:
        to, reason = self._to, self._refusal
        if not self.accepted:
            return self._explain_no_answer(fault)
        if fault:
            if self._subscribed and now - self._subscribed.at <= WITHIN_S:
                self._suspects.lost(self._subscribed.item.topic, "what it brings cannot be read")
            return Lost(f"broker {to}: {fault}; connecting again")
        suspect = self._suspect(now) if reason not in NOT_OUR_FAULT else ""
        if suspect and self._suspects.lost(suspect, reason):
            given = f" ({reason})" if reason else ""
            what = f"closes the connection at {suspect}{given}, which is left out for an hour"
            return Lost(f"broker {to}: {what}; is it forbidden there, or too large?")
        if reason:
            at = f" at {suspect}" if suspect else ""
            return Lost(explain_refusal(reason, to, f"ends the connection{at}"))
        return Lost(f"broker {to}: connection lost", idle=not suspect and not self._unanswered())

    def _explain_no_answer(self, fault: str) -> Lost:
        reason = self._refusal
        if reason:
            will = _REFUSES_WILL.get(reason, "")
            old = reason == "Unsupported protocol version"
            return Lost(explain_refusal(reason, self._to), refuses_protocol=old, refuses_will=will)  # type: ignore[arg-type]
        if fault:
            return Lost(f"broker {self._to}: {fault}; is this an MQTT port?", silent=True)
        hint = "does it want a client certificate" if self._tls else "is this an MQTT port, and one without TLS"
        hint += ", or does it refuse login or client id?"  # brokers of MQTT 3.1.1 need not say why
        return Lost(f"broker {self._to}: closes the connection without an answer; {hint}", silent=True)

    def _unanswered(self) -> list[_Sent]:
        """Return all without an answer, in no order."""
        return [*self._sent.values(), *self._behind, *chain(*self._asked.values())]

    def _suspect(self, now: float) -> str:
        """Return the topic at which the broker may have closed the connection: the oldest that it has not answered."""
        oldest = min(self._unanswered(), key=lambda sent: sent.at, default=self._unanswerable)
        return oldest.item.topic if oldest and now - oldest.at <= WITHIN_S else ""

    def _check_deadlines(self, now: float) -> Lost | None:
        if not self.accepted:
            if now - self._started_at > self._timing.connect:
                return Lost(f"broker {self._to}: accepts connections but does not answer; is this an MQTT port?")
            return None
        oldest = min(self._unanswered(), key=lambda sent: sent.at, default=None)
        self.late = now - oldest.at if oldest and now - oldest.at > self._timing.ack else 0.0
        if oldest is None or self._client is None:
            return None
        waited, silent, limit = now - oldest.at, now - self._heard_at, self._timing.ack
        if waited > limit and (silent > limit or waited > _PATIENCE * limit):
            waited = limit if silent > limit else waited
            return Lost(f"broker {self._to}: no acknowledgement within {waited:.3g} s; connecting again", slow=True)
        if waited > limit / 2 and silent > limit / 2 and not self._asked:
            self._asked[self._client.ask(oldest.item.topic)] = []  # to tell a slow broker from one that is gone
        return None

    def _give_up_asking(self, now: float) -> None:
        """Let a broker that answers no unsubscription have what needs no answer."""
        for mid, behind in list(self._asked.items()):
            if behind and now - behind[0].at > WITHIN_S and not any(one.item.message.qos for one in behind):  # type: ignore[union-attr]
                del self._asked[mid]
                for one in behind:
                    self._settle(one.item, "")

    def _end(self, lost: Lost) -> None:
        self._events.append(lost)
        self.close(goodbye=False)

    def _flush(self, client: Client) -> None:
        # A broker may limit the unacknowledged messages (Receive Maximum); paho does not respect that limit.
        while self._queue and self._has_room(self._queue[0].topic):
            self._send(client, self._queue.popleft())
        if self._behind and not self._asked:
            self._asked[client.ask(self._behind[-1].item.topic)] = self._behind
            self._behind = []

    def _has_room(self, topic: str) -> bool:
        if self._suspects.careful:
            waiting = [sent.item.topic for sent in self._unanswered()]
            if waiting and not {topic, *waiting} <= self._proven:
                return False
        return len(self._sent) < self._receive_maximum

    def _send(self, client: Client, item: _Item) -> None:
        sent = _Sent(item, self._clock())
        if item.message is None:
            self._sent[client.subscribe(item.filters, fresh=item.fresh, qos=item.qos)] = self._subscribed = sent
            return
        message = item.message.within(self.limits)
        try:
            mid = client.publish(message)
        except ValueError as error:
            self._events.append(Acked(item.token, str(error)))
            return
        if message.qos:
            self._sent[mid] = sent
        elif item.message.qos or self._suspects.careful:
            self._behind.append(sent)
        else:
            self._unanswerable = sent
            self._events.append(Acked(item.token))

    def _settle(self, item: _Item, refused: str) -> None:
        self._proven.add(item.topic)
        self._suspects.answered(item.topic)
        self._events.append(Acked(item.token, refused))
