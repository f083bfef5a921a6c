"""Kill the program and its broker at random and check what arrived: python -m tests.trials.kills.

Everything is real: the installed command line in real time, mosquitto with persistence, and a subscriber with a
persistent session. Exit 1 when a promise is broken.
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
from edge_app.storage.outbox import Outbox
from tests.support.brokers import Mosquitto, eventually, mosquitto, subscribed
from tests.support.invariants import Evidence, Finding, check, utc
from tests.support.program import Program
from tests.support.relay import Relay, relay

PREFIX = "traffic/v1/test-site/survivor"
INTERVAL_S = 10
STOPS = 0.2
"""Share of SIGTERM, instead of SIGKILL, among the signals to the program and to its broker."""
BUSY, EMPTY = (30.0, 30.0), (0.0, 0.0)
CONFIG = """
device = {{ site = "test-site", device = "survivor" }}
source = {{ kind = "street", width = 640, height = 360, fps = {rate}, seed = {seed}, flow = {flow} }}
detector = {{ threads = 1 }}
counting = {{ interval_s = {interval_s} }}
mqtt = {{ port = {port} }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of a trial.

    app_kills, broker_kills: number of SIGKILLs of program and broker. longest_s: longest run of the program, s.
    pause_s: longest time between two outages of the broker, s. rate: of the camera, frames/s.
    report: gets sentences about the progress.
    """

    app_kills: int
    broker_kills: int
    seed: int = 2026
    longest_s: float = 8.0
    pause_s: float = 12.0
    rate: float = 10.0
    report: Callable[[str], None] = field(default=lambda _text: None)


class Trial:
    """Trial that reads messages and kills program and broker, in one thread."""

    def __init__(self, plan: Plan, program: Program, broker: Mosquitto, relay: Relay, reader: Subscriber) -> None:
        self._plan, self._random = plan, random.Random(plan.seed)
        self._program, self._broker, self._relay, self._reader = program, broker, relay, reader
        self._app_kills, self._broker_kills = plan.app_kills, plan.broker_kills
        self._starts, self._due = 0, 0.0
        self.payloads: list[bytes] = []

    def run(self) -> None:
        """Kill program and broker as often as planned, then wait until all counts have arrived."""
        self._start()
        while self._app_kills or self._broker_kills:
            self._wait(self._random.uniform(1.0, self._plan.pause_s))
            if self._broker_kills:
                self._break_broker()
                self._report_progress()
        self._finish()

    def _report_progress(self) -> None:
        left = f"{self._app_kills} kills of the program and {self._broker_kills} of the broker to come"
        self._plan.report(f"{left}, {len(set(self.payloads))} intervals received")

    def _start(self) -> None:
        self._start_program(BUSY)
        self._due = time.monotonic() + self._random.uniform(min(1.0, self._plan.longest_s / 2), self._plan.longest_s)

    def _start_program(self, flow: tuple[float, float]) -> None:
        self._starts += 1
        values = {"seed": self._starts, "flow": list(flow), "rate": self._plan.rate}
        self._program.start(CONFIG.format(**values, interval_s=INTERVAL_S, port=self._relay.port))

    def _read(self) -> bool:
        message = self._reader.read(0.02)
        self.payloads += [message.payload] if message else []
        return message is not None

    def _read_until(self, condition: Callable[[], bool], timeout: float) -> None:
        def read_and_check() -> bool:
            self._read()
            return condition()

        eventually(read_and_check, timeout)

    def _step(self) -> None:
        self._read()
        if self._app_kills and time.monotonic() >= self._due:
            stopped = self._random.random() < STOPS
            self._end(signal.SIGTERM if stopped else signal.SIGKILL)
            self._app_kills -= not stopped
            self._start()

    def _wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._step()

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
        """Stop the broker with SIGTERM: it saves what it has acknowledged."""
        self._broker.stop()
        self._wait(self._random.uniform(0.0, 4.0))
        self._restart_broker()

    def _kill_broker(self) -> None:
        """Kill the broker while its acknowledgements are on the way, so that a kill of the program loses them.

        mosquitto acknowledges a message before it has saved it, so a broker that is killed may lose one that it has
        acknowledged, which is not a fault of the program. Therefore nothing more reaches the broker before its end, and
        the reader takes everything that did.
        """
        self._relay.deaf.set()
        self._wait(self._random.uniform(0.0, 4.0))
        self._relay.frozen.set()
        self._wait(0.2)
        while self._read():
            pass
        self._broker.kill()
        self._wait(self._random.uniform(0.0, 2.0))
        self._restart_broker()

    def _restart_broker(self) -> None:
        """Start the broker, and let the program reach it only when the reader is connected.

        A broker that has lost the reader's session would drop earlier messages, which is not a fault of the program.
        """
        self._relay.frozen.set()
        self._broker.start()
        while not self._reader.connected:
            self._step()
        self._relay.deaf.clear()
        self._relay.frozen.clear()

    def _finish(self) -> None:
        """Wait for a last crossing, then run on an empty road until its interval has arrived."""
        self._read_until(lambda: len(self._program.counted) > 0, 60.0)
        self._end(signal.SIGTERM)
        last = max((crossing.at for run in self._program.runs for crossing in run.counted), default=0.0)
        self._start_program(EMPTY)
        self._plan.report("waiting for the last interval on an empty road")
        self._read_until(lambda: self._newest() > last, 90.0)
        self._end(signal.SIGTERM)
        while self._read():
            pass

    def _newest(self) -> float:
        """Return the end of the interval that was received last, UTC s; 0 before the first."""
        return utc(json.loads(self.payloads[-1])["end"]) if self.payloads else 0.0


def survive(folder: Path, plan: Plan) -> Evidence:
    """Carry out the plan in an empty folder. Raises AssertionError: when the program ends by itself."""
    saved = ("persistence true", f"persistence_location {folder}/", "autosave_on_changes true", "autosave_interval 1")
    topics = f"{PREFIX}/counts/+", f"{PREFIX}/latest/+"
    with (
        mosquitto(folder, "allow_anonymous true", *saved) as broker,
        subscribed(broker.port, *topics, name="city", keep=3600) as reader,
        relay(broker.port) as link,
        closing(Program(folder)) as program,
    ):
        trial = Trial(plan, program, broker, link, reader)
        trial.run()
    outbox = Outbox(folder / "state")
    unsent = len(outbox)
    outbox.close()
    return Evidence(trial.payloads, program.runs, unsent)


def show(findings: list[Finding]) -> None:
    result = table("promise", "held")
    for finding in findings:
        result.add_row(finding.promise, "yes" if finding.held else "NO")
        result.add_row(f"    {finding.found}", "")
    stdout().print(result)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--broker-kills", type=int, default=20, help="SIGKILLs of the broker, besides SIGTERMs")
    parser.add_argument("--app-kills", type=int, default=50, help="SIGKILLs of the program, besides SIGTERMs")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args()
    if not shutil.which("mosquitto"):
        parser.error("needs the broker: apt install mosquitto")
    logging.getLogger("edge_app").setLevel(logging.ERROR)  # the broker is gone now and then on purpose
    began = time.monotonic()

    def report(text: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {text}", file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(options.app_kills, options.broker_kills, options.seed, report=report)
        findings = check(survive(Path(folder), plan))
    show(findings)
    return 0 if all(finding.held for finding in findings) else 1


if __name__ == "__main__":
    sys.exit(main())
