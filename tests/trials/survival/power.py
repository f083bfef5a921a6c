"""The power is cut while crossings are written: copies of the state folder without the tail that was never synced.

A copy of a live file holds what the kernel's cache holds. What had been synced a second ago is on the card for
certain; of what was appended to the log since, the copy keeps a random part, torn anywhere. Not tried: a card that
lies about its syncs, or loses blocks it had written long before.
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
    """Counts by a told clock, cuts at random frames, and starts again on each copy."""
    chance, cuts = random.Random(_SEED), 25 if trial.short else 500
    ledger = open_ledger(trial.folder / "state", interval_s=10.0, capacity=100_000)
    past: deque[tuple[float, int, int]] = deque()
    total = made = late = worst = closed = 0
    now = NOON
    while made < cuts:
        now += _FRAME_S
        more = int(chance.random() < 0.4) + int(chance.random() < 0.1)
        count(ledger, now, more)
        ledger.tick(now)
        total += more
        past.append((now, total, _size(trial.folder)))
        while past[1][0] <= now - LOST_S if len(past) > 1 else False:
            past.popleft()
        if chance.random() < 0.02:
            made += 1
            _, before, synced = past[0]
            left = _after_cut(trial.folder, synced, chance, now)
            closed += left is None
            lost = 0 if left is None else total - left
            worst, late = max(worst, lost), late + (left is not None and left < before)
            trial.report(f"{made} of {cuts} cuts") if made % 100 == 0 else None
    ledger.close(now + 1)
    broken = failures(
        (closed == 0, f"{closed} of {cuts} copies could not be opened"),
        (late == 0, f"after {late} of {cuts} cuts crossings older than {LOST_S:g} s were gone"),
    )
    return Outcome(f"{cuts} cuts, {total} crossings: every copy opens, at most {worst} of the last second gone", broken)


def _size(folder: Path) -> int:
    return (folder / "state" / f"{FILE}-wal").stat().st_size


def _after_cut(folder: Path, synced: int, chance: random.Random, now: float) -> int | None:
    """Crossings that a start finds on a copy whose log ends at random behind `synced`; None when it does not open."""
    copy = folder / "cut"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / "state", copy)
    log = copy / f"{FILE}-wal"
    whole = log.stat().st_size
    if whole > synced:  # else it was begun anew since: then the whole of it is later than the last sync of the file
        os.truncate(log, chance.randint(synced, whole))
    try:
        again = open_ledger(copy, interval_s=10.0, capacity=100_000)
    except StoreError:
        return None
    found = sum(cars(interval) for interval in again.open)
    intact = not again.warnings
    again.close(now)
    return found + sum(map(cars, payloads(copy))) if intact else None


ROW = Row(
    "power",
    "power cut: state folder copied at random moments without the unsynced tail",
    "database opens, at most one second is lost",
    run,
)
