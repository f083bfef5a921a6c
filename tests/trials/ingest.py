"""Measure the city's ingest from a backlog: python -m tests.trials.ingest [--messages N] [--devices N].

A broker holds N intervals of D devices for a worker that is away; then the worker comes, and nothing else sends. What
is measured: the time until all are validated, checked for gaps, committed to PostgreSQL and acknowledged. Needs
mosquitto and PostgreSQL.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import func, select

from edge_app.city.database.engine import open_database
from edge_app.city.database.missing import find_gaps
from edge_app.city.database.tables import INTERVAL
from edge_app.city.inbox import topics
from edge_app.city.ingest import Worker
from edge_app.city.mqtt_inbox import MqttInbox
from edge_app.city.records import LineName
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Message, Timing
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.messages import MEASURES
from edge_app.mqtt.session import Session
from edge_app.records import VEHICLES
from tests.city.cases import series
from tests.support.brokers import mosquitto
from tests.support.postgres import postgres

SETTINGS = ("allow_anonymous true", "max_queued_messages 0", "max_inflight_messages 1000", "persistence false")


def session(port: int, name: str) -> Session:
    """Return a session that the broker keeps, acknowledged by hand."""
    return Session(Endpoint(HOST, port), name, timing=Timing(session_expiry=3600, by_hand=True))


def messages(many: int, devices: int) -> Iterator[Message]:
    """Yield intervals of all devices in turn, as one minute after another would come."""
    each = -(-many // devices)
    lines = [series(each, name=LineName("town", f"pole-{n}", "main")) for n in range(devices)]
    plain = {key: value for key, value in EXAMPLES["counts"].items() if key not in MEASURES}
    for number in range(many):
        interval = lines[number % devices][number // devices]
        none = {name: {"left_to_right": 0, "right_to_left": 0} for name in VEHICLES}
        counts = {**none, "car": {"left_to_right": interval.counts[0], "right_to_left": 0}}
        totals = {**none, "car": {"left_to_right": interval.totals[0], "right_to_left": 0}}
        start, end = (time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)) for at in (interval.start, interval.end))
        content = {**plain, "id": interval.id.hex, "site": "town", "device": interval.name.device, "line": "main"}
        content |= {"start": start, "end": end, "seq": interval.seq, "installation": interval.installation}
        content |= {"counts": counts, "totals": totals}
        yield Message(f"{ROOT}/town/{interval.name.device}/counts/main", json.dumps(content).encode(), qos=1)


def fill(port: int, many: int, devices: int) -> None:
    """Let the broker hold the messages for the worker."""
    away = session(port, "edge-app-city-1")
    wait_connected(away)
    away.subscribe(topics(ROOT))
    away.poll(0.5)
    away.close()
    sender, waiting = session(port, "generator"), 0
    wait_connected(sender)
    for message in messages(many, devices):
        sender.publish(message)
        waiting += 1
        while waiting > 500:
            waiting -= sum(isinstance(event, Acked) for event in sender.poll(0.1))
    while waiting:
        waiting -= sum(isinstance(event, Acked) for event in sender.poll(0.1))
    sender.close()


def wait_connected(subject: Session) -> None:
    while not any(isinstance(event, Connected) for event in subject.poll(0.1)):
        pass


def main() -> None:
    """Run the trial and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--devices", type=int, default=1_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, postgres() as server, mosquitto(Path(folder), *SETTINGS) as broker:
        fill(broker.port, wanted.messages, wanted.devices)
        database = open_database(server.url)
        inbox = MqttInbox(session(broker.port, "edge-app-city-1"), topics(ROOT))
        worker = Worker(inbox, database, ROOT)
        began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        while worker.tally.counts["stored"] + worker.tally.counts["poison"] < wanted.messages:
            worker.turn()
        took, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
        cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        with database.connect() as connection:
            stored = connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one()
            gaps = len(list(find_gaps(connection)))
        print(f"{stored} of {wanted.messages} stored, {gaps} gaps: {stored / took:.0f} a second")
        print(f"processor time of the worker: {1e6 * cpu / stored:.0f} us an interval, {cpu / took:.2f} of a core")
        inbox.close()
        database.close()


if __name__ == "__main__":
    main()
