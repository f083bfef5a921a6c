"""Kill workers, broker and database of a city: python -m tests.trials.city_kills [--broker KIND] [--minutes M].

Real publishers count on rendered curves, two workers store, and at random moments one of all is killed with SIGKILL.
Afterwards every interval that the devices closed must be stored once, with their vehicles, after `resend` has brought
what the broker has lost. Needs PostgreSQL, and the broker: mosquitto (saving once a minute), nats or rabbitmq.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from edge_app.city.database.engine import open_database
from tests.city.test_ingest import contradictions, device, driving, stored, told, whole
from tests.support.brokers import eventually
from tests.support.city_brokers import running
from tests.support.city_worker import start
from tests.support.postgres import postgres
from tests.trials.ingest import KINDS

SETTINGS: Final = ("allow_anonymous true", "max_inflight_messages 1000", "persistence true", "autosave_interval 60")
WHAT: Final = ("worker", "second worker", "broker", "database")
_SHOWN: Final = 25


def main() -> None:
    """Run the trial and print what was stored."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--broker", choices=KINDS, default="mosquitto")
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--devices", type=int, default=5)
    wanted = parser.parse_args()
    chance, killed = random.Random(24), Counter[str]()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(postgres())
        broker = stack.enter_context(running(KINDS[wanted.broker], folder / "broker", *SETTINGS))
        open_database(server.url).close()
        workers = {"worker": ("1", "counts", "ask"), "second worker": ("2", "counts", "")}
        processes = {name: start(broker, server.url, *options) for name, options in workers.items()}
        devices = [device(folder, f"pole-{n}", broker.port) for n in range(wanted.devices)]
        for one in devices:
            stack.callback(one.close)
        began = time.monotonic()
        with driving(devices):
            while time.monotonic() - began < 60 * wanted.minutes:
                time.sleep(chance.uniform(1.0, 3.0))
                what = chance.choice(WHAT)
                killed[what] += 1
                if not killed.total() % _SHOWN:
                    print(f"{time.monotonic() - began:5.0f} s: {dict(killed)} killed", flush=True)
                if what in workers:
                    processes[what].kill()
                    processes[what].wait(10)
                    processes[what] = start(broker, server.url, *workers[what])
                else:
                    victim = broker.server if what == "broker" else server
                    victim.kill()
                    victim.start()
            time.sleep(3.0)
        took = time.monotonic() - began
        for process in processes.values():
            stack.callback(process.wait, 10)
            stack.callback(process.kill)
        database = open_database(server.url)
        stack.callback(database.close)

        def complete() -> bool:
            time.sleep(0.5)
            return stored(database) == told(devices) and whole(database)

        eventually(complete, 170.0)
        many, vehicles = stored(database)
        print(f"{wanted.broker}: {dict(killed)} in {took:.0f} s; {many} of {told(devices)[0]} intervals stored once,")
        print(f"{vehicles} of {told(devices)[1]} vehicles, {len(contradictions(database))} contradictions")


if __name__ == "__main__":
    main()
