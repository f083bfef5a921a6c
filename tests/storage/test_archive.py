"""Archive of acknowledged intervals: nothing is lost on the way into it, its bounds, and a reason for every number."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app.storage.archive import Keep
from edge_app.storage.outbox import Outbox
from edge_app.storage.sqlite import FILE
from tests.support.ledger_cases import NOON, count, open_ledger, payloads

DAY_S = 86_400.0


class Running:
    """Clock of running time that a test sets."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fill(folder: Path, n: int, *, first: int = 0, config: str = "c", clock: Running | None = None) -> str:
    """Close n intervals and return their installation."""
    ledger = open_ledger(folder, config=config, names=("delft", "cam-1"), clock=clock or Running(), capacity=5)
    for at in range(first, first + n):
        count(ledger, NOON + 60 * at + 1)
        ledger.tick(NOON + 60 * at + 63)
        if clock is not None:
            clock.now += 60.0
    ledger.close(NOON + 60 * (first + n) + 3)
    return ledger.installation


@contextmanager
def outbox_of(folder: Path, keep: Keep | None = None) -> Iterator[Outbox]:
    outbox = Outbox(folder, keep)
    try:
        yield outbox
    finally:
        outbox.close()


def deliver(outbox: Outbox, late: bool = False) -> list[str]:
    """Seal and acknowledge all that waits; return what was offered."""
    offered = []
    for row in outbox.pending():
        document = {**json.loads(row.payload), "late": outbox.seal(row.key, late)}
        offered.append(json.dumps(document, separators=(",", ":")))
        outbox.delete(row.key)
    return offered


@pytest.mark.parametrize("late", [False, True])
def test_an_acknowledged_interval_is_kept_byte_for_byte(tmp_path: Path, late: bool) -> None:
    installation = fill(tmp_path, 3)
    with outbox_of(tmp_path) as outbox:
        offered = deliver(outbox, late)
        kept = [outbox.archived(installation, "north", seq) for seq in (1, 2, 3)]
        assert [one.payload.decode() for one in kept if one] == offered
        assert len(outbox) == 0
        assert outbox.archived(installation, "north", 4) is None
        assert outbox.numbers("delft", "cam-1") == {installation: {"north": (1, 3)}}
        assert outbox.numbers("delft", "cam-2") == {}


def test_a_copy_taken_at_any_moment_has_each_interval_in_one_place(tmp_path: Path) -> None:
    installation = fill(tmp_path / "state", 4)
    with outbox_of(tmp_path / "state") as outbox:
        for n, row in enumerate(outbox.pending()):
            copy = tmp_path / f"copy-{n}"
            shutil.copytree(tmp_path / "state", copy)
            with outbox_of(copy) as copied:
                archived = {seq for seq in range(1, 5) if copied.archived(installation, "north", seq)}
                waiting = {one.seq for one in copied.pending()}
                assert archived | waiting == {1, 2, 3, 4}
                assert not archived & waiting
            outbox.delete(row.key)


def test_an_outbox_that_is_full_moves_its_oldest_into_the_archive(tmp_path: Path) -> None:
    installation = fill(tmp_path, 7)
    with outbox_of(tmp_path) as outbox:
        assert [row.seq for row in outbox.pending()] == [3, 4, 5, 6, 7]
        assert outbox.dropped == 2
        kept = outbox.archived(installation, "north", 2)
        assert kept is not None
        assert json.loads(kept.payload)["late"] is True


