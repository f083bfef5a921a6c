"""One MQTT connection, from its first packet to its last. The only file that imports paho.

paho's network loop runs inside `Connection.poll`, in the thread that calls it, and in no thread of its own: callbacks
cannot race with the owner, and a fault in a callback stops the owner instead of a thread that nobody watches. Only
connecting has a thread, because name resolution may block for longer than a stop can wait; a stop leaves it behind.
"""

from __future__ import annotations

import queue
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_app.errors import BrokerError, ResourceError
from edge_app.mqtt.endpoint import Endpoint, explain_refusal, explain_unreachable
from edge_app.system.threads import start_thread

Protocol: TypeAlias = Literal["5", "3.1.1"]
_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
MAX_PACKET: Final = 16_384 + 2_048
"""Largest packet that a device wants to receive: a command with its topic and properties."""
_RECEIVE_MAXIMUM: Final = 65535
"""Unacknowledged messages that a broker accepts unless it announces a limit (MQTT 5, 3.2.2.3.3)."""


@dataclass(frozen=True, slots=True)
class Message:
    """One publication, sent or received.

    expires_s: seconds after which the broker discards it (MQTT 5 only); 0 means never.
    response_topic, correlation: where the sender wants the answer, and what it wants to get back with it (MQTT 5 only).
    """

    topic: str
    payload: bytes
    qos: int = 0
    retained: bool = False
    expires_s: int = 0
    response_topic: str = ""
    correlation: bytes = b""


@dataclass(frozen=True, slots=True)
class Connected:
    """Event: the broker accepted the connection."""

    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Lost:
    """Event: the connection failed or ended; every message without an acknowledgement is lost with it.

    reason: one sentence.
    refuses_protocol: the broker answered that it does not support this version of MQTT.
    silent: the broker closed a new connection without any answer, as some do for an unknown version.
    """

    reason: str
    refuses_protocol: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Acked:
    """Event: the broker answered a message published with QoS 1.

    token: the number that `publish` returned.
    refused: the broker's reason for refusing the message; empty when it accepted it.
    """

    token: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    """Event: the broker refused a topic filter, for the reason it gave."""

    topic: str
    reason: str


Event: TypeAlias = Connected | Lost | Acked | SubscriptionRefused | Message


@dataclass(frozen=True, slots=True)
class Timing:
    """Time limits of a connection, all in seconds.

    connect: limit for connecting and for the broker's first answer.
    keepalive: MQTT keep-alive; a dead idle connection is detected within twice this time.
    ack: limit for an acknowledgement; a dead busy connection is detected after this time.
    session_expiry: how long the broker keeps the subscriptions and queued messages of a subscriber that was lost; 0
        for a publisher, which has none.
    max_packet: bytes of the largest packet that the broker may send; 0 for any (MQTT 5 only).
    """

    connect: float = 10.0
    keepalive: int = 30
    ack: float = 20.0
    session_expiry: int = 0
    max_packet: int = 0


