"""Limits that a broker announces, and what they mean for delivery. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

_LARGEST_OF_OURS: Final = 16_384 + 2_048
"""Bytes of the largest packet that a device sends, unless Home Assistant is told about many lines: a reply."""


@dataclass(frozen=True, slots=True)
class BrokerLimits:
    """Limits of one broker, as its CONNACK names them (MQTT 5, 3.2.2.3); 3.1.1 names none.

    max_packet: bytes of the largest packet that it takes, 0 for any. max_qos: 0 or 1. retain: it keeps retained
    messages. wildcards: it takes them in a subscription.
    """

    max_packet: int = 0
    max_qos: int = 1
    retain: bool = True
    wildcards: bool = True

    @classmethod
    def announced(cls, properties: Any) -> BrokerLimits:
        """Return the limits that the properties of a CONNACK name."""
        return cls(
            max_packet=getattr(properties, "MaximumPacketSize", 0),
            max_qos=getattr(properties, "MaximumQoS", 1),
            retain=bool(getattr(properties, "RetainAvailable", 1)),
            wildcards=bool(getattr(properties, "WildcardSubscriptionAvailable", 1)),
        )

    def under(self, assumed: BrokerLimits) -> BrokerLimits:
        """Return these limits where they are the narrower ones, and the assumed ones where those are."""
        return replace(self, max_qos=min(self.max_qos, assumed.max_qos), retain=self.retain and assumed.retain)

    def refusal(self, size: int) -> str:
        """Return why the broker would not take a packet of so many bytes, empty when it would."""
        if self.max_packet and size > self.max_packet:
            return f"Packet too large: {size} bytes, and it takes {self.max_packet}"
        return ""

    def sentences(self) -> Iterator[str]:
        """Yield one sentence for each limit that changes what is delivered."""
        if not self.retain:
            yield "broker keeps no retained messages: status, meta and latest reach only who is connected"
        if self.max_qos < 1:
            yield "broker takes only QoS 0: a count is taken for delivered when it has answered what was sent behind it"
        if 0 < self.max_packet < _LARGEST_OF_OURS:
            yield f"broker takes packets of at most {self.max_packet} bytes: what is larger is not sent"
        if not self.wildcards:
            yield "broker takes no wildcards in subscriptions: only the commands that this release knows arrive"


NO_LIMITS: Final = BrokerLimits()
