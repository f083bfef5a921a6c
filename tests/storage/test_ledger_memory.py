"""Ledger whose state folder cannot be used: intervals are offered from memory, and stored when the disk is back."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import StoreError
from edge_app.mqtt.encoding import encode_counts
from edge_app.storage import ledger_file
from edge_app.storage.counts import Counting
from edge_app.storage.journal import Journal
from edge_app.storage.ledger import MEMORY_AFTER_S, Ledger
from edge_app.storage.outbox import Outbox
from edge_app.storage.sqlite import Connection
from edge_app.system.clock import rfc3339
from tests.support.disks import fill_disk, small_disk, writes_refused
from tests.support.ledger_cases import CLASSES, NOON, cars, count, on_disk, open_ledger, payloads
from tests.support.publisher_cases import DEVICE, Clock

__all__ = ["small_disk"]  # a fixture


def waiting(outbox: Outbox) -> list[tuple[str, int, int]]:
    """Return installation, seq and total of cars of everything that waits."""
    rows = outbox.pending(limit=1000)
    return [(row.installation, row.seq, cars(json.loads(row.payload), "totals")) for row in rows]


class Device:
    """A ledger and its outbox on a folder, with a clock that the test sets."""

    def __init__(self, folder: Path, *, boot: str = "b1", config: str = "") -> None:
        self.clock = Clock(1000.0)
        self.folder = folder
        self.ledger: Ledger = open_ledger(folder, boot=boot, config=config, clock=self.clock)
        self.outbox = Outbox(folder, standby=self.ledger.standby)

    def minute(self, n: int, vehicles: int) -> None:
        """Count in the n-th minute, and let it close."""
        count(self.ledger, NOON + 60 * n + 1, vehicles)
        for second in (30, 58):
            self.clock.now += 30
            self.ledger.tick(NOON + 60 * n + second)
        self.clock.now += 4
        self.ledger.tick(NOON + 60 * n + 63)

    def close(self, at: float) -> None:
        self.ledger.close(at)
        self.outbox.close()


@contextmanager
def full(disk: Path) -> Iterator[None]:
    filler = fill_disk(disk)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def refused(_disk: Path) -> Iterator[None]:
    with writes_refused(beyond=0):
        yield


@contextmanager
def failing_calls(_disk: Path) -> Iterator[None]:
    """Let every call that names a file fail with EIO, as of a card that was torn out."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with pytest.MonkeyPatch.context() as patch, writes_refused(beyond=0):
        for name in ("stat", "open", "mkdir", "touch", "exists", "rename", "unlink"):
            patch.setattr(Path, name, fail)
        patch.setattr(os, "open", fail)
        yield


Fault = Callable[[Path], Any]
FAULTS = (full, refused, failing_calls)


@pytest.mark.parametrize("fault", [*FAULTS, read_only])
def test_a_disk_that_fails_at_the_start_holds_no_interval_back(small_disk: Path, fault: Fault) -> None:
    with fault(small_disk):
        device = Device(small_disk / "state")
        assert "cannot be used" in device.ledger.problem
        device.minute(0, 2)
        device.minute(1, 3)
        told = waiting(device.outbox)
        assert told == [(device.ledger.installation, 1, 2), (device.ledger.installation, 2, 5)]
        assert device.ledger.unstored == 5
        device.outbox.delete(device.outbox.pending()[0].key)
    device.minute(2, 1)
    assert (device.ledger.problem, device.ledger.unstored) == ("", 0)
    assert waiting(device.outbox) == [told[1], (told[0][0], 3, 6)]
    device.close(NOON + 200)
    assert [p["seq"] for p in payloads(small_disk / "state")] == [2, 3]
    again = Device(small_disk / "state", boot="b2")
    assert (again.ledger.installation, again.ledger.newest_seq) == (told[0][0], {"north": 3})
    assert again.outbox.archived(told[0][0], "north", 1) is not None
    again.close(NOON + 201)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_dies_begins_an_installation_that_goes_on(small_disk: Path, fault: Fault) -> None:
    device = Device(small_disk / "state")
    before = device.ledger.installation
    device.minute(0, 2)
    count(device.ledger, NOON + 61, 1)  # on disk, in an interval that will be offered from memory
    with fault(small_disk):
        device.minute(1, 3)
        device.minute(2, 4)
        during = device.ledger.installation
        assert during != before
        assert waiting(device.outbox) == [(during, 1, 4), (during, 2, 8)]
        assert device.ledger.dropped == 0
    device.minute(3, 5)
    assert (device.ledger.problem, device.ledger.unstored) == ("", 0)
    assert waiting(device.outbox) == [(before, 1, 2), (during, 1, 4), (during, 2, 8), (during, 3, 13)]
    keys = [row.key for row in device.outbox.pending()]
    assert keys == sorted(set(keys))
    device.minute(4, 1)
    device.close(NOON + 310)
    assert [cars(p) for p in payloads(small_disk / "state")] == [2, 4, 4, 5, 1]