class Connection:
    """MQTT connection that begins to connect when it is made and ends with one `Lost` event.

    It belongs to one thread, which must call `poll` again and again.

    to: the broker.
    protocol: the only version of MQTT that is tried.
    will: last will, which the broker publishes when the connection breaks.
    tls: context for encryption, None without.
    clock: monotonic seconds.

    Attribute: `accepted` is True while the broker accepts this connection.
    """

    def __init__(
        self,
        to: Endpoint,
        client_id: str,
        protocol: Protocol,
        *,
        timing: Timing = Timing(),
        will: Message | None = None,
        tls: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.accepted = False
        self._to, self._protocol, self._timing, self._tls, self._clock = to, protocol, timing, tls, clock
        client = self._make_client(client_id, will)
        self._client: paho.Client | None = client
        self._started_at = clock()
        self._refusal, self._refuses_protocol = "", False
        self._events: list[Event] = []
        self._tokens = 0
        self._queue: deque[tuple[int, Message]] = deque()
        self._unacked: dict[int, tuple[int, float]] = {}
        self._receive_maximum = _RECEIVE_MAXIMUM
        self._topics: tuple[str, ...] = ()
        self._outcome: queue.SimpleQueue[Exception | None] | None = queue.SimpleQueue()
        dial = (client, to, timing, self._outcome)
        try:
            start_thread(threading.Thread(target=_dial, args=dial, name="mqtt-dial", daemon=True), tries_s=0)
        except ResourceError as error:
            self._outcome.put(error)  # like a broker that cannot be reached: tried again later

    def poll(self, timeout: float) -> Sequence[Event]:
        """Send and receive for at most about `timeout` seconds; return the events, oldest first."""
        if self._outcome is not None:
            self._await_dial(self._outcome, timeout)
        elif self._client is not None:
            self._run_loop(self._client, timeout)
        events, self._events = self._events, []
        return events

    def publish(self, message: Message) -> int:
        """Queue a message and return its token; with QoS 1, `Acked` with this token or `Lost` follows.

        Raises BrokerError: when there is no connection.
        """
        client = self._require_client()
        self._tokens += 1
        self._queue.append((self._tokens, message))
        self._flush(client)
        return self._tokens

    def subscribe(self, topics: Sequence[str], *, fresh: bool = False) -> None:
        """Subscribe to topic filters at QoS 1; a refusal arrives as `SubscriptionRefused`.

        fresh: receive no retained messages, and see which of the others were published as such (MQTT 5 only).
        Raises BrokerError: when there is no connection.
        """
        client = self._require_client()
        self._topics = tuple(topics)
        if fresh and self._protocol == "5":
            options = SubscribeOptions(
                qos=1, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
            )
            client.subscribe([(topic, options) for topic in topics])
        else:
            client.subscribe([(topic, 1) for topic in topics])

    def close(self, *, goodbye: bool = True) -> None:
        """Close the connection; with a goodbye (DISCONNECT) the broker does not publish the last will."""
        # This object and paho's refer to each other: unless one drops its reference, the sockets stay open until the
        # garbage collector runs.
        client, self._client = self._client, None
        if client is not None and goodbye and self.accepted:
            client.disconnect()
        self.accepted = False
        connection = client.socket() if client is not None else None
        if connection is not None:
            connection.close()

    def _require_client(self) -> paho.Client:
        if self._client is None or not self.accepted:
            raise BrokerError(f"broker {self._to}: not connected")
        return self._client

    def _await_dial(self, outcome: queue.SimpleQueue[Exception | None], timeout: float) -> None:
        try:
            error = outcome.get(timeout=timeout)
        except queue.Empty:
            return
        self._outcome, self._started_at = None, self._clock()
        if isinstance(error, (OSError, ValueError)):
            self._end(Lost(explain_unreachable(error, self._to, self._timing.connect)))
        elif error is not None:
            raise error

    def _run_loop(self, client: paho.Client, timeout: float) -> None:
        broken = client.loop(timeout) != paho.MQTT_ERR_SUCCESS or client.socket() is None
        lost = self._explain_close() if broken else self._check_deadlines()
        if lost:
            self._end(lost)
        else:
            self._flush(client)

    def _explain_close(self) -> Lost:
        if self._refusal:
            return Lost(self._refusal, refuses_protocol=self._refuses_protocol)
        if self.accepted:
            return Lost(f"broker {self._to}: connection lost")
        hint = "does it want a client certificate?" if self._tls else "is this an MQTT port, and one without TLS?"
        return Lost(f"broker {self._to}: closes the connection without an answer; {hint}", silent=True)

    def _check_deadlines(self) -> Lost | None:
        now = self._clock()
        if not self.accepted and now - self._started_at > self._timing.connect:
            return Lost(f"broker {self._to}: accepts connections but does not answer; is this an MQTT port?")
        if self._unacked and now - next(iter(self._unacked.values()))[1] > self._timing.ack:
            return Lost(f"broker {self._to}: no acknowledgement within {self._timing.ack:g} s; connecting again")
        return None

    def _end(self, lost: Lost) -> None:
        self._events.append(lost)
        self.close(goodbye=False)

    def _flush(self, client: paho.Client) -> None:
        # A broker may limit the unacknowledged messages (Receive Maximum); paho does not respect that limit.
        while self._queue and len(self._unacked) < self._receive_maximum:
            token, message = self._queue.popleft()
            properties = self._properties(message)
            info = client.publish(message.topic, message.payload, message.qos, message.retained, properties)
            if message.qos:
                self._unacked[info.mid] = token, self._clock()

    def _properties(self, message: Message) -> Properties | None:
        if self._protocol != "5" or not (message.expires_s or message.correlation):
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if message.expires_s:
            properties.MessageExpiryInterval = message.expires_s
        if message.correlation:
            properties.CorrelationData = message.correlation
        return properties

    def _make_client(self, client_id: str, will: Message | None) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._protocol == "5" else not self._timing.session_expiry,
            protocol=_VERSIONS[self._protocol],
            reconnect_on_failure=False,
        )
        client.connect_timeout = self._timing.connect
        client.max_inflight_messages = _RECEIVE_MAXIMUM
        if self._to.username:
            client.username_pw_set(self._to.username, self._to.password or None)
        if self._tls:
            client.tls_set_context(self._tls)
        if will:
            client.will_set(will.topic, will.payload, will.qos, will.retained)
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_publish, client.on_subscribe = self._on_publish, self._on_subscribe
        client.on_message = self._on_message
        return client

    def _on_connect(self, _: paho.Client, __: Any, ___: Any, reason: ReasonCode, properties: Properties | None) -> None:
        if reason.is_failure:
            self._refusal = explain_refusal(str(reason), self._to)
            self._refuses_protocol = str(reason) == "Unsupported protocol version"
            return
        self.accepted = True
        self._receive_maximum = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
        self._events.append(Connected(self._protocol))

    def _on_disconnect(self, _: paho.Client, __: Any, flags: Any, reason: ReasonCode, ___: Any) -> None:
        if flags.is_disconnect_packet_from_server and reason.is_failure:
            self._refusal = explain_refusal(str(reason), self._to)

    def _on_publish(self, _: paho.Client, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
        if mid in self._unacked:
            token, _sent = self._unacked.pop(mid)
            self._events.append(Acked(token, str(reason) if reason.is_failure else ""))

    def _on_subscribe(self, _: paho.Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Any) -> None:
        pairs = zip(self._topics, reasons, strict=False)
        self._events += [SubscriptionRefused(topic, str(reason)) for topic, reason in pairs if reason.is_failure]

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        answer_to = getattr(message.properties, "ResponseTopic", "")
        correlation = bytes(getattr(message.properties, "CorrelationData", b""))
        payload = bytes(message.payload)
        received = Message(message.topic, payload, message.qos, message.retain, 0, answer_to, correlation)
        self._events.append(received)


def _dial(client: paho.Client, to: Endpoint, timing: Timing, outcome: queue.SimpleQueue[Exception | None]) -> None:
    try:
        if client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = timing.session_expiry
            if timing.max_packet:
                properties.MaximumPacketSize = timing.max_packet
            client.connect(
                to.host, to.port, timing.keepalive, clean_start=not timing.session_expiry, properties=properties
            )
        else:
            client.connect(to.host, to.port, timing.keepalive)
    except Exception as error:
        outcome.put(error)  # `_await_dial` explains it or raises it again
    else:
        outcome.put(None)
