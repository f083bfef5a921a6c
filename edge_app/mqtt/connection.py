"""One MQTT connection, from the first packet to the last. The only file that knows paho.

paho's network loop runs inside `Connection.poll`, in the thread that calls it: no thread beneath, so no callback
races with its owner, and a fault in a callback stops the owner instead of an unseen thread. Only connecting, which
may sit in the resolver for longer than a stop can wait, has a thread, and that one may be left behind.
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

from edge_app.errors import BrokerError
from edge_app.mqtt.endpoint import Endpoint, refused, unreachable

Protocol: TypeAlias = Literal["5", "3.1.1"]
_VERSIONS: Final = {"5": MQTTProtocolVersion.MQTTv5, "3.1.1": MQTTProtocolVersion.MQTTv311}
_RECEIVE_MAXIMUM: Final = 65535  # what a broker takes unacknowledged if it does not say


@dataclass(frozen=True, slots=True)
class Message:
    """One publication, sent or received. expires_s: after so long a broker forgets it (MQTT 5); 0 is never."""

    topic: str
    payload: bytes
    qos: int = 0
    retained: bool = False
    expires_s: int = 0


@dataclass(frozen=True, slots=True)
class Connected:
    """The broker accepted us."""

    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection could not be made or is gone, and with it whatever was not acknowledged.

    why: one sentence. refuses_protocol: the broker said that it does not speak this version of MQTT. silent: it
    closed a fresh connection without a word, which is how some say the same.
    """

    why: str
    refuses_protocol: bool = False
    silent: bool = False


@dataclass(frozen=True, slots=True)
class Acked:
    """The broker's answer to a QoS 1 `publish`: `refused` is its reason, empty when it took the message."""

    token: int
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionRefused:
    topic: str
    reason: str


Event: TypeAlias = Connected | Lost | Acked | SubscriptionRefused | Message


@dataclass(frozen=True, slots=True)
class Timing:
    """In seconds. keepalive: an idle dead connection is noticed within twice that; ack: a busy one after that.

    keep: how long the broker keeps a lost client's subscriptions and messages, for subscribers; a publisher has
    nothing to keep there.
    """

    connect: float = 10.0
    keepalive: int = 30
    ack: float = 20.0
    keep: int = 0