def test_a_short_fault_begins_no_installation(tmp_path: Path) -> None:
    device = Device(tmp_path)
    before = device.ledger.installation
    count(device.ledger, NOON + 1)
    with writes_refused(beyond=0):
        device.ledger.tick(NOON + 63)
        device.clock.now += MEMORY_AFTER_S / 2
        device.ledger.tick(NOON + 64.5)
        assert device.ledger.problem
    device.clock.now += 1
    device.ledger.tick(NOON + 66)
    assert waiting(device.outbox) == [(before, 1, 1)]
    device.close(NOON + 67)


@pytest.mark.parametrize("after", [1, 61])
def test_what_an_earlier_run_left_open_is_joined_or_closed(tmp_path: Path, after: int) -> None:
    """The disk is found only after the start: within the same interval its numbers go on, else it closes by them."""
    first = Device(tmp_path / "state")
    first.minute(0, 2)
    count(first.ledger, NOON + 61, 3)
    first.close(NOON + 62)
    with failing_calls(tmp_path):
        second = Device(tmp_path / "state", boot="b2")
        count(second.ledger, NOON + 62 + after, 4)
    second.clock.now += 10
    second.ledger.tick(NOON + 65 + after)
    assert second.ledger.problem == ""
    assert second.ledger.installation == first.ledger.installation
    second.ledger.tick(NOON + 184)
    told = waiting(second.outbox)
    assert [(seq, total) for _, seq, total in told] == [(1, 2), (2, 9 if after == 1 else 5), (3, 9)]
    second.close(NOON + 185)
    again = Device(tmp_path / "state", boot="b3")
    assert waiting(again.outbox) == told
    again.close(NOON + 186)


def test_what_a_former_name_has_left_open_is_not_joined(tmp_path: Path) -> None:
    """The disk is found only after the start under the new name."""
    former = open_named(tmp_path, ("delft", "cam-1"))
    count(former, NOON + 1, 3)
    former.close(NOON + 2)
    with failing_calls(tmp_path):
        clock = Clock(0.0)
        present = open_named(tmp_path, ("delft", "cam-2"), clock)
        count(present, NOON + 10, 4)
    clock.now += 10
    for after in (12, 130):
        present.tick(NOON + after)
    assert present.problem == ""
    told = [(p["device"], p["start"], cars(p)) for p in payloads(tmp_path)]
    assert told == [("cam-1", rfc3339(NOON), 3), *(("cam-2", rfc3339(NOON + 60 * n), 4 - 4 * n) for n in (0, 1))]
    present.close(NOON + 131)


@pytest.mark.parametrize("taken_from", ["site", "device"])
@pytest.mark.parametrize("back", [True, False])
def test_what_a_former_name_has_left_open_is_offered_from_memory_under_that_name(
    small_disk: Path, taken_from: str, back: bool
) -> None:
    """The disk fails within the first save under the new name. back: the clock lies behind the run before."""
    folder, names = small_disk / "state", ("leiden", "cam-1") if taken_from == "site" else ("delft", "cam-2")
    former = open_named(folder, ("delft", "cam-1"))
    count(former, NOON + 1, 2)
    former.tick(NOON + 63)
    count(former, NOON + 64, 3)
    former.close(NOON + 65)
    clock = Clock(0.0)
    present = open_named(folder, names, clock)
    outbox, begin = Outbox(folder, standby=present.standby), NOON - 3600 if back else NOON + 70
    with full(small_disk):
        for second in range(12):
            clock.now += 1
            count(present, begin + second)
        assert present.in_memory
        present.tick(begin + 63)
        told = [json.loads(row.payload) for row in outbox.pending()]
        rows = {row.installation: row.seq for row in outbox.pending()}
        assert [(p["site"], p["device"], cars(p), cars(p, "totals")) for p in told] == [
            ("delft", "cam-1", 3, 3),
            (*names, 12, 12),
        ]
        assert list(rows.values()) == [1, 1]
        (told_before, told_now) = rows
        assert told_before != former.installation
        assert told_now == present.installation
        assert outbox.is_own(told_before, "delft", "cam-1")
        assert outbox.is_own(told_now, *names)
    clock.now += 60
    present.tick(begin + 64)
    assert (present.problem, present.in_memory) == ("", False)
    kept = [json.loads(row.payload) for row in outbox.pending()]
    assert [(p["device"], p["installation"], cars(p)) for p in kept[1:]] == [
        (p["device"], p["installation"], cars(p)) for p in told
    ]
    assert outbox.is_own(told_before, "delft", "cam-1")
    outbox.close()
    present.close(begin + 65)
    again = open_named(folder, names)
    assert (again.installation, again.newest_seq) == (told_now, {"north": 1})
    assert not sum(map(cars, again.open))
    again.close(begin + 66)


