"""Tell systemd how the service is: sd_notify(3) and the watchdog."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(state: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Tells systemd a state such as "READY=1", "WATCHDOG=1" or "STATUS=..."; whether anyone was there to be told.

    Source: sd_notify(3), a datagram to $NOTIFY_SOCKET. A failure is no reason to stop counting, so none is raised.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):  # a name in the kernel's abstract space begins with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            sock.sendall(state.encode())
    except OSError:
        return False
    return True


def watchdog_interval(environment: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants "WATCHDOG=1" from this process, or None; half of it is a good rhythm."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    usec = environment.get("WATCHDOG_USEC", "")
    return int(usec) / 1e6 if usec.isdecimal() and int(usec) else None