class Connection:
    """Connects at once, and ends with one `Lost`; used by one thread, which must keep calling `poll`."""

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
        self._since = clock()
        self._said, self._refuses_protocol = "", False
        self._events: list[Event] = []
        self._tokens = 0
        self._queue: deque[tuple[int, Message]] = deque()
        self._unacked: dict[int, tuple[int, float]] = {}
        self._receive_maximum = _RECEIVE_MAXIMUM
        self._topics: tuple[str, ...] = ()
        self._outcome: queue.SimpleQueue[Exception | None] | None = queue.SimpleQueue()
        dial = (client, to, timing, self._outcome)
        threading.Thread(target=_dial, args=dial, name="mqtt-dial", daemon=True).start()

    def poll(self, timeout: float) -> Sequence[Event]:
        """Sends and receives for at most about `timeout` seconds and returns what happened, oldest first."""
        if self._outcome is not None:
            self._await_dial(self._outcome, timeout)
        elif self._client is not None:
            self._turn(self._client, timeout)
        events, self._events = self._events, []
        return events

    def publish(self, message: Message) -> int:
        """Hands a message over; with QoS 1 an `Acked` with the returned token follows, or `Lost`."""
        client = self._ready()
        self._tokens += 1
        self._queue.append((self._tokens, message))
        self._flush(client)
        return self._tokens

    def subscribe(self, topics: Sequence[str]) -> None:
        """At QoS 1; a refusal arrives as an event."""
        client = self._ready()
        self._topics = tuple(topics)
        client.subscribe([(topic, 1) for topic in topics])

    def close(self, *, goodbye: bool = True) -> None:
        """With a goodbye the broker does not send the last will."""
        # paho refers to us and we to paho: unless one lets go, its sockets stay open until the garbage collector comes.
        client, self._client = self._client, None
        if client is not None and goodbye and self.accepted:
            client.disconnect()
        self.accepted = False
        connection = client.socket() if client is not None else None
        if connection is not None:
            connection.close()

    def _ready(self) -> paho.Client:
        if self._client is None or not self.accepted:
            raise BrokerError(f"broker {self._to}: not connected")
        return self._client

    def _await_dial(self, outcome: queue.SimpleQueue[Exception | None], timeout: float) -> None:
        try:
            error = outcome.get(timeout=timeout)
        except queue.Empty:
            return
        self._outcome, self._since = None, self._clock()
        if isinstance(error, (OSError, ValueError)):
            self._lose(Lost(unreachable(error, self._to, self._timing.connect)))
        elif error is not None:
            raise error

    def _turn(self, client: paho.Client, timeout: float) -> None:
        broken = client.loop(timeout) != paho.MQTT_ERR_SUCCESS or client.socket() is None
        lost = self._closed() if broken else self._stuck()
        if lost:
            self._lose(lost)
        else:
            self._flush(client)

    def _closed(self) -> Lost:
        if self._said:
            return Lost(self._said, refuses_protocol=self._refuses_protocol)
        if self.accepted:
            return Lost(f"broker {self._to}: connection lost")
        hint = "does it want a client certificate?" if self._tls else "is this an MQTT port, and one without TLS?"
        return Lost(f"broker {self._to}: closes the connection without an answer; {hint}", silent=True)

    def _stuck(self) -> Lost | None:
        now = self._clock()
        if not self.accepted and now - self._since > self._timing.connect:
            return Lost(f"broker {self._to}: accepts connections but does not answer; is this an MQTT port?")
        if self._unacked and now - next(iter(self._unacked.values()))[1] > self._timing.ack:
            return Lost(f"broker {self._to}: no acknowledgement within {self._timing.ack:g} s; connecting anew")
        return None

    def _lose(self, lost: Lost) -> None:
        self._events.append(lost)
        self.close(goodbye=False)

    def _flush(self, client: paho.Client) -> None:
        # A broker may say how many unacknowledged messages it takes; paho does not keep to that.
        while self._queue and len(self._unacked) < self._receive_maximum:
            token, message = self._queue.popleft()
            properties = self._expiry(message.expires_s)
            info = client.publish(message.topic, message.payload, message.qos, message.retained, properties)
            if message.qos:
                self._unacked[info.mid] = token, self._clock()

    def _expiry(self, seconds: int) -> Properties | None:
        if not seconds or self._protocol != "5":
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = seconds
        return properties

    def _make_client(self, client_id: str, will: Message | None) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self._protocol == "5" else not self._timing.keep,
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
            self._said = refused(str(reason), self._to)
            self._refuses_protocol = str(reason) == "Unsupported protocol version"
            return
        self.accepted = True
        self._receive_maximum = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
        self._events.append(Connected(self._protocol))

    def _on_disconnect(self, _: paho.Client, __: Any, flags: Any, reason: ReasonCode, ___: Any) -> None:
        if flags.is_disconnect_packet_from_server and reason.is_failure:
            self._said = refused(str(reason), self._to)

    def _on_publish(self, _: paho.Client, __: Any, mid: int, reason: ReasonCode, ___: Any) -> None:
        if mid in self._unacked:
            token, _sent = self._unacked.pop(mid)
            self._events.append(Acked(token, str(reason) if reason.is_failure else ""))

    def _on_subscribe(self, _: paho.Client, __: Any, ___: int, reasons: list[ReasonCode], ____: Any) -> None:
        pairs = zip(self._topics, reasons, strict=False)
        self._events += [SubscriptionRefused(topic, str(reason)) for topic, reason in pairs if reason.is_failure]

    def _on_message(self, _: paho.Client, __: Any, message: paho.MQTTMessage) -> None:
        self._events.append(Message(message.topic, bytes(message.payload), message.qos, message.retain))


def _dial(client: paho.Client, to: Endpoint, timing: Timing, outcome: queue.SimpleQueue[Exception | None]) -> None:
    try:
        if client.protocol == MQTTProtocolVersion.MQTTv5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = timing.keep
            client.connect(to.host, to.port, timing.keepalive, clean_start=not timing.keep, properties=properties)
        else:
            client.connect(to.host, to.port, timing.keepalive)
    except Exception as error:
        outcome.put(error)  # explained, or raised again, by whoever waits for the outcome
    else:
        outcome.put(None)