def open_named(folder: Path, names: tuple[str, str], clock: Clock | None = None) -> Ledger:
    encode = partial(encode_counts, replace(DEVICE, site=names[0], device=names[1]))
    return Ledger(folder, ["north"], Counting(CLASSES, 60.0), "b", encode, names=names, clock=clock or Clock(0.0))


def test_what_overlaps_closes_under_the_numbers_of_its_run(tmp_path: Path) -> None:
    """Another configuration counts now: the open interval of the run before cannot go on, and overlaps."""
    first = Device(tmp_path / "state", config="old")
    count(first.ledger, NOON + 1, 3)
    first.close(NOON + 2)
    with failing_calls(tmp_path):
        second = Device(tmp_path / "state", boot="b2", config="new")
        second.minute(0, 4)
    second.minute(1, 1)
    before, now = first.ledger.installation, second.ledger.installation
    assert before != now
    assert sorted(waiting(second.outbox)) == sorted([(before, 1, 3), (now, 1, 4), (now, 2, 5)])
    second.close(NOON + 130)


@pytest.mark.parametrize("also", [False, True])
def test_a_folder_that_is_taken_away_is_made_again(tmp_path: Path, also: bool) -> None:
    """also: in its place there is a file for a while."""
    device = Device(tmp_path / "state")
    device.minute(0, 2)
    shutil.rmtree(tmp_path / "state")
    if also:
        (tmp_path / "state").write_text("mine")
        device.minute(1, 3)
        (tmp_path / "state").unlink()
    count(device.ledger, NOON + 122, 3)
    device.clock.now += 10
    device.ledger.tick(NOON + 124)
    assert (device.ledger.problem, device.ledger.unstored) == ("", 0)
    device.minute(2, 1)
    assert cars(payloads(tmp_path / "state")[-1]) == 4
    device.close(NOON + 185)
    assert oct((tmp_path / "state").stat().st_mode)[-3:] == "700"


def test_numbers_of_a_failed_transaction_that_the_disk_kept_after_all_are_withdrawn(tmp_path: Path) -> None:
    """fsync failed, so nobody was told; yet after the repair the rows are there."""
    device = Device(tmp_path)
    told = device.ledger.installation
    count(device.ledger, NOON + 1, 2)
    copy = tmp_path.with_name("after")
    with writes_refused(beyond=0):
        device.ledger.tick(NOON + 63)
    # the same transaction on a copy, which then takes the place of the file
    shutil.copytree(tmp_path, copy)
    other = Device(copy)
    other.ledger.tick(NOON + 63)
    other.ledger.close(NOON + 63)
    other.outbox.close()
    with writes_refused(beyond=0):
        device.clock.now += 60
        device.ledger.tick(NOON + 65)
        assert device.ledger.standby.connection is not None
    device.outbox.close()
    for path in tmp_path.glob("ledger.sqlite3*"):
        path.unlink()
    shutil.copy(copy / "ledger.sqlite3", tmp_path)
    device.clock.now += 10
    device.ledger.tick(NOON + 70)
    assert device.ledger.problem == ""
    assert waiting(device.outbox) == [(device.ledger.installation, 1, 2)]
    assert device.ledger.installation != told
    device.close(NOON + 71)


