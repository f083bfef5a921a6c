"""Kill the city's broker under load, on its shipped configuration, and have the example consumer close the gaps."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.encoding import encode_counts
from edge_app.mqtt.endpoint import Endpoint, Tls
from edge_app.mqtt.events import Timing
from edge_app.mqtt.identity import Device
from edge_app.mqtt.presence import will
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Session
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import Outbox
from tests.support.brokers import QUICK, eventually
from tests.support.city import City, city_broker
from tests.support.consumer import Consumer, by_class, missing, wrong_totals
from tests.support.ledger_cases import CLASSES, NOON, crossing
from tests.support.publisher_cases import META, health
from tests.trials.survival.rows import Outcome, Row, Trial, failures

LINES: Final = ("north", "south")
MINUTE_S: Final = 60.0
TIMING: Final = Timing(connect=5.0, keepalive=5, ack=5.0)
_PATIENCE_S: Final = 180.0


class Pole(threading.Thread):
    """A device that counts by a clock of its own, a minute in `minute_takes` s, and delivers to the city in real time.

    Attributes: `counted` vehicles of intervals that are closed, `closed` intervals of each line, `fault` that ended it.
    """

    def __init__(self, folder: Path, name: str, to: Endpoint, seed: int, minute_takes: float) -> None:
        super().__init__(name=name, daemon=True)
        self._folder, self._to, self._random, self._takes = folder, to, random.Random(seed), minute_takes
        self._device = Device("harbour", name, "boot", "0.1.0", "ab" * 32, "cd" * 32)
        self.counted = self.closed = self.unsent = 0
        self.fault: BaseException | None = None
        self.counting, self.running = threading.Event(), threading.Event()
        self.counting.set()
        self.running.set()

    def run(self) -> None:
        try:
            self._run()
        except BaseException as fault:  # the trial must see it, whatever it is
            self.fault = fault

    def _run(self) -> None:
        device = self._device
        ledger = Ledger(
            self._folder,
            LINES,
            Counting(CLASSES, MINUTE_S),
            "boot",
            lambda closed: encode_counts(device, closed),
            names=(device.site, device.device),
        )
        session = Session(
            self._to, device.client_id, will=lambda: will(device, time.time()), timing=TIMING, backoff=QUICK
        )
        with closing(Outbox(self._folder)) as outbox:
            publisher = Publisher(
                session,
                outbox,
                device,
                META.model_copy(update={"site": device.site, "device": device.device}),
                health,
                interval_s=MINUTE_S,
                installation=lambda: ledger.installation,
            )
            while self.running.is_set():
                if self.counting.is_set():
                    self._count_minute(ledger)
                until = time.monotonic() + self._takes
                while time.monotonic() < until:
                    publisher.step(0.02)
                self.unsent = publisher.unsent
            publisher.drain(1.0)
        ledger.close(NOON + MINUTE_S * (self.closed + 1))

    def _count_minute(self, ledger: Ledger) -> None:
        begin = NOON + MINUTE_S * self.closed
        for part in range(4):
            at = begin + 10.0 * part
            line = self._random.choice(LINES)
            vehicles = [crossing(at, line, self._random.choice(CLASSES)) for _ in range(self._random.randint(0, 4))]
            ledger.record(at, vehicles, 0)
            self.counted += len(vehicles)
        ledger.tick(begin + MINUTE_S + 5.0)
        self.closed += 1


def new_city(folder: Path, poles: Sequence[str]) -> City:
    city = City(folder)
    city.run("init")
    city.run("server", HOST)
    city.run("control", "city")
    for pole in poles:
        city.run("enrol", "harbour", pole)
    return city


def run(trial: Trial) -> Outcome:
    """Run in real time: 20 kills take some three minutes. Raises RuntimeError: without mosquitto or openssl."""
    for program in ("mosquitto", "openssl"):
        if not shutil.which(program):
            raise RuntimeError(f"needs {program}: apt install {program}")
    kills, chance = 2 if trial.short else 20, random.Random(2026)
    names = [f"pole-{number}" for number in range(1, 5)]
    city = new_city(trial.folder / "ca", names)
    with ExitStack() as stack:
        broker = stack.enter_context(city_broker(city, trial.folder / "broker"))
        control = city.tls("control.city")
        files = [path for path in (control.ca_file, control.cert_file, control.key_file) if path]
        consumer = stack.enter_context(closing(Consumer(trial.folder / "city", broker.port, files)))
        consumer.start()
        eventually(lambda: time.sleep(0.1) or "subscribed" in consumer.said, 30.0)  # type: ignore[func-returns-value]
        poles = [
            Pole(trial.folder / name, name, _endpoint(broker.port, city.tls(f"harbour.{name}")), n, 0.2)
            for n, name in enumerate(names)
        ]
        for pole in poles:
            pole.start()
        consumer_kills = 0
        for number in range(kills):
            time.sleep(chance.uniform(1.0, 5.0))
            broker.kill()
            if number % 4 == 3:
                consumer.kill()
                consumer_kills += 1
            time.sleep(chance.uniform(0.0, 2.0))
            broker.start()
            if number % 4 == 3:
                consumer.start()
            trial.report(f"{number + 1} of {kills} kills, {sum(pole.closed for pole in poles)} minutes counted")
        for pole in poles:
            pole.counting.clear()
        began = time.monotonic()
        while time.monotonic() < began + _PATIENCE_S and not _complete(consumer, poles):
            time.sleep(0.5)
        took = time.monotonic() - began
        for pole in poles:
            pole.running.clear()
        for pole in poles:
            pole.join(10.0)
        return _evaluate(consumer, poles, kills, consumer_kills, took)


def _endpoint(port: int, tls: Tls) -> Endpoint:
    return Endpoint(HOST, port, tls=tls)


def _complete(consumer: Consumer, poles: Sequence[Pole]) -> bool:
    if any(pole.fault for pole in poles):
        return True
    return len(consumer.intervals) == len(LINES) * sum(pole.closed for pole in poles)


def _evaluate(consumer: Consumer, poles: Sequence[Pole], kills: int, consumer_kills: int, took: float) -> Outcome:
    intervals, series = consumer.intervals, consumer.series
    counted = sum(pole.counted for pole in poles)
    delivered = sum(by_class(i["counts"]).total() for i in intervals)
    newest = sum(by_class(rows[-1]["totals"]).total() for rows in series.values())
    closed = len(LINES) * sum(pole.closed for pole in poles)
    gaps, totals = sum(map(missing, series.values())), sum(map(wrong_totals, series.values()))
    faults = [f"{pole.name}: {pole.fault!r}" for pole in poles if pole.fault]
    broken = failures(
        (not faults, f"a device failed: {'; '.join(faults)}"),
        (len(intervals) == closed and not gaps, f"{closed - len(intervals)} of {closed} intervals are missing"),
        (delivered == counted, f"{delivered} of {counted} vehicles"),
        (newest == counted and not totals, f"the sums are {counted}, the newest totals {newest}; {totals} are wrong"),
        (not consumer.lines("conflict"), f"{len(consumer.lines('conflict'))} conflicts"),
        (not consumer.lines("lost"), f"{len(consumer.lines('lost'))} ranges called lost"),
        (not consumer.lines("Traceback"), "the consumer crashed"),
    )
    return Outcome(
        f"{kills} kills of the broker, {consumer_kills} of the consumer: {len(intervals)} of {closed} intervals once "
        f"each, {delivered} of {counted} vehicles, totals {newest}; complete {took:.0f} s after the last interval; "
        f"{len(consumer.lines('asked'))} ranges asked for",
        broken,
    )


ROW = Row(
    "broker",
    "the city's broker killed with -9 under load 20 times, as shipped",
    "after resend nothing is missing, nothing double, and the sums are the totals",
    run,
)
