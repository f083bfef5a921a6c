"""What goes over a connection to a broker and what happens to it, in plain types."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

from edge_app.mqtt.broker_limits import NO_LIMITS, BrokerLimits

Protocol: TypeAlias = Literal["5", "3.1.1"]
LARGEST_PACKET: Final = 1 << 20
"""Bytes of the largest packet that anybody of ours wants to receive."""

_HEADER: Final = 5 + 2 + 2 + 4 + 5 + 3
"""Most bytes of a publication beside topic, payload and correlation data: fixed header, length of the topic, number of
the message, length of the properties, expiry, head of the correlation data."""


@dataclass(frozen=True, slots=True)
class Message:
    """One publication, sent or received.

    topic: empty for a received one whose topic is no UTF-8.
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
    unacknowledged: int = 0
    """Number under which a received message waits for `Session.acknowledge`; 0 for all others."""

    @property
    def packet_size(self) -> int:
        """The most bytes that it takes as an MQTT packet."""
        return _HEADER + len(self.topic.encode()) + len(self.payload) + len(self.correlation)

    def within(self, limits: BrokerLimits) -> Message:
        """Return the message as a broker with these limits takes it."""
        return replace(self, qos=min(self.qos, limits.max_qos), retained=self.retained and limits.retain)


@dataclass(frozen=True, slots=True)
class Connected:
    """Event: the broker accepted the connection, with these limits."""

    protocol: Protocol
    limits: BrokerLimits = NO_LIMITS


@dataclass(frozen=True, slots=True)
class Lost:
    """Event: the connection failed or ended; every message without an acknowledgement is lost with it.

    reason: one sentence.
    refuses_protocol: the broker answered that it does not support this version of MQTT.
    silent: the broker closed a new connection without any answer, as some do for an unknown version.
    refuses_will: it refuses the last will for a limit: "retain", or "qos".
    idle: it closed an accepted connection while it owed no answer.
    slow: an acknowledgement did not come in time.
    """

    reason: str
    refuses_protocol: bool = False
    silent: bool = False
    refuses_will: Literal["", "retain", "qos"] = ""
    idle: bool = False
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Acked:
    """Event: the broker answered a message, or one of QoS 0 is on its way.

    token: the number that `publish` returned.
    refused: why the message was refused, by the broker or because the broker would not take it; empty when accepted.
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
    ack: limit for an acknowledgement, while nothing else arrives either; a dead busy connection is detected after this
        time. A broker that is alive has much longer.
    session_expiry: how long the broker keeps the subscriptions and queued messages of a subscriber that was lost; 0
        for a publisher, which has none.
    max_packet: bytes of the largest packet that the broker may send. MQTT 5 tells it; with 3.1.1 too a larger one ends
        the connection.
    by_hand: received messages are acknowledged by `acknowledge`, when they are stored, and not when they arrive.
    """

    connect: float = 10.0
    keepalive: int = 30
    ack: float = 20.0
    session_expiry: int = 0
    max_packet: int = LARGEST_PACKET
    by_hand: bool = False
