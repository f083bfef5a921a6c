"""Test that the page reads every closed interval once, from archive and outbox, and keeps nobody waiting."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from edge_app.errors import StoreError
from edge_app.storage.outbox import ClosedInterval, Outbox
from edge_app.storage.past_intervals import PastInterval, PastIntervals
from edge_app.storage.sqlite import FILE
from tests.support.histories import archive, payload
from tests.support.ledger_cases import NOON, count, crossing, open_ledger
from tests.support.ledger_cases import encode as encode_plainly

DAY_S = 86_400.0


def encode(closed: ClosedInterval) -> str:
    """Return a message with the times as text, as the real ones have them."""
    told, counts = json.loads(encode_plainly(closed)), closed.counts
    return json.dumps({**told, **payload(counts.line, counts.start, {}), "counts": told["counts"], "coverage": 1.0})


@pytest.fixture
def real_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.support.ledger_cases.encode", encode)


def read(past: PastIntervals, now: float = NOON + DAY_S) -> list[PastInterval]:
    return list(past.new(NOON - DAY_S, now)[1])


@pytest.mark.usefixtures("real_times")
def test_each_interval_comes_once_whether_it_waits_or_is_delivered(tmp_path: Path) -> None:
    past = PastIntervals(tmp_path)
    assert past.new(NOON, NOON)[0] is False
    assert read(past) == []
    assert past.open_crossings() == []
    ledger = open_ledger(tmp_path)
    outbox = Outbox(tmp_path)
    seen = []
    for n in range(6):
        count(ledger, NOON + 60 * n + 1, n)
        ledger.tick(NOON + 60 * n + 63)
        if n % 2:
            seen += [interval.start for interval in read(past)]
            for row in outbox.pending():
                outbox.delete(row.key)
        if n == 3:
            seen += [interval.start for interval in read(past)]
    seen += [interval.start for interval in read(past)]
    assert seen == [NOON + 60 * n for n in range(6)]
    ledger.record(NOON + 361, [crossing(NOON + 361)], 0)
    assert [(one.line, one.label, one.direction) for one in past.open_crossings()] == [
        ("north", "car", "left_to_right")
    ]
    outbox.close()
    ledger.close(NOON + 362)


def rows(n: int, every_s: float = 60.0) -> list[dict[str, Any]]:
    return [payload("north", NOON + every_s * number, {"car": (number, 0)}) for number in range(n)]


def test_a_day_is_found_without_reading_all_others(tmp_path: Path) -> None:
    now = NOON + 60 * DAY_S
    archive(tmp_path, rows(2000, 60 * DAY_S / 2000), now=now)
    past = PastIntervals(tmp_path)
    begin = NOON + 30 * DAY_S
    assert {round((one.start - NOON) // DAY_S) for one in past.between(begin, begin + DAY_S, now)} == {30}
    assert len(past.between(NOON, now, now)) == 2000
    assert past.between(now, now + DAY_S, now) == []
    newest = [one.start for one in past.new(now - 7 * DAY_S, now)[1]]
    assert now - 8 * DAY_S < newest[0] <= now - 7 * DAY_S + 3600


def test_a_damaged_interval_is_left_out_and_a_damaged_file_is_one_sentence(tmp_path: Path) -> None:
    archive(tmp_path, rows(3), now=NOON + 600)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("UPDATE archive SET payload = x'00ff' WHERE number = 2")
    db.close()
    assert len(PastIntervals(tmp_path).between(NOON, NOON + DAY_S, NOON + DAY_S)) == 2
    (tmp_path / FILE).write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="cannot be read"):
        PastIntervals(tmp_path).open_crossings()


def test_reading_leaves_nothing_in_the_folder(tmp_path: Path) -> None:
    """Files that root's page made would keep the service's own user out; a reader's folder may be read-only."""
    archive(tmp_path, rows(3), now=NOON + 600)
    before = sorted(tmp_path.iterdir())
    assert len(read(PastIntervals(tmp_path))) == 3
    assert sorted(tmp_path.iterdir()) == before


def test_a_replaced_file_is_read_from_the_beginning(tmp_path: Path) -> None:
    archive(tmp_path, rows(3), now=NOON + 600)
    past = PastIntervals(tmp_path)
    assert len(read(past)) == 3
    (tmp_path / FILE).rename(tmp_path / "away")
    assert past.new(NOON, NOON)[0] is True
    archive(tmp_path, rows(2), now=NOON + 600)
    anew, intervals = past.new(NOON - DAY_S, NOON + DAY_S)
    assert anew
    assert len(list(intervals)) == 2


def test_a_reader_keeps_no_writer_waiting_and_a_writer_no_reader(tmp_path: Path) -> None:
    archive(tmp_path, rows(1200), now=NOON + 1200 * 60)
    ledger = open_ledger(tmp_path)
    past = PastIntervals(tmp_path)
    _, intervals = past.new(NOON - DAY_S, NOON + DAY_S)
    next(intervals)  # in the middle of the archive
    began = time.monotonic()
    count(ledger, NOON + DAY_S)
    ledger.tick(NOON + DAY_S + 63)
    writer = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    assert len(list(intervals)) >= 1199
    writer.execute("ROLLBACK")
    writer.close()
    assert time.monotonic() - began < 1.9, "less than the time for which SQLite waits for a lock"
    assert ledger.problem == ""
    ledger.close(NOON + DAY_S + 64)
