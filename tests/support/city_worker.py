"""Run one worker of the city's ingest until it is killed.

KIND PORTS QUEUE_PORTS ROOT DATABASE NAME [SHARE [ASK [dies]]]: as `city_brokers.inbox` has them. ASK: `ask`, with short
waits, or `wait`, with those of the city. dies: it kills itself at the worst moment, when its first batch is stored and
not acknowledged.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from edge_app.city.asking import Asking, Limits
from edge_app.city.database.engine import open_database
from edge_app.city.ingest import Worker
from edge_app.mqtt.events import Message
from edge_app.mqtt.identity import ROOT
from tests.support.city_brokers import Nodes, inbox

LIMITS = {"ask": Limits(on_its_way_s=2.0, reply_s=8.0, again_s=2.0, longest_s=4.0, silence_s=5.0), "wait": Limits()}


def main(*way: str, dies: str = "") -> None:
    """Work until killed."""
    kind, port, queue_port, root, database, name, share, ask = way
    box = inbox(_ports(port), kind, _ports(queue_port), root, name, share, ask)
    if dies:
        box.acknowledge = _die  # type: ignore[assignment, method-assign]
    Worker(box, open_database(database), root, asking=Asking(LIMITS[ask]) if ask else None).run(lambda: False)


def _ports(text: str) -> list[int]:
    return [int(port) for port in text.split(",")]


def _die(_: Sequence[Message]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def start(
    broker: Nodes,
    database: str,
    name: str = "1",
    share: str = "",
    ask: str = "ask",
    *,
    root: str = ROOT,
    dies: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a worker in a process of its own."""
    ports = (",".join(map(str, ports)) for ports in (broker.ports, broker.queue_ports))
    way = (broker.kind, *ports, root, database, name, share, ask)
    command = [sys.executable, "-m", "tests.support.city_worker", *way, *(["dies"] if dies else [])]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main(*sys.argv[1:9], dies="".join(sys.argv[9:]))