@pytest.mark.parametrize("older", [False, True])
def test_a_file_that_comes_back_is_used_again(tmp_path: Path, older: bool) -> None:
    """As a card that was pulled out and put in again; older: as a copy of it from before. No number is given twice."""
    state, away = tmp_path / "state", tmp_path / "away"
    device = Device(state)
    device.minute(0, 2)
    if older:
        shutil.copytree(state, away)
    device.minute(1, 3)
    count(device.ledger, NOON + 121, 1)
    if older:
        shutil.rmtree(state)
    else:
        shutil.copytree(state, away)
        shutil.rmtree(state)
    away.rename(state)
    count(device.ledger, NOON + 122, 4)
    assert (device.ledger.problem, device.ledger.unstored, device.ledger.warnings) == ("", 0, ())
    assert on_disk(state, tmp_path / "copy").lines[0].seq == 2
    device.minute(2, 0)
    installation = device.ledger.installation
    told = waiting(device.outbox)
    assert told == [(installation, 1, 2), (installation, 2, 5), (installation, 3, 10)]
    device.close(NOON + 185)
    assert not list(state.glob("*corrupt*"))


@pytest.mark.parametrize("away", [1, 3])
@pytest.mark.parametrize("readable", [True, False])
def test_what_was_stored_while_a_folder_was_away_is_kept_or_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: int, readable: bool
) -> None:
    """As a stick that was pulled out and put in again: meanwhile there was another file in its place."""
    state = tmp_path / "state"
    device = Device(state)
    installation = device.ledger.installation
    device.minute(0, 2)
    device.minute(1, 1)
    state.rename(tmp_path / "away")
    for n in range(2, 2 + away):
        device.minute(n, 3)
        assert device.ledger.limits == (
            "the state folder was taken away, or its file was damaged: "
            "intervals before 3 of line north cannot be sent again",
        )
    assert device.outbox.seal(device.outbox.pending()[0].key, late=True)
    device.outbox.delete(device.outbox.pending()[0].key)
    state.rename(tmp_path / "meanwhile")
    (tmp_path / "away").rename(state)
    if not readable:

        def fail(_: Connection) -> Any:
            raise StoreError("the disk gives errors")

        monkeypatch.setattr(ledger_file, "read_kept", fail)
    device.minute(2 + away, 1)
    numbers = range(3, 3 + away)
    total = 3 + 3 * away + 1
    missing = [] if readable else list(numbers)
    queued = [(installation, n, 3 + 3 * (n - 2)) for n in numbers[1:] if n not in missing]
    assert waiting(device.outbox) == [
        (installation, 1, 2),
        (installation, 2, 3),
        *queued,
        (installation, 3 + away, total),
    ]
    kept = device.outbox.archived(installation, "north", 3)
    assert (kept is not None and json.loads(kept.payload)["late"] is True) is readable
    reasons = {n: device.outbox.why_missing(installation, "north", n) for n in numbers}
    assert [n for n, reason in reasons.items() if reason == "dropped"] == missing
    assert device.ledger.dropped == device.outbox.dropped == len(missing)
    assert (device.ledger.problem, device.ledger.limits) == ("", ())
    device.close(NOON + 600)
    again = Device(state, boot="b2")
    assert again.ledger.newest_seq == {"north": 3 + away}
    again.close(NOON + 601)


def test_a_lack_of_memory_is_a_fault_like_that_of_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was counted is not counted again when the save is tried again."""
    device = Device(tmp_path)
    save, left = Journal.save, [3]

    def fail(*arguments: Any, **options: Any) -> int:
        left[0] -= 1
        if left[0] >= 0:
            raise MemoryError
        return save(*arguments, **options)

    monkeypatch.setattr(Journal, "save", fail)
    count(device.ledger, NOON + 1, 2)
    assert (device.ledger.unstored, "out of memory" in device.ledger.problem) == (2, True)
    device.minute(0, 1)
    assert (device.ledger.unstored, device.ledger.problem) == (0, "")
    assert [cars(p) for p in payloads(tmp_path)] == [3]
    device.close(NOON + 70)


def test_a_disk_that_comes_and_goes_does_not_fill_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    device = Device(tmp_path)
    for n in range(120):
        device.clock.now += 1
        with writes_refused(beyond=0):
            count(device.ledger, NOON + 2 * n / 5)
        count(device.ledger, NOON + 2 * n / 5 + 0.2)
    assert len(caplog.records) in (2, 3)
    device.close(NOON + 60)
