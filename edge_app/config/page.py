"""Model of the table [page]: where the device's own page is served."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from edge_app.config.types import OwnAddress, Table

_OWN_NETWORKS: Final = tuple(
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1", "fc00::/7")
)
"""RFC 1918, 3927 and 4193. 100.64.0.0/10 (RFC 6598) is not among them: it is the provider's side of a SIM card."""
_INTERFACE: Final = re.compile(r"[A-Za-z0-9._-]{1,15}")
LOOPBACK: Final = "127.0.0.1"


def is_own_network(address: str) -> bool:
    """Return whether an IP address is loopback or of a private network, and not reachable from the internet."""
    return any(ip_address(address) in network for network in _OWN_NETWORKS)


def _own_network(value: str) -> str:
    if ip_address(value).is_unspecified:
        raise ValueError(
            f"{value} is every network of this device, that of a SIM card too: give the address of the box's own "
            "network, such as 192.168.4.1, or page.interface"
        )
    if not is_own_network(value):
        raise ValueError(
            f"{value} is a public address, and the page is for the box's own network: give an address such as "
            "192.168.4.1, or use 127.0.0.1 and ssh"
        )
    return value


class PageConfig(Table):
    """Page of this device for the technician, over HTTPS with a password; `edge-app page --password` sets it."""

    address: Annotated[OwnAddress, AfterValidator(_own_network)] = Field(
        default=LOOPBACK, description="Address of this device to listen on; loopback or of a private network."
    )
    interface: str | None = Field(
        default=None,
        description="Network interface to listen on instead, whatever its private IPv4 address is.",
        examples=["wlan0"],
    )
    port: int = Field(default=8443, ge=1, le=65535, description="TCP port.")

    @field_validator("interface")
    @classmethod
    def _alone(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not _INTERFACE.fullmatch(value):
            raise ValueError("must be the name of a network interface, such as wlan0; `ip address` lists them")
        if value is not None and info.data.get("address", LOOPBACK) != LOOPBACK:
            raise ValueError("is given beside page.address: give one of the two")
        return value
