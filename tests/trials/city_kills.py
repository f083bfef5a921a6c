"""Kill and cut off the parts of a city: python -m tests.trials.city_kills [--broker KIND] [--minutes M] [--devices N].

Real publishers count on rendered curves, two workers store. At random moments a worker, the broker or the database is
killed with SIGKILL, or a network between them fails: every connection ends at once, or all stay open and nothing comes
through, in part for longer than anybody waits. Devices have a network of their own to the broker, so that either side
of it may be cut off. Afterwards every interval that the devices closed must be stored once, with their vehicles, after
`resend` has brought what the broker has lost; else the exit code is 1. Needs PostgreSQL, and the broker: mosquitto
(saving once a minute), nats or rabbitmq.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from edge_app.city.database.engine import Database, open_database
from tests.city.test_ingest import contradictions, device, driving, stored, told, whole
from tests.support.city_brokers import KEEPALIVE_S, Behind, Broker, running
from tests.support.city_worker import start
from tests.support.postgres import Postgres, postgres
from tests.support.relay import Relay, relay
from tests.trials.ingest import KINDS

SETTINGS: Final = ("allow_anonymous true", "max_inflight_messages 1000", "persistence true", "autosave_interval 60")
WORKERS: Final = {"worker": ("1", "counts", "ask"), "second worker": ("2", "counts", "")}
SILENT_S: Final = (1.0, 2.5 * KEEPALIVE_S)
"""Of the shortest nobody takes notice; after the longest the broker and whoever reads from it have given up."""
_SHOWN: Final = 50
_PATIENCE_S: Final = 300.0


class City:
    """All that can be killed and cut off: workers, broker, database, and the networks between them and the devices."""

    def __init__(self, broker: Broker, server: Postgres, stack: ExitStack) -> None:
        def line(port: int) -> Relay:
            return stack.enter_context(relay(port))

        self._servers = {"broker": broker.server, "database": server}
        self._read = Behind(broker.kind, line(broker.port), line(broker.queue_port) if broker.queue_port else None)
        to_devices, to_database = line(broker.port), line(server.port)
        self.port = to_devices.port
        """Where devices find the broker."""
        self._database = server.url.replace(f":{server.port}/", f":{to_database.port}/")
        self._lines = {"devices": [to_devices], "workers": self._read.relays, "database": [to_database]}
        self._silent = dict[str, float]()
        """Until when, by the name of a network."""
        self._workers = dict[str, subprocess.Popen[bytes]]()
        stack.callback(self.end)
        for name in WORKERS:
            self._start(name)

    @property
    def faults(self) -> Sequence[str]:
        """What may happen, in words."""
        killed = [f"{name} killed" for name in (*WORKERS, *self._servers)]
        return [*killed, *(f"network of {name} {how}" for name in self._lines for how in ("cut", "silent"))]

    def fail(self, fault: str, seconds: float) -> None:
        """Let this one of the faults happen. seconds: a silence lasts."""
        *_, name, how = ("", *fault.removeprefix("network of ").rsplit(" ", 1))
        if name in WORKERS:
            self._end(name)
            self._start(name)
        elif how == "killed":
            self._servers[name].kill()
            self._servers[name].start()
        elif how == "cut":
            for one in self._lines[name]:
                one.cut()
        else:
            self._silent[name] = time.monotonic() + seconds
            for one in self._lines[name]:
                one.frozen.set()

    def mend(self, *, all_of_it: bool = False) -> None:
        """End silences whose time is over."""
        for name, until in list(self._silent.items()):
            if all_of_it or time.monotonic() > until:
                del self._silent[name]
                for one in self._lines[name]:
                    one.frozen.clear()

    def end(self) -> None:
        """End the workers."""
        for name in list(self._workers):
            self._end(name)

    def _start(self, name: str) -> None:
        self._workers[name] = start(self._read, self._database, *WORKERS[name])

    def _end(self, name: str) -> None:
        process = self._workers.pop(name)
        process.kill()
        process.wait(10)


def trouble(city: City, minutes: float, chance: random.Random) -> Counter[str]:
    """Let one thing after another fail, and return how often each did."""
    began, happened = time.monotonic(), Counter[str]()
    while time.monotonic() - began < 60 * minutes:
        time.sleep(chance.uniform(1.0, 3.0))
        city.mend()
        fault = chance.choice(city.faults)
        city.fail(fault, chance.uniform(*SILENT_S))
        happened[fault] += 1
        if not happened.total() % _SHOWN:
            print(f"{time.monotonic() - began:5.0f} s: {happened.total()} faults", flush=True)
    city.mend(all_of_it=True)
    return happened


def complete(database: Database, closed: tuple[int, int]) -> bool:
    """Wait until all that devices have closed is stored once and no gap is left; return whether that came about."""
    end = time.monotonic() + _PATIENCE_S
    while time.monotonic() < end:
        if stored(database) == closed and whole(database):
            return True
        time.sleep(0.5)
    return False


def main() -> int:
    """Run the trial and print what was stored; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--broker", choices=KINDS, default="mosquitto")
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--devices", type=int, default=5)
    parser.add_argument("--seed", type=int, default=24)
    wanted = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres())
        broker = stack.enter_context(running(KINDS[wanted.broker], folder / "broker", *SETTINGS))
        open_database(server.url).close()
        city = City(broker, server, stack)
        devices = [device(folder, f"pole-{n}", city.port) for n in range(wanted.devices)]
        for one in devices:
            stack.callback(one.close)
        with driving(devices):
            happened = trouble(city, wanted.minutes, random.Random(wanted.seed))
            time.sleep(3.0)
        database = open_database(server.url)
        stack.callback(database.close)
        right = complete(database, told(devices))
        conflicts = contradictions(database)
        for fault, times in sorted(happened.items()):
            print(f"{times:5} times {fault}")
        (stored_intervals, stored_vehicles), (intervals, vehicles) = stored(database), told(devices)
        print(f"{wanted.broker}: {stored_intervals} of {intervals} intervals stored once,", end=" ")
        print(f"{stored_vehicles} of {vehicles} vehicles, {len(conflicts)} contradictions")
        return 0 if right and not conflicts else 1


if __name__ == "__main__":
    sys.exit(main())
