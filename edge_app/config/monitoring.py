"""The tables [metrics] and [homeassistant]: who else may follow how the device fares and what it counts."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated

from pydantic import AfterValidator, Field

from edge_app.config.types import OwnAddress, Table

_LEVELS = re.compile(r"[^/+#$\s\0][^/+#\s\0]*(/[^/+#\s\0]+)*")
"""Of a topic: no wildcards, no spaces, nothing empty, and not one of the broker's own."""


def _topic_levels(value: str) -> str:
    if not _LEVELS.fullmatch(value) or len(value) > 100:
        raise ValueError("must be levels of a topic, such as homeassistant or home/assistant")
    return value


TopicPrefix = Annotated[str, AfterValidator(_topic_levels)]


class MetricsConfig(Table):
    """Figures for Prometheus at http://address:port/metrics; deploy/prometheus has a scrape example and alerts."""

    enabled: bool = Field(default=False, description="Serve them.")
    address: OwnAddress = Field(
        default="127.0.0.1", description="Own address to listen on; any but loopback must be allowed below."
    )
    port: int = Field(default=9120, ge=1, le=65535, description="TCP port; each service of one device needs its own.")
    allow_network: bool = Field(
        default=False, description="Others may read the figures too: there is no password and no encryption."
    )

    @property
    def open_to_network(self) -> bool:
        """Whether others than this device could read them."""
        return not ip_address(self.address).is_loopback


class HomeAssistantConfig(Table):
    """Announces the device, its counts and its health to Home Assistant on the same broker (MQTT discovery)."""

    enabled: bool = Field(default=False, description="Announce; switched off again, it is taken back.")
    prefix: TopicPrefix = Field(default="homeassistant", description="Home Assistant's discovery prefix.")