def test_the_oldest_go_after_days_of_running_whatever_the_clock_says(tmp_path: Path) -> None:
    clock = Running()
    installation = fill(tmp_path, 2, clock=clock)
    with outbox_of(tmp_path, Keep(seconds=10 * DAY_S)) as outbox:
        deliver(outbox)
        clock.now += 9 * DAY_S
        fill(tmp_path, 1, first=400 * 1440, clock=clock)  # more than a year later by its own clock
        deliver(outbox)
        assert outbox.archived(installation, "north", 1)
        ledger = open_ledger(tmp_path, config="c", names=("delft", "cam-1"), clock=clock)
        clock.now += 12 * DAY_S
        count(ledger, NOON + 60 * 401 * 1440)
        ledger.tick(NOON + 60 * 401 * 1440 + 63)
        ledger.close(NOON + 60 * 401 * 1440 + 64)
        deliver(outbox)
        assert outbox.archived(installation, "north", 1) is None
        assert outbox.why_missing(installation, "north", 1) == "expired"


def test_the_oldest_go_when_the_archive_takes_too_much_and_what_waits_stays(tmp_path: Path) -> None:
    former = fill(tmp_path, 3)
    with outbox_of(tmp_path, Keep(megabytes=0.0025)) as outbox:
        deliver(outbox)
        ledger = open_ledger(tmp_path, config="c", names=("delft", "cam-2"))
        for at in range(10, 14):
            count(ledger, NOON + 60 * at + 1)
            ledger.tick(NOON + 60 * at + 63)
        present = ledger.installation
        ledger.close(NOON + 900)
        waiting = [row.seq for row in outbox.pending() if row.installation == present]
        deliver(outbox)
        kept = [seq for seq in range(1, 6) if outbox.archived(present, "north", seq)]
        assert waiting == [1, 2, 3, 4, 5][: len(waiting)]
        assert outbox.archived(former, "north", 1) is None, "those of a former installation go first"
        assert kept
        assert kept[-1] == waiting[-1]
        with outbox._file.use() as db:
            size = sum(n + 200 for (n,) in db.rows("SELECT length(payload) FROM archive"))
            assert size == db.number("archived_bytes") <= 2500


def test_every_number_has_a_reason(tmp_path: Path) -> None:
    installation = fill(tmp_path, 5)
    with outbox_of(tmp_path) as outbox:
        assert outbox.why_missing(installation, "north", 5) == "pending"
        deliver(outbox)
        with sqlite3.connect(tmp_path / FILE) as db:
            db.execute("UPDATE archive SET payload = x'00ff' WHERE seq = 2")
        db.close()
        assert outbox.archived(installation, "north", 2) is None
        reasons = {
            (installation, "north", 2): "damaged",
            (installation, "north", 6): "unknown",
            (installation, "north", 0): "unknown",
            (installation, "south", 1): "unknown",
            ("ffffffff", "north", 1): "unknown",
        }
        assert {asked: outbox.why_missing(*asked) for asked in reasons} == reasons


def test_intervals_lost_with_a_damaged_file_are_named_so(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, names=("delft", "cam-1"))
    count(ledger, NOON + 1)
    ledger.tick(NOON + 63)
    for path in tmp_path.glob(f"{FILE}*"):
        path.unlink()
    count(ledger, NOON + 64)
    ledger.tick(NOON + 123)
    with outbox_of(tmp_path) as outbox:
        assert outbox.why_missing(ledger.installation, "north", 1) == "damaged"
        assert outbox.why_missing(ledger.installation, "north", 2) == "pending"
    ledger.close(NOON + 124)


def test_a_restored_folder_never_gives_two_contents_one_number_within_an_id(tmp_path: Path) -> None:
    """An older copy goes on with numbers that the original has used: the process that closes is told apart."""
    fill(tmp_path / "state", 2)
    shutil.copytree(tmp_path / "state", tmp_path / "copy")
    for folder, boot, cars in ((tmp_path / "state", "b2", 1), (tmp_path / "copy", "b3", 2)):
        ledger = open_ledger(folder, config="c", names=("delft", "cam-1"), boot=boot)
        count(ledger, NOON + 130, cars)
        ledger.tick(NOON + 200)
        ledger.close(NOON + 200)
    original, restored = (payloads(tmp_path / name)[2] for name in ("state", "copy"))
    assert original["seq"] == restored["seq"]
    assert original["boot_id"] != restored["boot_id"]
