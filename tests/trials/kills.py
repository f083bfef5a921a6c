"""Kills the program and its broker at random moments and judges what arrived: python -m tests.trials.kills.

Everything is real: the installed command line in real time, mosquitto with persistence, a subscriber whose session
the broker keeps. Exit 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from edge_app.console.terminal import stdout, table
from edge_app.mqtt.session import Subscriber
from edge_app.storage.sqlite import Outbox
from tests.support.brokers import Mosquitto, Relay, eventually, mosquitto, relay, subscribed
from tests.support.invariants import Evidence, Finding, judge, utc
from tests.support.program import Program

PREFIX = "traffic/v1/test-site/survivor"
INTERVAL_S = 10
STOPS = 0.2
"""Share of SIGTERM among the ends of the program and of its broker."""
BUSY, EMPTY = (30.0, 30.0), (0.0, 0.0)
CONFIG = """
device = {{ site = "test-site", device = "survivor" }}
source = {{ kind = "street", width = 640, height = 360, fps = 10.0, seed = {seed}, flow = {flow} }}
detector = {{ threads = 1 }}
counting = {{ interval_s = {interval_s} }}
mqtt = {{ port = {port} }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """app_kills, broker_kills: how many. longest_s: from the start of the program to its end, at most. pause_s: from
    one outage of the broker to the next, at most."""

    app_kills: int
    broker_kills: int
    seed: int = 2026
    longest_s: float = 8.0
    pause_s: float = 12.0
    tell: Callable[[str], None] = field(default=lambda _text: None)


class Trial:
    """Turns of reading and of killing, in one thread."""

    def __init__(self, plan: Plan, program: Program, broker: Mosquitto, between: Relay, reader: Subscriber) -> None:
        self._plan, self._random = plan, random.Random(plan.seed)
        self._program, self._broker, self._between, self._reader = program, broker, between, reader
        self._app_kills, self._broker_kills = plan.app_kills, plan.broker_kills
        self._starts, self._due = 0, 0.0
        self.payloads: list[bytes] = []

    def run(self) -> None:
        """Until everything is killed as often as planned and all that was counted has arrived."""
        self._start()
        while self._app_kills or self._broker_kills:
            self._wait(self._random.uniform(1.0, self._plan.pause_s))
            if self._broker_kills:
                self._break_broker()
                self._tell()
        self._let_it_finish()

    def _tell(self) -> None:
        left = f"{self._app_kills} kills of the program and {self._broker_kills} of the broker to come"
        self._plan.tell(f"{left}, {len(set(self.payloads))} intervals received")

    def _start(self) -> None:
        self._start_program(BUSY)
        self._due = time.monotonic() + self._random.uniform(min(1.0, self._plan.longest_s / 2), self._plan.longest_s)

    def _start_program(self, flow: tuple[float, float]) -> None:
        self._starts += 1
        port = self._between.port
        self._program.start(CONFIG.format(seed=self._starts, flow=list(flow), interval_s=INTERVAL_S, port=port))

    def _read(self) -> bool:
        message = self._reader.read(0.02)
        self.payloads += [message.payload] if message else []
        return message is not None

    def _read_until(self, happened: Callable[[], bool], timeout: float) -> None:
        def turn() -> bool:
            self._read()
            return happened()

        eventually(turn, timeout)

    def _turn(self) -> None:
        self._read()
        if self._app_kills and time.monotonic() >= self._due:
            stopped = self._random.random() < STOPS
            self._end(signal.SIGTERM if stopped else signal.SIGKILL)
            self._app_kills -= not stopped
            self._start()

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._turn()

    def _end(self, number: signal.Signals) -> None:
        self._program.signal(number)
        self._read_until(self._program.has_ended, 20.0)

    def _break_broker(self) -> None:
        if self._random.random() < STOPS:
            self._stop_broker()
        else:
            self._broker_kills -= 1
            self._kill_broker()

    def _stop_broker(self) -> None:
        """It saves what it has acknowledged."""
        self._broker.stop()
        self._wait(self._random.uniform(0.0, 4.0))
        self._return_broker()

    def _kill_broker(self) -> None:
        """While its acknowledgements are on the way, so that they are lost where the program is killed meanwhile.

        One that had arrived would say that the broker has kept the message, and mosquitto says so before it has saved
        it: therefore nothing more may reach it at last, and what did is with the reader before the end.
        """
        self._between.deaf.set()
        self._wait(self._random.uniform(0.0, 4.0))
        self._between.frozen.set()
        self._wait(0.2)
        while self._read():
            pass
        self._broker.kill()
        self._wait(self._random.uniform(0.0, 2.0))
        self._return_broker()

    def _return_broker(self) -> None:
        """What a broker loses that has forgotten an absent reader is its own loss: the reader is back first."""
        self._between.frozen.set()
        self._broker.start()
        while not self._reader.connected:
            self._turn()
        self._between.deaf.clear()
        self._between.frozen.clear()

    def _let_it_finish(self) -> None:
        """A last crossing, then an empty road until its interval has arrived."""
        self._read_until(lambda: len(self._program.counted) > 0, 60.0)
        self._end(signal.SIGTERM)
        last = max((counted.at for life in self._program.lives for counted in life.counted), default=0.0)
        self._start_program(EMPTY)
        self._plan.tell("waiting for the last interval on an empty road")
        self._read_until(lambda: self._newest() > last, 90.0)
        self._end(signal.SIGTERM)
        while self._read():
            pass

    def _newest(self) -> float:
        """End of the interval that was received last, UTC s; 0 before the first."""
        return utc(json.loads(self.payloads[-1])["end"]) if self.payloads else 0.0


def survive(folder: Path, plan: Plan) -> Evidence:
    """Carries the plan out in an empty folder. AssertionError when the program ends by itself."""
    saved = ("persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1")
    topics = f"{PREFIX}/counts/+", f"{PREFIX}/latest/+"
    with (
        mosquitto(folder, "allow_anonymous true", *saved) as broker,
        subscribed(broker.port, *topics, name="city", keep=3600) as reader,
        relay(broker.port) as between,
        closing(Program(folder)) as program,
    ):
        trial = Trial(plan, program, broker, between, reader)
        trial.run()
    outbox = Outbox(folder / "state")
    unsent = len(outbox)
    outbox.close()
    return Evidence(trial.payloads, program.lives, unsent)


def show(findings: list[Finding]) -> None:
    result = table("promise", "kept")
    for finding in findings:
        result.add_row(finding.promise, "yes" if finding.kept else "NO")
        result.add_row(f"    {finding.found}", "")
    stdout().print(result)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker-kills", type=int, default=20, help="SIGKILLs of the broker; SIGTERMs on top")
    parser.add_argument("--app-kills", type=int, default=50, help="SIGKILLs of the program; likewise")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    if not shutil.which("mosquitto"):
        parser.error("needs the broker: apt install mosquitto")
    logging.getLogger("edge_app").setLevel(logging.ERROR)  # that the broker is gone now and then is no news here
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        findings = judge(survive(Path(folder), Plan(options.app_kills, options.broker_kills, options.seed, tell=tell)))
    show(findings)
    return 0 if all(finding.kept for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
