"""Give the service ever less processor time in front of a rendered street, whose exact truth is known."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_app.records import Crossing
from tests.support.cpu_quota import cpu_quota
from tests.support.invariants import utc
from tests.support.ledger_cases import payloads
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.street_device import street
from tests.trials.survival.rows import Outcome, Row, Trial, failures

LEVELS: Final = (400.0, 100.0, 50.0, 30.0, 20.0, 15.0, 10.0, 7.0, 5.0)
"""Percent of one core."""
INTERVAL_S: Final = 30
COVERED: Final = 0.95
OFF: Final = 0.05
SEED, FLOW = 11, 30.0
CONFIG: Final = """
detector = {{ threads = 1 }}
counting = {{ interval_s = {interval_s} }}
mqtt = {{ port = {port} }}
store = {{ folder = "state" }}
log = {{ format = "json" }}
"""
_STARTS_S: Final = 8.0
_STOPS_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A closed interval beside the truth. percent: of one core that it had, the lowest in the interval."""

    percent: float
    counted: int
    true: int
    coverage: float
    slow: bool

    @property
    def said(self) -> str:
        flag = ", slow" if self.slow else ""
        return f"{self.percent:g} %: {self.counted} of {self.true}, coverage {self.coverage:.2f}{flag}"


def run(trial: Trial) -> Outcome:
    """Run in real time, without a broker: the intervals wait in the outbox. Raises RuntimeError: see `cpu_quota`."""
    config = trial.folder / "edge-app.toml"
    config.write_text(CONFIG.format(interval_s=INTERVAL_S, port=free_port()))
    each_s = (1 if trial.short else 3) * INTERVAL_S
    command = (sys.executable, "-m", "tests.support.street_device", str(config), str(SEED), str(FLOW))
    changes: list[tuple[float, float]] = []
    with (
        cpu_quota() as quota,
        (trial.folder / "log").open("wb") as log,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True) as device,
    ):
        try:
            quota.limit(LEVELS[0])
            quota.add(device.pid)
            time.sleep(_STARTS_S)
            for percent in LEVELS:
                quota.limit(percent)
                changes.append((time.time(), percent))
                trial.report(f"{percent:g} % of a core for {each_s} s")
                time.sleep(each_s)
            quota.limit(LEVELS[0])
            device.terminate()
            said, _ = device.communicate(timeout=_STOPS_S)
        finally:
            device.kill()
    closed = payloads(trial.folder / "state")
    began = float(said)
    until = max(utc(interval["end"]) for interval in closed)
    truth = street(SEED, FLOW, began).truth(until - began)
    return _evaluate([judged(interval, truth, changes) for interval in closed])


def judged(interval: dict[str, Any], truth: Sequence[Crossing], changes: Sequence[tuple[float, float]]) -> Judged:
    start, end = utc(interval["start"]), utc(interval["end"])
    before = [percent for at, percent in changes if at <= start]
    within = [percent for at, percent in changes if start < at < end]
    return Judged(
        min([*before[-1:], *within, LEVELS[0]]),
        sum(n for ways in interval["counts"].values() for n in ways.values()),
        sum(start <= crossing.at < end for crossing in truth),
        interval["coverage"],
        "slow" in interval["quality"],
    )


def _evaluate(intervals: Sequence[Judged]) -> Outcome:
    covered = [i for i in intervals[1:] if i.coverage >= COVERED]
    counted, true = sum(i.counted for i in covered), sum(i.true for i in covered)
    silent = [i.said for i in intervals[1:] if i.counted < 0.8 * i.true and not (i.coverage < COVERED and i.slow)]
    lowest = [i for i in intervals if i.percent == LEVELS[-1]]
    broken = failures(
        (bool(covered), "no interval is covered: this machine was too busy"),
        (abs(counted - true) <= OFF * true, f"{counted} of {true} vehicles where the coverage is {COVERED} or more"),
        (not silent, f"not told: {'; '.join(silent)}"),
        (all(i.coverage < COVERED and i.slow for i in lowest), f"{LEVELS[-1]:g} % of a core is not told"),
    )
    levels = [
        f"{percent:g} %: {sum(i.counted for i in at)} of {sum(i.true for i in at)}, "
        f"coverage {min(i.coverage for i in at):.2f} to {max(i.coverage for i in at):.2f}"
        for percent in LEVELS
        if (at := [i for i in intervals[1:] if i.percent == percent])
    ]
    figures = f"{counted} of {true} vehicles in {len(covered)} intervals of {len(intervals)} that are covered; "
    return Outcome(figures + "; ".join(levels), broken)


ROW = Row(
    "quota",
    "processor time from 400 % of a core down to 5 %",
    "coverage and slow tell it; counts are off by at most 5 % where the coverage is 0.95 or more",
    run,
)
