"""Step the clock while the road is busy, and start a device in 1970, as without a network to set its clock."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_app.mqtt.encoding import encode_counts
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.system.clock import ClockMonitor, SteadyClock
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
    unsynced = ClockMonitor(ask=lambda: phase.unsynced, clock=lambda: float(frames) * HOUR_S)
    ledger = _open(folder, boots)
    steps, now = SteadyClock(settle_s=0.0), 0.0
    for phase in phases(5.0 if trial.short else 45.0):
        if phase.restart:
            ledger.close(now)
            boots += 1
            ledger = _open(folder, boots)
        for step in range(round(phase.seconds / _FRAME_S)):
            now = phase.begin + step * _FRAME_S
            crossings = [crossing(now)] if frames % _EVERY == 0 else []
            stepped = steps.update(now, frames * _FRAME_S)
            if stepped:
                ledger.set_clock(now, stepped)
            ledger.record(now, crossings, 0, ["clock_unsynced"] if unsynced.unsynced else [])
            ledger.tick(now)
            counted += len(crossings)
            frames += 1
    ledger.tick(now + 120.0)
    late, skipped = ledger.late_crossings, ledger.skipped
    ledger.close(now + 121.0)
    return _evaluate(payloads(folder), counted, late, skipped)


def _open(folder: Path, boot: int) -> Ledger:
    counting = Counting(CLASSES, 60.0)
    return Ledger(folder, ["north"], counting, f"boot{boot}", lambda c: encode_counts(DEVICE, c), capacity=100_000)


def _evaluate(intervals: list[dict[str, Any]], counted: int, late: int, skipped: int) -> Outcome:
    installations = dict.fromkeys(i["installation"] for i in intervals)
    groups = [[i for i in intervals if i["installation"] == installation] for installation in installations]
    spans = [[(str(i["start"]), str(i["end"])) for i in group] for group in groups]
    overlapping = sum(after[0] < before[1] for group in spans for before, after in pairwise(group))
    gaps = [group for group in groups if [i["seq"] for i in group] != list(range(1, len(group) + 1))]
    most = max(i["counts"]["car"]["left_to_right"] for i in intervals)
    delivered = sum(interval["counts"]["car"]["left_to_right"] for interval in intervals)
    in_1970 = [i for i in intervals if str(i["start"]).startswith("1970")]
    since = [i for i in intervals if not str(i["start"]).startswith("1970")]
    broken = failures(
        (overlapping == 0, f"{overlapping} intervals overlap"),
        (len({str(i["id"]) for i in intervals}) == len(intervals), "an id twice"),
        (not gaps, "a gap in seq"),
        (most <= 60.0 / _FRAME_S / _EVERY + 1, f"{most} vehicles in a minute: time was piled up"),
        (delivered == counted, f"{delivered} of {counted} vehicles delivered"),
        (bool(in_1970) and all("clock_unsynced" in i["quality"] for i in in_1970), "1970 is not flagged"),
        (not any("clock_unsynced" in i["quality"] for i in since[1:]), "flagged although set"),
    )
    figures = (
        f"{len(intervals)} intervals of {len(groups)} installations, none overlaps, no id twice, no gap; "
        f"{delivered} of {counted} vehicles delivered ({late} in a later interval); {len(in_1970)} of 1970 flagged; "
        f"{skipped} missed ones not created"
    )
    return Outcome(figures, broken)


ROW = Row(
    "clocks",
    "clock starts in 1970 and steps by -2 h and +2 h",
    "intervals of an installation never overlap or repeat an id, nothing is piled up; clock_unsynced is flagged",
    run,
)
