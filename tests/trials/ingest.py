"""Measure the city's ingest from a backlog: python -m tests.trials.ingest [--broker KIND] [--messages N] [--devices N].

A broker holds N intervals of D devices for a worker that is away; then the worker comes, and nothing else sends. What
is measured: the time until all are validated, checked for gaps, committed to PostgreSQL and acknowledged, and what
processor time worker, broker and database use for it. Needs PostgreSQL, and the broker: mosquitto, nats or rabbitmq.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil
from sqlalchemy import func, select

from edge_app.city.database.engine import open_database
from edge_app.city.database.missing import find_gaps
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.tables import INTERVAL
from edge_app.city.ingest import Worker
from edge_app.city.records import LineName
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.messages import MEASURES
from edge_app.mqtt.session import Session
from edge_app.records import VEHICLES
from tests.city.cases import series
from tests.support.brokers import eventually
from tests.support.city_brokers import inbox, running
from tests.support.postgres import postgres

SETTINGS: Final = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 1000", "persistence false")
KINDS: Final = {"mosquitto": "mqtt", "nats": "nats", "rabbitmq": "rabbitmq"}


def messages(many: int, devices: int) -> Iterator[Message]:
    """Yield intervals of all devices in turn, as one minute after another would come."""
    each = -(-many // devices)
    lines = [series(each, name=LineName("town", f"pole-{n}", "main")) for n in range(devices)]
    plain = {key: value for key, value in EXAMPLES["counts"].items() if key not in MEASURES}
    none = {name: {"left_to_right": 0, "right_to_left": 0} for name in VEHICLES}
    for number in range(many):
        interval = lines[number % devices][number // devices]
        counts = {**none, "car": {"left_to_right": interval.counts[0], "right_to_left": 0}}
        totals = {**none, "car": {"left_to_right": interval.totals[0], "right_to_left": 0}}
        start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (interval.start, interval.end))
        content = {**plain, "id": interval.id.hex, "site": "town", "device": interval.name.device, "line": "main"}
        content |= {"start": start, "end": end, "seq": interval.seq, "installation": interval.installation}
        content |= {"counts": counts, "totals": totals}
        yield Message(f"{ROOT}/town/{interval.name.device}/counts/main", json.dumps(content).encode(), qos=1)


def fill(port: int, many: int, devices: int) -> None:
    """Let the broker hold the messages."""
    sender, waiting = Session(Endpoint(HOST, port), "generator"), 0
    eventually(lambda: any(isinstance(event, Connected) for event in sender.poll(0.1)))
    for message in messages(many, devices):
        sender.publish(message)
        waiting += 1
        while waiting > 500:
            waiting -= sum(isinstance(event, Acked) for event in sender.poll(0.1))
    while waiting:
        waiting -= sum(isinstance(event, Acked) for event in sender.poll(0.1))
    sender.close()


def used(pid: int) -> float:
    """Return the processor time of a process and its children, s."""
    process = psutil.Process(pid)
    children = [] if pid == os.getpid() else process.children(recursive=True)
    times = [one.cpu_times() for one in (process, *children)]
    return float(sum(one.user + one.system for one in times))


def main() -> None:
    """Run the trial and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--broker", choices=KINDS, default="mosquitto")
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--devices", type=int, default=1_000)
    wanted = parser.parse_args()
    kind = KINDS[wanted.broker]
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres() as server,
        running(kind, Path(folder), *SETTINGS) as broker,
    ):
        away = inbox(broker.port, kind, broker.queue_port, ROOT)
        eventually(lambda: away.read(1, 0.5) or not away.problem, 30.0)
        away.read(1, 0.5)
        away.close()
        fill(broker.port, wanted.messages, wanted.devices)
        database = open_database(server.url)
        box = inbox(broker.port, kind, broker.queue_port, ROOT)
        worker = Worker(box, database, ROOT)
        pids = os.getpid(), broker.server.pid, server.pid
        began, before = time.monotonic(), [used(pid) for pid in pids]
        worker.run(lambda: worker.tally.counts["stored"] + worker.tally.counts["poison"] >= wanted.messages)
        took, after = time.monotonic() - began, [used(pid) for pid in pids]
        worker.raise_fault()
        with database.connect() as connection:
            stored = connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one()
            gaps = len(list(find_gaps(connection)))
        print(f"{wanted.broker}: {stored} of {wanted.messages} stored, {gaps} gaps: {stored / took:.0f} a second")
        each = [1e6 * (b - a) / stored for a, b in zip(before, after, strict=True)]
        print("processor time: worker {:.0f}, broker {:.0f}, database {:.0f} us an interval".format(*each))
        began, quarters = time.monotonic(), 0
        while True:
            with database.begin() as connection:
                rolled = roll_up(connection)
            quarters += rolled
            if not rolled:
                break
        print(f"adding up {quarters} quarters of an hour afterwards: {time.monotonic() - began:.1f} s")
        box.close()
        database.close()


if __name__ == "__main__":
    main()
