"""Model of the table [page]: where the device's own page is served."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from edge_app.config.types import OwnAddress, Table
from edge_app.system.networks import is_own_network

_INTERFACE: Final = re.compile(r"[A-Za-z0-9._-]{1,15}")
LOOPBACK: Final = "127.0.0.1"


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
