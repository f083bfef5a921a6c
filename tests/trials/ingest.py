"""Measure the city's ingest from a backlog: python -m tests.trials.ingest [--broker KIND] [--messages N] [--workers N].

A broker holds N intervals of 1,000 devices for workers that are away; then they come, and nothing else sends. What is
measured: the time until all are validated, checked for gaps, committed to PostgreSQL and acknowledged, and what
processor time workers, broker and database use for it. Each worker is a process. Needs PostgreSQL, and the broker:
mosquitto, nats or rabbitmq.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import multiprocessing
import os
import pstats
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Final

from sqlalchemy import func, select

from edge_app.city.database.engine import open_database
from edge_app.city.database.missing import find_gaps
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.tables import INTERVAL
from edge_app.city.inbox import Inbox
from edge_app.city.ingest import Worker
from edge_app.city.records import Interval, LineName
from edge_app.mqtt.count_messages import MEASURES
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Endpoint
from edge_app.mqtt.events import Acked, Connected, Message
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import ROOT
from edge_app.mqtt.session import Session
from edge_app.records import VEHICLES
from tests.city.cases import series
from tests.support.brokers import eventually
from tests.support.city_brokers import inbox, running
from tests.support.postgres import postgres
from tests.support.processor_times import ProcessorTimes

SETTINGS: Final = (
    "allow_anonymous true",
    "max_queued_messages 0",
    "max_inflight_messages 1000",
    "persistence false",
    "log_type none",
)
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


class Share:
    """What a worker of the measured ones does, in a process of its own, until all together have stored everything."""

    def __init__(
        self, kind: str, ports: tuple[int, int], database: str, many: int, workers: int, *, profiled: bool
    ) -> None:
        self._profiled = profiled
        self._kind, self._ports, self._database, self._many, self._workers = kind, ports, database, many, workers
        context = multiprocessing.get_context("spawn")
        self._stored = context.Value("q", 0)
        self._begins, self._ends = context.Barrier(workers + 1), context.Barrier(workers + 1)
        self._results: SimpleQueue[Result] = context.SimpleQueue()
        self._processes = [context.Process(target=self.work, args=(number,)) for number in range(workers)]

    def __getstate__(self) -> dict[str, object]:
        return {key: value for key, value in self.__dict__.items() if key != "_processes"}

    def inbox(self, number: int) -> Inbox:
        """Return the inbox of a worker; the first one takes what devices say of themselves too."""
        share = "share" if self._workers > 1 else ""
        fleet = "yes" if number == 0 else ""
        return inbox(self._ports[0], self._kind, self._ports[1], ROOT, str(number + 1), share, fleet)

    def work(self, number: int) -> None:
        """Store until all is stored, and tell how long that took."""
        box, database = self.inbox(number), open_database(self._database)
        worker = Worker(box, database, ROOT, on_stored=self._note)
        profile = cProfile.Profile() if self._profiled and number == 0 else None
        self._begins.wait()
        began, used = time.monotonic(), os.times()
        if profile:
            profile.enable()
        worker.run(lambda: self._stored.value >= self._many)
        ended, after = time.monotonic(), os.times()
        if profile:
            profile.disable()
            pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        worker.raise_fault()
        self._results.put(Result(began, ended, after.user + after.system - used.user - used.system))
        self._ends.wait()
        box.close()
        database.close()

    def run(self, look: Callable[[], None]) -> list[Result]:
        """Have all work, and return what each took. look: called when they begin, and before they end."""
        for process in self._processes:
            process.start()
        look()
        self._begins.wait(60.0)
        results = [self._next_result() for _ in self._processes]
        look()
        self._ends.wait()
        return results

    def _next_result(self) -> Result:
        while self._results.empty():
            if any(process.exitcode for process in self._processes):
                sys.exit("a worker has ended by a fault, which it has told above")
            time.sleep(0.05)
        return self._results.get()

    def _note(self, intervals: Sequence[Interval]) -> None:
        with self._stored.get_lock():
            self._stored.value += len(intervals)


@dataclass(frozen=True)
class Result:
    """What one worker took. began, ended: s of the same clock. used_s: processor time."""

    began: float
    ended: float
    used_s: float


def leave_a_queue(share: Share, workers: int) -> None:
    """Have the broker know every worker, and let them go: it holds for them what comes."""
    for number in range(workers):
        away = share.inbox(number)
        eventually(lambda away=away: away.read(1, 0.5) or not away.problem, 30.0)  # type: ignore[misc]
        away.read(1, 0.5)
        away.close()


def main() -> None:
    """Run the trial and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--broker", choices=KINDS, default="mosquitto")
    parser.add_argument("--messages", type=int, default=50_000)
    parser.add_argument("--devices", type=int, default=1_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--profile", action="store_true", help="tell what takes the first worker's time")
    wanted = parser.parse_args()
    kind = KINDS[wanted.broker]
    with (
        tempfile.TemporaryDirectory() as folder,
        postgres() as server,
        running(kind, Path(folder), *SETTINGS) as broker,
    ):
        ports = broker.port, broker.queue_port
        share = Share(kind, ports, server.url, wanted.messages, wanted.workers, profiled=wanted.profile)
        leave_a_queue(share, wanted.workers)
        fill(broker.port, wanted.messages, wanted.devices)
        database, times = open_database(server.url), ProcessorTimes()

        def look() -> None:
            times.look("broker", broker.server.pid)
            times.look("database", server.pid)

        results = share.run(look)
        took = max(one.ended for one in results) - min(one.began for one in results)
        with database.connect() as connection:
            stored = connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one()
            gaps = len(list(find_gaps(connection)))
        rate = f"{stored / took:.0f} a second"
        print(f"{wanted.broker}, {wanted.workers} workers: {stored} of {wanted.messages} stored, {gaps} gaps: {rate}")
        used = [sum(one.used_s for one in results), times.of("broker"), times.of("database")]
        each = [1e6 * one / stored for one in used]
        print("processor time: workers {:.0f}, broker {:.0f}, database {:.0f} us an interval".format(*each))
        began, quarters = time.monotonic(), 0
        while True:
            with database.begin() as connection:
                rolled = roll_up(connection)
            quarters += rolled
            if not rolled:
                break
        print(f"adding up {quarters} quarters of an hour afterwards: {time.monotonic() - began:.1f} s")
        database.close()


if __name__ == "__main__":
    main()
