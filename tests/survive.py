"""Kills the program and its broker at random moments and judges what a subscriber received: python -m tests.survive.

Everything is real: the installed command line in real time, mosquitto with persistence, a subscriber whose session
the broker keeps. Exit 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from edge_app.session import Subscriber
from edge_app.store import Outbox
from edge_app.terminal import stdout, table
from tests.brokers import Mosquitto, Relay, eventually, mosquitto, relay, subscribed
from tests.promises import Counted, Evidence, Finding, Life, judge

ROOT = Path(__file__).parent.parent
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


@dataclass
class Plan:
    """app_kills, broker_kills: how many. longest_s: from the start of the program to its end, at most. pause_s: from
    one outage of the broker to the next, at most."""

    app_kills: int
    broker_kills: int
    seed: int = 2026
    longest_s: float = 8.0
    pause_s: float = 12.0
    tell: Callable[[str], None] = field(default=lambda _text: None)


class Program:
    """`edge-app run` on a rendered street, each time with other traffic, its log in a file of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self._port = folder, port
        self._ended: list[tuple[float, int | None]] = []
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, flow: tuple[float, float]) -> None:
        run = len(self._ended)
        config = self.folder / "edge-app.toml"
        config.write_text(CONFIG.format(seed=run, flow=list(flow), interval_s=INTERVAL_S, port=self._port))
        with self._log(run).open("wb") as log:
            command = (sys.executable, "-m", "edge_app.cli", "run", "--config", str(config))
            self._process = subprocess.Popen(command, cwd=ROOT, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self._process.poll() is None, self._log(len(self._ended)).read_text()
        self._process.send_signal(number)

    def has_ended(self) -> bool:
        """Asked until it is true after a signal."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            time.sleep(0.005)
            return False
        self._process = None
        self._ended.append((time.time(), None if code == -signal.SIGKILL else code))
        return True

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def lives(self) -> list[Life]:
        """All that have ended."""
        return [_life(self._log(run), *ended) for run, ended in enumerate(self._ended)]

    def _log(self, run: int) -> Path:
        return self.folder / f"run-{run}.log"


def _life(log: Path, ended: float, code: int | None) -> Life:
    records = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    seen = [record["time"] for record in records if record["message"] == "first frame"]
    counted = [
        Counted((record["line"], record["class"], record["direction"]), record["at"])
        for record in records
        if record["message"] == "counted"
    ]
    faults = [record["message"] for record in records if record["level"] in ("ERROR", "CRITICAL")]
    first = datetime.fromisoformat(seen[0].replace("Z", "+00:00")).timestamp() if seen else None
    return Life(first, ended, code, counted, faults)


class Trial:
    """Turns of reading and of killing, in one thread."""

    def __init__(self, plan: Plan, program: Program, broker: Mosquitto, between: Relay, reader: Subscriber) -> None:
        self._plan, self._random = plan, random.Random(plan.seed)
        self._program, self._broker, self._between, self._reader = program, broker, between, reader
        self._app_kills, self._broker_kills = plan.app_kills, plan.broker_kills
        self._due = 0.0
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
        self._program.start(BUSY)
        self._due = time.monotonic() + self._random.uniform(min(1.0, self._plan.longest_s / 2), self._plan.longest_s)

    def _read(self) -> bool:
        message = self._reader.read(0.02)
        self.payloads += [message.payload] if message else []
        return message is not None

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
        eventually(lambda: self._program.has_ended() or (self._read() and False), 20.0)

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
        """On an empty road, until an interval has arrived that began after the last crossing."""
        self._end(signal.SIGTERM)
        last = max((counted.at for life in self._program.lives for counted in life.counted), default=0.0)
        self._program.start(EMPTY)
        self._plan.tell("waiting for the last interval on an empty road")
        eventually(lambda: (self._read() or True) and self._newest() > last, 90.0)
        self._end(signal.SIGTERM)
        while self._read():
            pass

    def _newest(self) -> float:
        starts = (json.loads(payload)["start"] for payload in self.payloads[-1:])
        return max((datetime.fromisoformat(start.replace("Z", "+00:00")).timestamp() for start in starts), default=0.0)


@contextmanager
def _program(folder: Path, port: int) -> Iterator[Program]:
    program = Program(folder, port)
    try:
        yield program
    finally:
        program.close()


def survive(folder: Path, plan: Plan) -> Evidence:
    """Carries the plan out in an empty folder. AssertionError when the program ends by itself."""
    saved = ("persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1")
    topics = f"{PREFIX}/counts/+", f"{PREFIX}/latest/+"
    with (
        mosquitto(folder, "allow_anonymous true", *saved) as broker,
        subscribed(broker.port, *topics, name="city", keep=3600) as reader,
        relay(broker.port) as between,
        _program(folder, between.port) as program,
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
    parser.add_argument("--broker-kills", type=int, default=20, help="SIGKILLs of the broker; some SIGTERMs come on top")
    parser.add_argument("--app-kills", type=int, default=50, help="SIGKILLs of the program; likewise")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
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
