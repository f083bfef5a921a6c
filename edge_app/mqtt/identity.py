"""Names of a device and its intervals: topic prefix, client id, interval id."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Final

from edge_app.errors import ConfigError
from edge_app.records import FLOWS
from edge_app.system.clock import rfc3339
from edge_app.system.topics import ROOT as ROOT
from edge_app.system.topics import device_topic
from edge_app.system.topics import root_below as root_below

CONTRACT: Final = "1.3"
"""Version of the contract that the device keeps; one that does not name it keeps 1.0."""
_NAME: Final = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Device:
    """Identity of a device as its messages state it.

    site, device: names of lower-case a-z, 0-9 and hyphens.
    boot_id: identifies one start of the program.
    version: of the software.
    model, config: SHA-256 of the model and the configuration in hexadecimal, at least 12 digits, or empty.
    above: levels of the topic before traffic/v1, or empty.
    Raises ConfigError: when a name cannot be part of a topic.
    """

    site: str
    device: str
    boot_id: str
    version: str
    model: str = ""
    config: str = ""
    above: str = ""

    def __post_init__(self) -> None:
        for key, name in (("site", self.site), ("device", self.device)):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{key}: {name!r} must be lower-case letters a-z, digits and hyphens")

    @property
    def prefix(self) -> str:
        """The topic under which the device publishes everything: [ABOVE/]traffic/v1/SITE/DEVICE."""
        return device_topic(self.above, self.site, self.device)

    def prefix_of(self, site: str, device: str) -> str:
        """Return the prefix under which intervals of this site and device are published, such as a former name's."""
        return replace(self, site=site, device=device).prefix

    @property
    def client_id(self) -> str:
        """MQTT client id, as stable and unique as site and device: a broker disconnects the older of two equal ids."""
        return client_id_of(self.site, self.device)


def interval_topic(prefix: str, line: str) -> str:
    """Return the topic of the intervals of a line, or of turning flows. prefix: of the device."""
    return f"{prefix}/flows" if line == FLOWS else f"{prefix}/counts/{line}"


def client_id_of(site: str, device: str) -> str:
    """Return the client id of a device. The dot is part of no name: no two devices have one id."""
    return f"edge-app-{site}.{device}"


def interval_id(device: Device, line: str, start: float, interval_s: float, installation: str, boot_id: str) -> str:
    """Return the id of an interval: the first 32 hexadecimal digits of a SHA-256 over all that tells it from others.

    boot_id: of the process that closed the interval, so that a restored or cloned state folder never gives two contents
    one id. start: UTC s; hashed in RFC 3339 form.
    """
    parts = (device.site, device.device, line, rfc3339(start), f"{interval_s:g}", installation, boot_id)
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]
