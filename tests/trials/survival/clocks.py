"""Step the clock while the road is busy, and start a device in 1970, as without a network to set its clock."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_app.mqtt.encoding import encode_counts
from edge_app.storage.intervals import Counting
from edge_app.storage.ledger import Ledger
from edge_app.system.clock import ClockMonitor
from tests.support.ledger_cases import CLASSES, NOON, crossing, payloads
from tests.support.publisher_cases import DEVICE
from tests.trials.survival.rows import Outcome, Row, Trial, failures

HOUR_S = 3600.0
_FRAME_S = 0.5
_EVERY = 7
"""Number of frames from one vehicle to the next."""


@dataclass(frozen=True, slots=True)
class Phase:
    """Part of the trial between two steps of the clock.

    begin: UTC s that the clock shows first. seconds: length. unsynced: the kernel reports that the clock is not set.
    restart: the program is restarted before it.
    """

    begin: float
    seconds: float
    unsynced: bool = False
    restart: bool = False


def phases(minutes: float) -> list[Phase]:
    """Return the phases: 1970, set by the network, two hours back, right, two hours on, back after a restart."""
    long = minutes * 60.0
    return [
        Phase(40.0, long, unsynced=True),
        Phase(NOON + 11.0, long),
        Phase(NOON + 11.0 + long - 2 * HOUR_S, long),
        Phase(NOON + 11.0 + 2 * long, long),
        Phase(NOON + 11.0 + 3 * long + 2 * HOUR_S, long),
        Phase(NOON + 11.0 + 4 * long, 2 * HOUR_S + 2 * long, restart=True),
    ]


def run(trial: Trial) -> Outcome:
    """Count by a simulated clock, which takes seconds for two days of steps."""
    folder = trial.folder / "state"
    counted = frames = boots = 0
    monitor = ClockMonitor(ask=lambda: phase.unsynced, clock=lambda: float(frames) * HOUR_S)
    ledger = _open(folder, boots)
    now = 0.0
    for phase in phases(5.0 if trial.short else 45.0):
        if phase.restart:
            ledger.close(now)
            boots += 1
            ledger = _open(folder, boots)
        for step in range(round(phase.seconds / _FRAME_S)):
            now = phase.begin + step * _FRAME_S
            crossings = [crossing(now)] if frames % _EVERY == 0 else []
            ledger.record(now, crossings, 0, ["clock_unsynced"] if monitor.unsynced else [])
            counted += len(crossings)
            frames += 1
    ledger.tick(now + 120.0)
    late, skipped = ledger.late_crossings, ledger.skipped
    ledger.close(now + 121.0)
    return _evaluate(payloads(folder), counted, late, skipped)


def _opened(folder: Path, boot: int) -> Ledger:
    counting = Counting(CLASSES, 60.0)
    return Ledger(folder, ["north"], counting, f"boot{boot}", lambda c: encode_counts(DEVICE, c), capacity=100_000)


def _evaluate(intervals: list[dict[str, Any]], counted: int, late: int, skipped: int) -> Outcome:
    spans = sorted((str(i["start"]), str(i["end"])) for i in intervals)
    overlapping = sum(after[0] < before[1] for before, after in pairwise(spans))
    delivered = sum(interval["counts"]["car"]["left_to_right"] for interval in intervals)
    in_1970 = [i for i in intervals if str(i["start"]).startswith("1970")]
    since = [i for i in intervals if not str(i["start"]).startswith("1970")]
    broken = failures(
        (overlapping == 0, f"{overlapping} intervals overlap"),
        (len({str(i["id"]) for i in intervals}) == len(intervals), "an id twice"),
        ([i["seq"] for i in intervals] == list(range(1, len(intervals) + 1)), "a gap in seq"),
        (delivered == counted, f"{delivered} of {counted} vehicles delivered"),
        (bool(in_1970) and all("clock_unsynced" in i["quality"] for i in in_1970), "1970 is not flagged"),
        (not any("clock_unsynced" in i["quality"] for i in since[1:]), "flagged although set"),
    )
    figures = (
        f"{len(intervals)} intervals, none overlaps, no id twice, no gap; {delivered} of {counted} vehicles delivered "
        f"({late} in a later interval); {len(in_1970)} of 1970 flagged; {skipped} missed ones not created"
    )
    return Outcome(figures, broken)


ROW = Row(
    "clocks",
    "clock starts in 1970 and steps by -2 h and +2 h",
    "intervals never overlap or repeat an id; clock_unsynced is flagged; seq continues",
    run,
)
