"""Fill and free the disk of the state folder, refuse writes, and damage the file in it."""

from __future__ import annotations

import random
from pathlib import Path

from edge_app.errors import StoreError
from edge_app.storage.ledger import Ledger
from edge_app.storage.sqlite import FILE
from tests.support.disks import fill_disk, small_file_system, writes_refused
from tests.support.ledger_cases import NOON, cars, count, open_ledger, payloads
from tests.trials.survival.rows import Outcome, Row, Trial, failures

_SEED = 2026
_FRAMES = 400


def run(trial: Trial) -> Outcome:
    """Count by a simulated clock; the full disk is a small one in memory, which only root may mount."""
    damaged = 20 if trial.short else 300
    parts = [full(trial.folder / "disk"), refused(trial.folder / "refused"), corrupt(trial.folder, damaged)]
    figures = "; ".join(part.figures for part in parts)
    return Outcome(figures, tuple(sentence for part in parts for sentence in part.broken))


def full(disk: Path) -> Outcome:
    """Count while the disk is full. Raises RuntimeError: where it may not be mounted."""
    with small_file_system(disk):
        ledger = open_ledger(disk / "state")
        count(ledger, NOON + 1)
        filler = fill_disk(disk)
        _count_on(ledger, NOON + 2)
        reported, waiting = ledger.problem, ledger.unstored
        filler.unlink()
        return _after_repair("full disk", ledger, disk / "state", reported, waiting)


def refused(folder: Path) -> Outcome:
    """Count while every write fails, as on a card that becomes read-only in use."""
    ledger = open_ledger(folder)
    count(ledger, NOON + 1)
    with writes_refused(beyond=4096):
        _count_on(ledger, NOON + 2)
        reported, waiting = ledger.problem, ledger.unstored
    return _after_repair("writes refused", ledger, folder, reported, waiting)


def corrupt(folder: Path, damaged: int) -> Outcome:
    """Start on files with garbage at random positions: each start must count, with the old file or with a new one."""
    ledger = open_ledger(folder / "used")
    for minute in range(30):
        count(ledger, NOON + 60 * minute, 3)
        ledger.tick(NOON + 60 * minute + 20)
    ledger.close(NOON + 1800)
    intact, chance = (folder / "used" / FILE).read_bytes(), random.Random(_SEED)
    renamed = stuck = 0
    for number in range(damaged):
        state = folder / f"state-{number}"
        state.mkdir()
        begin, length = chance.randrange(len(intact)), chance.choice((1, 16, 512, 4096, len(intact)))
        noise = chance.randbytes(min(length, len(intact) - begin))
        (state / FILE).write_bytes(intact[:begin] + noise + intact[begin + len(noise) :])
        try:
            ledger = open_ledger(state)
            count(ledger, NOON + 3600, 2)
            renamed += bool(ledger.warnings)
            ledger.close(NOON + 3601)
        except StoreError:
            stuck += 1
    broken = failures((stuck == 0, f"{stuck} of {damaged} damaged files stopped the counting"))
    return Outcome(f"{damaged} damaged files: {renamed} renamed with a warning, counting went on", broken)


def _count_on(ledger: Ledger, begin: float) -> None:
    for n in range(_FRAMES):
        count(ledger, begin + n / 4)
        ledger.tick(begin + n / 4)


def _after_repair(fault: str, ledger: Ledger, state: Path, reported: str, waiting: int) -> Outcome:
    """Close the ledger two minutes later, when it can be written again, and check the intervals."""
    ledger.tick(NOON + 123)
    left = ledger.unstored
    ledger.tick(NOON + 183)
    ledger.close(NOON + 184)
    intervals = payloads(state)
    delivered, counted = sum(map(cars, intervals)), _FRAMES + 1
    broken = failures(
        (waiting > 0 and bool(reported), f"{fault}: not reported"),
        (left == 0, f"{fault}: {left} crossings still not stored"),
        (delivered == counted, f"{fault}: {delivered} of {counted} in intervals"),
        ([p["seq"] for p in intervals] == [1, 2, 3], f"{fault}: a gap in seq"),
    )
    figures = f"{fault}: {waiting} crossings held in memory and reported, {delivered} of {counted} in intervals later"
    return Outcome(figures, broken)


ROW = Row(
    "storage",
    "state folder full, then freed; read-only; database corrupt",
    "counting goes on; what could not be stored is counted and reported",
    run,
)
