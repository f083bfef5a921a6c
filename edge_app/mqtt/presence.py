"""Build the messages by which a device is known to be there: status, the last will, and others at every connect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_app.mqtt.device_messages import State
from edge_app.mqtt.encoding import encode_status
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import Device


@dataclass(frozen=True, slots=True)
class BirthMessage:
    """Message published at every connect beside status and meta.

    on_acknowledged: called once the broker has accepted it.
    """

    message: Message
    on_acknowledged: Callable[[], None]

    def answered(self, refused: str) -> None:
        """Use the broker's answer. refused: its reason for refusing the message, empty when it has accepted it."""
        if not refused:
            self.on_acknowledged()


def will(device: Device, at: float, installation: str = "") -> Message:
    """Return the last will, which the broker publishes when the device vanishes. at: UTC s of the connect."""
    return status(device, "offline", at, installation)


def status(device: Device, state: State, at: float, installation: str) -> Message:
    """Return the status message. at: UTC s."""
    payload = encode_status(device, state, at, installation)
    return Message(f"{device.prefix}/status", payload.encode(), qos=1, retained=True)
