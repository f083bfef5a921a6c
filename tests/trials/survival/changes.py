"""Change the configuration at random while vehicles pass: lengths, lines, names and time zone."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections import Counter, defaultdict
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from edge_app.assembly.device import counting_hash
from edge_app.config.load import load
from edge_app.detectors import manifest
from edge_app.mqtt.session import Subscriber
from tests.support.brokers import eventually, mosquitto, subscribed
from tests.support.consumer import by_class
from tests.support.cpu_quota import CpuQuota, cpu_quota
from tests.support.invariants import LoggedCrossing, Run, utc
from tests.support.ledger_cases import payloads
from tests.support.program import Program
from tests.trials.survival.rows import Outcome, Row, Trial, failures

CONFIG: Final = """
lines = [{lines}]
device = {{ site = "{site}", device = "{device}", time_zone = "{zone}" }}
source = {{ kind = "street", width = 640, height = 360, fps = {fps}, seed = {seed}, flow = [30.0, 30.0] }}
detector = {{ threads = 1 }}
counting = {{ interval_s = {interval_s} }}
mqtt = {{ port = {port} }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""
LENGTHS: Final = (10, 12, 15, 20, 30, 60, 600, 3600)
SITES, DEVICES = ("harbour", "station"), ("pole-7", "pole-8")
ZONES: Final = ("UTC", "Europe/Amsterdam", "Asia/Kolkata")
MIDDLE: Final = '{{ id = "{}", start = [0.5, 0.97], end = [0.5, 0.36] }}'
LEFT: Final = '{{ id = "{}", start = [0.3, 0.97], end = [0.3, 0.36] }}'
LINES: Final = ((MIDDLE, "main"), (MIDDLE, "other"), (LEFT, "main"), (LEFT, "side"))
FPS: Final = 15.0
_ENOUGH: Final = 0.9
"""Share of the frames of the street from which the machine was not too busy."""
_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Setting:
    """Configuration of one run. config: its hash in intervals."""

    text: str
    config: str


class Changes:
    """The device, and a witness of what it delivers."""

    def __init__(self, folder: Path, port: int, reader: Subscriber, chance: random.Random) -> None:
        self._folder, self._port, self._reader, self._random = folder, port, reader, chance
        self.program = Program(folder)
        self.chosen: dict[str, Any] = {
            "site": SITES[0], "device": DEVICES[0], "zone": ZONES[0], "interval_s": 10, "lines": [LINES[0]],
        }  # fmt: skip
        self.settings: list[Setting] = []
        self.intervals: dict[str, dict[str, Any]] = {}
        self.misplaced = 0
        self.quota: CpuQuota | None = None
        self._model = manifest.load(manifest.default_model())[0].sha256

    def change(self) -> None:
        """Change one or two things."""
        for what in self._random.sample(("interval_s", "interval_s", "lines", "lines", "site", "device", "zone"), 2):
            options = {
                "interval_s": LENGTHS,
                "site": SITES,
                "device": DEVICES,
                "zone": ZONES,
                "lines": [[line] for line in LINES] + [[LINES[0], LINES[3]], [LINES[1], LINES[2]]],
            }[what]
            self.chosen[what] = self._random.choice([o for o in options if o != self.chosen[what]])

    def start(self) -> None:
        lines = ", ".join(line.format(name) for line, name in self.chosen["lines"])
        values = {**self.chosen, "lines": lines, "seed": len(self.settings) + 1, "port": self._port, "fps": FPS}
        text = CONFIG.format(**values)
        self.program.start(text)
        if self.quota:
            self.quota.add(self.program.process.pid)
        config = load(self._folder / "edge-app.toml")
        self.settings.append(Setting(text, counting_hash(config, self._model)[:12]))

    def wait(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            message = self._reader.read(0.05)
            if message is not None:
                self._take(message.topic, message.payload)

    def _take(self, topic: str, payload: bytes) -> None:
        interval = json.loads(payload)
        self.misplaced += topic != "traffic/v1/{site}/{device}/counts/{line}".format(**interval)
        self.misplaced += self.intervals.setdefault(interval["id"], interval) != interval

    def end(self) -> None:
        self.program.signal(signal.SIGKILL if self._random.random() < 0.2 else signal.SIGTERM)

        def ended() -> bool:
            self.wait(0.1)
            return self.program.has_ended()

        eventually(ended, 30.0)

    def drain(self) -> None:
        def empty() -> bool:
            self.wait(0.3)
            return not payloads(self._folder / "state")

        eventually(empty, _PATIENCE_S)


def run(trial: Trial) -> Outcome:
    """Run in real time: 50 changes take ten minutes. Raises RuntimeError: without mosquitto."""
    if not shutil.which("mosquitto"):
        raise RuntimeError("needs the broker: apt install mosquitto")
    changes, chance = 3 if trial.short else 50, random.Random(2026)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(trial.folder, "allow_anonymous true", "max_queued_messages 0"))
        reader = stack.enter_context(subscribed(broker.port, "traffic/v1/+/+/counts/+", name="witness", keep=3600))
        subject = Changes(trial.folder, broker.port, reader, chance)
        with suppress(RuntimeError):  # then a busy machine may leave out intervals
            subject.quota = stack.enter_context(cpu_quota())
            subject.quota.limit(400.0)
        stack.enter_context(closing(subject.program))
        subject.start()
        for number in range(changes):
            subject.wait(chance.uniform(5.0, 16.0))
            subject.end()
            subject.change()
            subject.start()
            if number % 10 == 9:
                trial.report(f"{number + 1} of {changes} changes, {len(subject.intervals)} intervals")
        subject.wait(12.0)
        subject.end()
        subject.chosen |= {"interval_s": 20 if subject.chosen["interval_s"] != 20 else 30}  # ends what is open
        subject.start()
        subject.wait(10.0)
        subject.drain()
        subject.end()
        return _evaluate(subject, changes)


def _evaluate(subject: Changes, changes: int) -> Outcome:
    runs, intervals = subject.program.runs, list(subject.intervals.values())
    last = max(utc(interval["end"]) for interval in intervals)
    logged = [c for run_of in runs for c in run_of.counted if c.at < last]
    delivered = sum(by_class(interval["counts"]).total() for interval in intervals)
    spans = [(i["line"], utc(i["start"]), utc(i["end"])) for i in intervals]
    # A line that is new has no interval before the first whole second of its configuration.
    begun = [c for c in logged if not _inside(c, spans) and _inside(c, [(line, s - 1.0, e) for line, s, e in spans])]
    homeless = [c for c in logged if not _inside(c, spans) and c not in begun]
    wrong = sum(
        (by_class(interval["counts"]) - Counter(c.key[1:] for c in logged if _inside(c, [span]))).total()
        for interval, span in zip(intervals, spans, strict=True)
    )
    killed = sum(run_of.code is None for run_of in runs)
    seen, true, busy = _coverage(intervals, runs, subject.settings)
    overlapping = _overlapping(intervals)
    faults = [fault for run_of in runs for fault in run_of.faults]
    broken = failures(
        (not homeless, f"{len(homeless)} vehicles are in no interval that contains their time: {homeless[:2]}"),
        (wrong <= len(begun) + killed, f"{wrong} vehicles are in an interval that does not contain their time"),
        (not subject.misplaced, f"{subject.misplaced} messages under another name or with another content"),
        (not overlapping, f"{overlapping} intervals of one installation overlap"),
        (busy < len(intervals), "this machine was too busy"),
        (abs(seen - true) <= 0.02 * true, f"coverage is off by {abs(seen - true):.1f} s of {true:.1f} s"),
        (not faults, f"errors: {faults[:2]}"),
    )
    return Outcome(
        f"{changes} changes, {len(intervals)} intervals of {len({i['config'] for i in intervals})} configurations: "
        f"{len(logged)} vehicles logged, {delivered} delivered, {len(begun)} in the second before a new line begins; "
        f"{seen:.1f} s covered, {true:.1f} s true ({busy} intervals left out: this machine was too busy)",
        broken,
    )


def _inside(crossing: LoggedCrossing, spans: list[tuple[str, float, float]]) -> bool:
    return any(line == crossing.key[0] and start <= crossing.at < end for line, start, end in spans)


def _coverage(intervals: list[dict[str, Any]], runs: list[Run], settings: list[Setting]) -> tuple[float, float, int]:
    """Return the seconds that intervals call covered, and those in which their own configuration ran.

    Intervals for which this machine was too busy, by their number of frames, are left out; returns their number too.
    """
    seen = true = 0.0
    busy = 0
    for interval in intervals:
        start, end = utc(interval["start"]), utc(interval["end"])
        ran = sum(
            max(0.0, min(end, run_of.ended) - max(start, run_of.first_frame))
            for run_of, setting in zip(runs, settings, strict=True)
            if setting.config == interval["config"] and run_of.first_frame is not None
        )
        if interval["frames"] < _ENOUGH * FPS * ran:
            busy += 1
            continue
        seen += interval["coverage"] * (end - start)
        true += ran
    return seen, true, busy


def _overlapping(intervals: list[dict[str, Any]]) -> int:
    series: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for interval in intervals:
        series[interval["installation"], interval["line"]].append((utc(interval["start"]), utc(interval["end"])))
    return sum(after[0] < before[1] for spans in series.values() for before, after in pairwise(sorted(spans)))


ROW = Row(
    "changes",
    "interval_s, lines, names and time zone changed 50 times at random with vehicles passing",
    "every vehicle is in an interval that contains its time, coverage is true within 2 %",
    run,
)
