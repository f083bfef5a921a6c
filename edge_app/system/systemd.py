"""Report the state of the service to systemd: sd_notify(3) and the watchdog."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send systemd a state such as "READY=1", "WATCHDOG=1" or "STATUS=..."; return False when nobody received it.

    Raises nothing and does not wait: neither a failure nor a hanging systemd is a reason to stop counting. Source:
    sd_notify(3), a datagram to $NOTIFY_SOCKET.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # stands for the zero byte that begins a name in the kernel's abstract namespace
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(address)
            sock.send(state.encode())
    except (OSError, ValueError, MemoryError):
        return False
    return True


def watchdog_interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Return the seconds within which systemd expects "WATCHDOG=1" from this process; None without a watchdog.

    sd_watchdog_enabled(3) recommends to send it after half of that time.
    """
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environment.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and int(usec) else None
