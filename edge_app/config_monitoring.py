"""The tables [metrics] and [homeassistant]: who else may follow how the device fares and what it counts."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated

from pydantic import Field

from edge_app.config_types import OwnAddress, Table

# Levels of a topic, without the wildcards of a filter and without a slash at either end.
TopicPrefix = Annotated[str, Field(pattern=r"^[^/+#$\s][^/+#\s]*(/[^/+#\s]+)*$", max_length=100)]


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
