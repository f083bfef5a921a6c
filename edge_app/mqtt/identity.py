"""Names of a device and its intervals: topic prefix, client id, interval id."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from edge_app.errors import ConfigError
from edge_app.system.clock import rfc3339

ROOT: Final = "traffic/v1"
_NAME: Final = re.compile(r"[a-z0-9-]+")


@dataclass(frozen=True, slots=True)
class Device:
    """Identity of a device as its messages state it.

    site, device: names of lower-case a-z, 0-9 and hyphens.
    boot_id: identifies one start of the program.
    version: of the software.
    model, config: SHA-256 of the model and the configuration in hexadecimal, at least 12 digits, or empty.
    Raises ConfigError: when a name cannot be part of a topic.
    """

    site: str
    device: str
    boot_id: str
    version: str
    model: str = ""
    config: str = ""

    def __post_init__(self) -> None:
        for key, name in (("site", self.site), ("device", self.device)):
            if not _NAME.fullmatch(name):
                raise ConfigError(f"{key}: {name!r} must be lower-case letters a-z, digits and hyphens")

    @property
    def prefix(self) -> str:
        """The topic under which the device publishes everything: traffic/v1/SITE/DEVICE."""
        return f"{ROOT}/{self.site}/{self.device}"

    @property
    def client_id(self) -> str:
        """MQTT client id, as stable and unique as site and device: a broker disconnects the older of two equal ids."""
        return f"edge-app-{self.site}-{self.device}"


def interval_id(device: Device, line: str, start: float) -> str:
    """Return the id of an interval: the first 32 hexadecimal digits of SHA-256 over "site/device/line/start".

    start: UTC s; hashed in RFC 3339 form.
    """
    return hashlib.sha256(f"{device.site}/{device.device}/{line}/{rfc3339(start)}".encode()).hexdigest()[:32]
