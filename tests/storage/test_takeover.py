"""Disk that reports an error for what it has kept, as at fsync: nothing is lost, told twice or under a told number."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import StoreError
from edge_app.storage.archive import with_late
from edge_app.storage.outbox import Outbox
from edge_app.storage.sqlite import Connection
from tests.support.disks import writes_refused
from tests.support.ledger_cases import NOON, cars, count, open_ledger
from tests.support.publisher_cases import Clock


@contextmanager
def kept_but_failed() -> Iterator[None]:
    """Let every commit to a file that is synced be kept, and reported as failed."""
    commit = Connection.transaction

    @contextmanager
    def transaction(connection: Connection, *, synced: bool) -> Iterator[None]:
        with commit(connection, synced=synced):
            yield
        if synced and connection.value("SELECT file FROM pragma_database_list"):
            raise StoreError("the disk gives errors")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "transaction", transaction)
        yield


class Device:
    """A ledger with intervals of 10 s, one vehicle a second, and a consumer of everything that is offered."""

    def __init__(self, folder: Path, at: float = NOON) -> None:
        self.now, self.clock, self.counted = at, Clock(1000.0), 0
        self.ledger = open_ledger(folder, interval_s=10.0, boot=str(at), clock=self.clock)
        self.outbox = Outbox(folder, standby=self.ledger.standby)
        self.told: dict[tuple[str, int], str] = {}

    def run(self, seconds: int, *, deliver: bool = True) -> None:
        for _ in range(seconds):
            self.clock.now += 1
            self.now += 1
            count(self.ledger, self.now)
            self.counted += 1
            self.ledger.tick(self.now)
            if deliver and (self.ledger.in_memory or not self.ledger.problem):
                self.deliver()

    def step(self, seconds: float) -> None:
        self.now += seconds
        self.ledger.set_clock(self.now, seconds)

    def deliver(self, *, late: bool = False, acknowledged: bool = True) -> None:
        for row in self.outbox.pending(limit=1000):
            payload = with_late(row.payload, self.outbox.seal(row.key, late))
            assert self.told.setdefault((row.installation, row.seq), payload) == payload
            if acknowledged:
                self.outbox.delete(row.key)

    @property
    def found(self) -> int:
        delivered = sum(cars(json.loads(payload)) for payload in self.told.values())
        return delivered + sum(cars(interval) for interval in self.ledger.open)

    def close(self) -> None:
        self.ledger.close(self.now)
        self.outbox.close()


@pytest.mark.parametrize("step", [0.0, -12.0, -300.0, 300.0])
@pytest.mark.parametrize("second", [15, 24, 26, 28])
def test_a_step_of_the_clock_before_the_disk_is_back_loses_and_repeats_nothing(
    tmp_path: Path, step: float, second: int
) -> None:
    device = Device(tmp_path)
    device.run(18)
    with kept_but_failed():
        device.run(second)
        device.step(step)
        device.run(1)
    device.run(60)
    assert (device.ledger.problem, device.ledger.dropped) == ("", 0)
    assert device.found == device.counted
    device.close()


@pytest.mark.parametrize("seconds", range(16, 40, 3))
def test_no_number_that_was_told_from_memory_is_given_again_after_a_crash(tmp_path: Path, seconds: int) -> None:
    device = Device(tmp_path / "state")
    device.run(18)
    with kept_but_failed():
        device.run(seconds)
        assert device.ledger.in_memory
        shutil.copytree(tmp_path / "state", tmp_path / "killed")
    again = Device(tmp_path / "killed", at=device.now + 1)
    assert again.ledger.installation != device.ledger.installation
    again.told = device.told
    again.run(40)
    again.close()
    third = Device(tmp_path / "killed", at=again.now + 1)
    assert third.ledger.installation == again.ledger.installation
    third.close()
    device.close()


def test_a_start_after_a_confirmed_return_goes_on(tmp_path: Path) -> None:
    device = Device(tmp_path)
    device.run(18)
    with kept_but_failed():
        device.run(25)
    device.run(6)
    device.close()
    again = Device(tmp_path, at=device.now + 1)
    assert again.ledger.installation == device.ledger.installation
    again.close()


@pytest.mark.parametrize("refused", [False, True])
@pytest.mark.parametrize("before", [7, 15])
@pytest.mark.parametrize("seconds", [1, 6, 11, 21, 31])
def test_what_a_run_before_left_open_is_delivered_once(
    tmp_path: Path, before: int, seconds: int, refused: bool
) -> None:
    """The disk fails at the start, then keeps what it reports as failed; refused: and at last it keeps nothing."""
    first = Device(tmp_path)
    first.run(before)
    first.close()
    with writes_refused(beyond=0):
        second = Device(tmp_path, at=first.now)
        second.run(1)
    second.told = first.told
    second.counted = before + 1
    faults: list[AbstractContextManager[Any]] = [kept_but_failed(), *([writes_refused(beyond=0)] if refused else [])]
    for fault in faults:
        with fault:
            second.run(seconds)
    second.run(40)
    assert (second.ledger.problem, second.ledger.dropped) == ("", 0)
    assert second.found == second.counted
    second.close()


@pytest.mark.parametrize("acknowledged", [False, True])
@pytest.mark.parametrize("late", [False, True])
def test_what_was_sealed_in_memory_is_never_told_with_another_flag(
    tmp_path: Path, late: bool, acknowledged: bool
) -> None:
    device = Device(tmp_path)
    device.run(18)
    with kept_but_failed():
        device.told.clear()
        device.run(25, deliver=False)  # an attempt to return is kept, with rows that nobody was told of
        device.deliver(late=late, acknowledged=acknowledged)
    device.run(6, deliver=False)
    assert not device.ledger.in_memory
    rows = {(row.installation, row.seq): row.late for row in device.outbox.pending(limit=1000)}
    for number, payload in device.told.items():
        kept = device.outbox.archived(number[0], "north", number[1])
        assert (number in rows) is not acknowledged
        assert (kept is not None and kept.payload.decode() == payload) if acknowledged else rows[number] is late
    device.close()
