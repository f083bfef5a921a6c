"""Ports for servers of tests that stay theirs while they are stopped.

The system hands out ports of its own range to every connection that goes out. A server that takes one of them and is
stopped may find it taken when it starts again, even by a client that tries to reach it and meets itself.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from edge_app.mqtt.embedded_broker import HOST

_LOWEST: Final = 10_000
_HIGHEST: Final = 65_536
_RANGE: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """Return a port on loopback that nobody listens on and no process of this test run is given again."""
    return next(port for port in _numbers() if _is_free(port))


@cache
def _numbers() -> Iterator[int]:
    first, last = (int(number) for number in _RANGE.read_text().split())
    below, above = range(_LOWEST, first), range(last + 1, _HIGHEST)
    outside = below if len(below) > len(above) else above
    worker, workers = os.environ.get("PYTEST_XDIST_WORKER", ""), int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    own = outside[int(worker.removeprefix("gw") or "0") :: workers]
    begin = 0 if worker else random.randrange(len(own))  # several runs at once do not know of each other
    return itertools.cycle((*own[begin:], *own[:begin]))


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: ended connections are no hindrance
        try:
            sock.bind((HOST, port))
        except OSError:
            return False
        return True
