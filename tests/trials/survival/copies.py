"""Put an older copy of the state folder back, and run two devices from one card; the consumer must see both."""

from __future__ import annotations

import random
import shutil
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final

from edge_app.mqtt.session import Subscriber
from tests.support.brokers import eventually, mosquitto, subscribed
from tests.support.consumer import Consumer
from tests.support.ledger_cases import payloads
from tests.support.program import Program
from tests.trials.survival.rows import Outcome, Row, Trial, failures

CONFIG: Final = """
device = {{ site = "test-site", device = "copied" }}
source = {{ kind = "street", width = 640, height = 360, fps = 10.0, seed = {seed}, flow = [30.0, 30.0] }}
detector = {{ threads = 1 }}
counting = {{ interval_s = 10 }}
mqtt = {{ port = {port} }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""
RUN_S: Final = 16.0
BOTH_S: Final = 35.0
_DRAINS_S: Final = 60.0


class Copies:
    """Two cards, a witness of everything that is offered, and the example consumer."""

    def __init__(self, folder: Path, port: int, reader: Subscriber, chance: random.Random) -> None:
        self._port, self._reader, self._random, self._starts = port, reader, chance, 0
        self.folders = [folder / "card", folder / "clone"]
        self.programs = [Program(each) for each in self.folders]
        self.contents: dict[str, set[bytes]] = defaultdict(set)

    def wait(self, seconds: float) -> None:
        """Read what is offered for this time, s."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self._reader.read(0.05)
            if message is not None:
                self.contents[message.payload.split(b'"id":"', 1)[1][:32].decode()].add(message.payload)

    def start(self, card: int) -> None:
        self._starts += 1
        self.programs[card].start(CONFIG.format(seed=self._starts, port=self._port))

    def end(self, card: int) -> None:
        self.programs[card].signal(self._random.choice((signal.SIGTERM, signal.SIGKILL)))
        self._until(self.programs[card].has_ended, 30.0)

    def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        def read_and_check() -> bool:
            self.wait(0.1)
            return condition()

        eventually(read_and_check, timeout)

    def restore(self) -> None:
        """Run, copy, run on, put the copy back, run on: numbers are given twice."""
        state, older = self.folders[0] / "state", self.folders[0] / "older"
        self.start(0)
        self.wait(self._random.uniform(0.7, 1.3) * RUN_S)
        self.end(0)
        _copy(state, older)
        self.start(0)
        self.wait(RUN_S + self._random.uniform(5.0, 12.0))
        self.end(0)
        self.drain(0)
        shutil.rmtree(state)
        older.rename(state)
        self.start(0)
        self.wait(RUN_S + self._random.uniform(5.0, 12.0))
        self.end(0)

    def clone(self) -> None:
        """Run two programs from one card at once: they also throw each other out at the broker."""
        state, other = (folder / "state" for folder in self.folders)
        _copy(state, other)
        self.start(0)
        self.start(1)
        self.wait(BOTH_S)
        for card in (0, 1):
            self.end(card)
        for card in (0, 1):
            self.drain(card)

    def drain(self, card: int) -> None:
        """Run alone until nothing waits."""
        self.start(card)
        self._until(lambda: not payloads(self.folders[card] / "state"), _DRAINS_S)
        self.wait(0.5)
        self.programs[card].signal(signal.SIGKILL)
        self._until(self.programs[card].has_ended, 10.0)


def _copy(state: Path, to: Path) -> None:
    """Copy the files of a state folder, as a copy of the card has them, and not the socket that a kill has left."""
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(state, to, ignore=shutil.ignore_patterns("*.sock"))


def run(trial: Trial) -> Outcome:
    """Run in real time, two minutes a round. Raises RuntimeError: without mosquitto."""
    if not shutil.which("mosquitto"):
        raise RuntimeError("needs the broker: apt install mosquitto")
    rounds, shown = 1 if trial.short else 4, [0, 0]
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(trial.folder))
        reader = stack.enter_context(subscribed(broker.port, "traffic/v1/+/+/counts/+"))
        consumer = stack.enter_context(closing(Consumer(trial.folder / "city", broker.port)))
        consumer.start()
        copies = Copies(trial.folder, broker.port, reader, random.Random(2026))
        for program in copies.programs:
            stack.enter_context(closing(program))
        for number in range(rounds):
            for kind, act in enumerate((copies.restore, copies.clone)):
                before = len(consumer.lines("conflict"))
                act()
                copies.wait(3.0)
                shown[kind] += len(consumer.lines("conflict")) > before
            trial.report(f"{number + 1} of {rounds} rounds, {len(copies.contents)} intervals offered")
        return _evaluate(copies, consumer, rounds, shown)


def _evaluate(copies: Copies, consumer: Consumer, rounds: int, shown: list[int]) -> Outcome:
    two = sum(len(versions) > 1 for versions in copies.contents.values())
    stored = {interval["id"] for interval in consumer.intervals}
    numbers = Counter((i["installation"], i["line"], i["seq"]) for i in consumer.intervals)
    repeated = sum(n > 1 for n in numbers.values())
    faults = [fault for program in copies.programs for run in program.runs for fault in run.faults]
    broken = failures(
        (not two, f"{two} ids with two contents"),
        (repeated > 0, "no number was given twice: nothing was tried"),
        (shown[0] == rounds, f"the consumer has shown {shown[0]} of {rounds} restored folders"),
        (shown[1] == rounds, f"the consumer has shown {shown[1]} of {rounds} cloned cards"),
        (stored == set(copies.contents), f"{len(set(copies.contents) - stored)} intervals are not with the consumer"),
        (not consumer.lines("lost"), "the consumer was told of a loss"),
        (not faults, f"errors: {faults[:2]}"),
    )
    return Outcome(
        f"{rounds} folders restored, {rounds} cards cloned: {len(copies.contents)} ids, {two} with two contents; "
        f"{repeated} numbers given twice, {len(consumer.lines('conflict'))} conflicts shown",
        broken,
    )


ROW = Row(
    "copies",
    "state folder restored to an older copy; card cloned, both running",
    "never two contents under one id; the consumer shows the conflict",
    run,
)
