"""The state folder is full and freed again, cannot be written, or holds garbage."""

from __future__ import annotations

import os
import random
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_app.errors import StoreError
from edge_app.storage.ledger import Ledger
from edge_app.storage.sqlite import FILE
from tests.support.ledger_cases import NOON, cars, count, open_ledger, payloads
from tests.trials.survival.rows import Outcome, Row, Trial, failures

_SEED = 2026
_FRAMES = 400


def run(trial: Trial) -> Outcome:
    """By a told clock; a full disk is a small one in memory, which only root may mount."""
    damaged = 20 if trial.short else 300
    parts = [full(trial.folder / "disk"), refused(trial.folder / "refused"), corrupt(trial.folder, damaged)]
    figures = "; ".join(part.figures for part in parts)
    return Outcome(figures, tuple(sentence for part in parts for sentence in part.broken))


def full(disk: Path) -> Outcome:
    """Raises RuntimeError where nothing may be mounted."""
    with _small(disk):
        ledger = open_ledger(disk / "state")
        count(ledger, NOON + 1)
        filler = _fill(disk)
        _go_on(ledger, NOON + 2)
        reported, waiting = ledger.problem, ledger.unstored
        filler.unlink()
        return _mended("full disk", ledger, disk / "state", reported, waiting)


def refused(folder: Path) -> Outcome:
    """Every write fails, as on a card that has become read-only in use."""
    ledger = open_ledger(folder)
    count(ledger, NOON + 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        _go_on(ledger, NOON + 2)
        reported, waiting = ledger.problem, ledger.unstored
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    return _mended("writes refused", ledger, folder, reported, waiting)


def corrupt(folder: Path, damaged: int) -> Outcome:
    """Garbage at random places of a used file: a start either finds all, or sets the file aside, says so and counts."""
    ledger = open_ledger(folder / "used")
    for minute in range(30):
        count(ledger, NOON + 60 * minute, 3)
        ledger.tick(NOON + 60 * minute + 20)
    ledger.close(NOON + 1800)
    sound, chance = (folder / "used" / FILE).read_bytes(), random.Random(_SEED)
    set_aside = stuck = 0
    for turn in range(damaged):
        place = folder / f"turn-{turn}"
        place.mkdir()
        begin, length = chance.randrange(len(sound)), chance.choice((1, 16, 512, 4096, len(sound)))
        noise = chance.randbytes(min(length, len(sound) - begin))
        (place / FILE).write_bytes(sound[:begin] + noise + sound[begin + len(noise) :])
        try:
            again = open_ledger(place)
            count(again, NOON + 3600, 2)
            set_aside += bool(again.warnings)
            again.close(NOON + 3601)
        except StoreError:
            stuck += 1
    broken = failures((stuck == 0, f"{stuck} of {damaged} damaged files stopped the counting"))
    return Outcome(f"{damaged} damaged files: {set_aside} set aside with a warning, counting went on", broken)


def _go_on(ledger: Ledger, begin: float) -> None:
    for n in range(_FRAMES):
        count(ledger, begin + n / 4)
        ledger.tick(begin + n / 4)


def _mended(what: str, ledger: Ledger, state: Path, reported: str, waiting: int) -> Outcome:
    """Two minutes later, when it can be written again."""
    ledger.tick(NOON + 123)
    left = ledger.unstored
    ledger.tick(NOON + 183)
    ledger.close(NOON + 184)
    sent = payloads(state)
    told = sum(map(cars, sent))
    broken = failures(
        (waiting > 0 and bool(reported), f"{what}: not reported"),
        (left == 0, f"{what}: {left} crossings still not stored"),
        (told == _FRAMES + 1, f"{what}: {told} told of {_FRAMES + 1}"),
        ([p["seq"] for p in sent] == [1, 2, 3], f"{what}: a gap in seq"),
    )
    return Outcome(
        f"{what}: {waiting} crossings held in memory and reported, {told} of {_FRAMES + 1} told later", broken
    )


@contextmanager
def _small(disk: Path) -> Iterator[None]:
    disk.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk))
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        raise RuntimeError("only root may mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError:
            return filler
    raise AssertionError("the disk never got full")


ROW = Row(
    "storage",
    "state folder full, then freed; read-only; database corrupt",
    "counting goes on; what could not be stored is counted and reported",
    run,
)
