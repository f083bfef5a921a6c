"""Tell the box's own networks from the internet, and find the address of a network interface."""

from __future__ import annotations

import fcntl
import socket
import struct
from ipaddress import ip_address, ip_network
from typing import Final

_OWN_NETWORKS: Final = tuple(
    ip_network(text)
    for text in ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "::1", "fc00::/7")
)
"""RFC 1918, 3927 and 4193. 100.64.0.0/10 (RFC 6598) is not among them: it is the provider's side of a SIM card."""
_SIOCGIFADDR: Final = 0x8915


def is_own_network(address: str) -> bool:
    """Return whether an IP address is loopback or of a private network, and so not reachable from the internet."""
    return any(ip_address(address) in network for network in _OWN_NETWORKS)


def address_of(interface: str) -> str | None:
    """Return the IPv4 address of a network interface; None when it has none now (netdevice(7))."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", interface.encode()[:15]))
        return socket.inet_ntoa(answer[20:24])
    except OSError:
        return None
