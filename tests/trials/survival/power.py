"""Simulate power cuts while crossings are written, with copies of the state folder that lack the unsynced end.

A copy of a file in use holds what the kernel's cache holds. Everything synced a second ago is certainly on the card; of
the bytes appended to the log since then, the copy keeps a random number. Not tried: a card that reports syncs that it
has not done, or that loses blocks written long before.
"""

from __future__ import annotations

import os
import random
import shutil
from collections import deque
from pathlib import Path

from edge_app.errors import StoreError
from edge_app.storage.sqlite import FILE
from tests.support.ledger_cases import NOON, cars, count, open_ledger, payloads
from tests.trials.survival.rows import Outcome, Row, Trial, failures

LOST_S = 1.0
_FRAME_S = 0.05
_SEED = 2026


def run(trial: Trial) -> Outcome:
    """Count by a simulated clock, cut at random frames, and start again on each copy."""
    chance, cuts = random.Random(_SEED), 25 if trial.short else 500
    ledger = open_ledger(trial.folder / "state", interval_s=10.0, capacity=100_000)
    past: deque[tuple[float, int, int]] = deque()
    """Time, crossings and size of the log at each frame of the last second."""
    total = made = too_many = worst = unopened = 0
    now = NOON
    while made < cuts:
        now += _FRAME_S
        crossings = int(chance.random() < 0.4) + int(chance.random() < 0.1)
        count(ledger, now, crossings)
        ledger.tick(now)
        total += crossings
        past.append((now, total, _log_size(trial.folder)))
        while len(past) > 1 and past[1][0] <= now - LOST_S:
            past.popleft()
        if chance.random() < 0.02:
            made += 1
            _, before, synced = past[0]
            left = _after_cut(trial.folder, synced, chance, now)
            unopened += left is None
            worst = max(worst, 0 if left is None else total - left)
            too_many += left is not None and left < before
            if made % 100 == 0:
                trial.report(f"{made} of {cuts} cuts")
    ledger.close(now + 1)
    broken = failures(
        (unopened == 0, f"{unopened} of {cuts} copies could not be opened"),
        (too_many == 0, f"after {too_many} of {cuts} cuts crossings older than {LOST_S:g} s were gone"),
    )
    return Outcome(f"{cuts} cuts, {total} crossings: every copy opens, at most {worst} of the last second gone", broken)


def _log_size(folder: Path) -> int:
    return (folder / "state" / f"{FILE}-wal").stat().st_size


def _after_cut(folder: Path, synced: int, chance: random.Random, now: float) -> int | None:
    """Return the crossings found by a start on a copy whose log ends at random after `synced` bytes.

    None when the copy cannot be opened without a warning.
    """
    copy = folder / "cut"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "state", copy)
    log = copy / f"{FILE}-wal"
    size = log.stat().st_size
    if size > synced:  # otherwise the log was restarted since then, and all of it is later than the last sync
        os.truncate(log, chance.randint(synced, size))
    try:
        ledger = open_ledger(copy, interval_s=10.0, capacity=100_000)
    except StoreError:
        return None
    still_open = sum(cars(interval) for interval in ledger.open)
    intact = not ledger.warnings
    ledger.close(now)
    return still_open + sum(map(cars, payloads(copy))) if intact else None


ROW = Row(
    "power",
    "power cut: state folder copied at random moments without the unsynced end",
    "database opens, at most one second is lost",
    run,
)
