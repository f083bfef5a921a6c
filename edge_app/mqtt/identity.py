"""Name a device and its intervals: topic prefix, client id, interval id."""

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
    """Who is speaking: site and device (lower-case a-z, 0-9, hyphen), the boot, and what software counts.

    model and config are hexadecimal SHA-256, of any length from 12. Raises ConfigError for a name that no topic can
    carry.
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
        return f"{ROOT}/{self.site}/{self.device}"

    @property
    def client_id(self) -> str:
        """Stable and unique as long as site and device are: a broker throws out the older of two equal ones."""
        return f"edge-app-{self.site}-{self.device}"


def interval_id(device: Device, line: str, start: float) -> str:
    """The first 32 hexadecimal digits of SHA-256 over "site/device/line/start", start in RFC 3339."""
    return hashlib.sha256(f"{device.site}/{device.device}/{line}/{rfc3339(start)}".encode()).hexdigest()[:32]
