"""The clock steps while the road is busy, and a device starts in 1970 because no network has told it the time."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from edge_app.mqtt.encoding import encode_counts
from edge_app.storage.ledger import Ledger
from edge_app.system.clock import ClockMonitor
from tests.support.ledger_cases import CLASSES, NOON, crossing, payloads
from tests.support.publisher_cases import DEVICE
from tests.trials.survival.rows import Outcome, Row, Trial, failures

HOUR_S = 3600.0
_FRAME_S = 0.5
_EVERY = 7
"""Frames from one vehicle to the next."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """seconds of the road by a clock that stands at `begin` (UTC s) at first; unsynced: what the kernel says of it.
    restart: whether the program ends before it."""

    begin: float
    seconds: float
    unsynced: bool = False
    restart: bool = False


def story(minutes: float) -> list[Stretch]:
    """1970, set by the network, two hours back, right again, two hours on, back after a restart."""
    long = minutes * 60.0
    return [
        Stretch(40.0, long, unsynced=True),
        Stretch(NOON + 11.0, long),
        Stretch(NOON + 11.0 + long - 2 * HOUR_S, long),
        Stretch(NOON + 11.0 + 2 * long, long),
        Stretch(NOON + 11.0 + 3 * long + 2 * HOUR_S, long),
        Stretch(NOON + 11.0 + 4 * long, 2 * HOUR_S + 2 * long, restart=True),
    ]


def run(trial: Trial) -> Outcome:
    """All by a told clock: two days' worth of steps in seconds."""
    folder = trial.folder / "state"
    counted = frames = boots = 0
    told_of, flagged = set[float](), ClockMonitor(ask=lambda: stretch.unsynced, clock=lambda: float(frames) * HOUR_S)
    ledger = _opened(folder, boots)
    now = 0.0
    for stretch in story(5.0 if trial.short else 45.0):
        if stretch.restart:
            ledger.close(now)
            boots += 1
            ledger = _opened(folder, boots)
        for step in range(round(stretch.seconds / _FRAME_S)):
            now = stretch.begin + step * _FRAME_S
            passing = [crossing(now)] if frames % _EVERY == 0 else []
            unsynced = flagged.unsynced
            if unsynced:
                told_of.add(stretch.begin)
            ledger.record(now, passing, 0, ["clock_unsynced"] if unsynced else [])
            counted += len(passing)
            frames += 1
    ledger.tick(now + 120.0)
    moved, skipped = ledger.late_crossings, ledger.skipped
    ledger.close(now + 121.0)
    return _evaluate(payloads(folder), counted, moved, skipped)


def _opened(folder: Path, boot: int) -> Ledger:
    return Ledger(folder, ["north"], CLASSES, 60.0, f"boot{boot}", lambda c: encode_counts(DEVICE, c), capacity=100_000)


def _evaluate(found: list[dict[str, Any]], counted: int, moved: int, skipped: int) -> Outcome:
    spans = sorted((str(i["start"]), str(i["end"])) for i in found)
    overlapping = sum(later[0] < former[1] for former, later in pairwise(spans))
    told = sum(interval["counts"]["car"]["left_to_right"] for interval in found)
    in_1970 = [i for i in found if str(i["start"]).startswith("1970")]
    since = [i for i in found if not str(i["start"]).startswith("1970")]
    broken = failures(
        (overlapping == 0, f"{overlapping} intervals overlap"),
        (len({str(i["id"]) for i in found}) == len(found), "an id twice"),
        ([i["seq"] for i in found] == list(range(1, len(found) + 1)), "a gap in seq"),
        (told == counted, f"{told} vehicles told of {counted}"),
        (bool(in_1970) and all("clock_unsynced" in i["quality"] for i in in_1970), "1970 is not flagged"),
        (not any("clock_unsynced" in i["quality"] for i in since[1:]), "flagged although set"),
    )
    figures = (
        f"{len(found)} intervals, none overlaps, no id twice, no gap; {told} of {counted} vehicles told "
        f"({moved} put into a later interval); {len(in_1970)} of 1970 flagged; {skipped} missed ones not made up"
    )
    return Outcome(figures, broken)


ROW = Row(
    "clocks",
    "clock starts in 1970 and steps by -2 h and +2 h",
    "intervals never overlap or repeat an id; clock_unsynced flagged; seq goes on",
    run,
)
