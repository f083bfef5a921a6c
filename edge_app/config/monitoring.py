"""Models of the tables [metrics] and [homeassistant]: health and counts for Prometheus and Home Assistant."""

from __future__ import annotations

from ipaddress import ip_address

from pydantic import Field

from edge_app.config.types import OwnAddress, Table, TopicLevels


class MetricsConfig(Table):
    """Metrics for Prometheus at http://address:port/metrics; deploy/prometheus has a scrape example and alerts."""

    enabled: bool = Field(default=False, description="Serve metrics.")
    address: OwnAddress = Field(
        default="127.0.0.1", description="Address of this device to listen on; any but loopback must be allowed below."
    )
    port: int = Field(default=9120, ge=1, le=65535, description="TCP port; each service on one device needs its own.")
    allow_network: bool = Field(
        default=False, description="Let others read the metrics too: there is no password and no encryption."
    )

    @property
    def open_to_network(self) -> bool:
        """True when other machines could read the metrics."""
        return not ip_address(self.address).is_loopback


class HomeAssistantConfig(Table):
    """Announcement of the device, its counts and its health to Home Assistant on the same broker (MQTT discovery)."""

    enabled: bool = Field(
        default=False, description="Announce the device; switching this off removes it from Home Assistant."
    )
    prefix: TopicLevels = Field(default="homeassistant", description="Home Assistant's discovery prefix.")
