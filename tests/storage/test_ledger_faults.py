"""Ledger on a disk that fails, and on files that are damaged."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edge_app.errors import ConfigError, StoreError
from edge_app.storage.outbox import Outbox
from edge_app.storage.sqlite import FILE, SUSPECT
from tests.support.disks import fill_disk, small_disk, writes_refused
from tests.support.ledger_cases import NOON, cars, count, on_disk, open_ledger, payloads

__all__ = ["small_disk"]  # a fixture


def test_counting_goes_on_while_the_disk_is_full_and_is_stored_later(small_disk: Path) -> None:
    ledger = open_ledger(small_disk / "state")
    count(ledger, NOON + 1)
    filler = fill_disk(small_disk)
    for n in range(400):
        count(ledger, NOON + 2 + n / 4)
        ledger.tick(NOON + 2 + n / 4)
    assert ledger.unstored > 0
    assert "cannot be used" in ledger.problem
    assert "disk" in ledger.problem
    filler.unlink()
    ledger.tick(NOON + 123)
    assert (ledger.problem, ledger.unstored) == ("", 0)
    ledger.tick(NOON + 183)
    ledger.close(NOON + 184)
    sent = payloads(small_disk / "state")
    assert [p["seq"] for p in sent] == [1, 2, 3]
    assert sum(map(cars, sent)) == 401


def test_counting_goes_on_while_the_disk_gives_errors_and_is_stored_later(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    count(ledger, NOON + 1)
    with writes_refused(beyond=4096):
        count(ledger, NOON + 2, 3)
        ledger.tick(NOON + 63)
        assert ledger.unstored == 3
        assert "cannot be used" in ledger.problem
    ledger.tick(NOON + 64.5)
    assert (ledger.problem, ledger.unstored) == ("", 0)
    ledger.close(NOON + 65)
    assert [cars(p) for p in payloads(tmp_path)] == [4]


def test_intervals_that_cannot_be_stored_for_too_long_are_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_app.storage.ledger.MAX_IN_MEMORY", 3)
    ledger = open_ledger(tmp_path)
    count(ledger, NOON + 1)  # on disk, in the journal of an interval that will be dropped
    with writes_refused(beyond=4096):
        for n in range(1, 6):
            count(ledger, NOON + 60 * n)
            ledger.tick(NOON + 60 * n + 3)
        assert (ledger.dropped, ledger.unstored) == (2, 4)
    ledger.tick(NOON + 310)
    ledger.close(NOON + 311)
    sent = payloads(tmp_path)
    assert [(p["seq"], cars(p), cars(p, "totals")) for p in sent] == [(3, 1, 3), (4, 1, 4), (5, 1, 5)]
    reopened = open_ledger(tmp_path)
    assert (reopened.dropped, [i.start for i in reopened.open]) == (2, [NOON + 300])
    reopened.close(NOON + 312)


def test_a_state_folder_that_is_a_file_or_lies_in_one_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigError, match="is a file"):
        open_ledger(tmp_path / "file")
    with pytest.raises(ConfigError, match="not a directory"):
        open_ledger(tmp_path / "file" / "state")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_newer_schema_is_refused_and_left_unchanged(tmp_path: Path) -> None:
    open_ledger(tmp_path).close(NOON)
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version=2")
    db.close()
    with pytest.raises(StoreError, match="newer version"):
        open_ledger(tmp_path)
    assert not list(tmp_path.glob("*.corrupt*"))
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("PRAGMA user_version=1")
    db.close()
    open_ledger(tmp_path).close(NOON)


@pytest.fixture(scope="module")
def used_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return a file with waiting intervals, an open one, and pages of every table."""
    folder = tmp_path_factory.mktemp("used")
    use(folder)
    return (folder / FILE).read_bytes()


def use(folder: Path) -> None:
    ledger = open_ledger(folder)
    for n in range(20):
        count(ledger, NOON + 60 * n + 1, 3)
        ledger.tick(NOON + 60 * n + 63)
    ledger.close(NOON + 1204)


def assert_counting_works(folder: Path) -> None:
    """Check on any file that crossings are counted, an interval arrives, and a renamed file gave a warning."""
    ledger = open_ledger(folder)
    renamed = list(folder.glob(f"{FILE}.corrupt-[0-9]"))
    assert len(renamed) == len(ledger.warnings)
    count(ledger, NOON + 6000, 4)
    ledger.tick(NOON + 6063)
    assert (ledger.problem, ledger.unstored) == ("", 0)
    ledger.close(NOON + 6064)
    newest = payloads(folder)[-1]
    assert (newest["start"], cars(newest)) == (NOON + 6000, 4)
    if renamed:
        assert (newest["seq"], cars(newest, "totals")) == (1, 4)


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 + 100)


def foreign(path: Path) -> None:
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE birds (name)")
    db.close()


def table_dropped(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("DROP TABLE interval")
    db.close()


def nonsense(path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("UPDATE line SET totals = '{\"car\": 3}'")
    db.close()


def suspect(path: Path) -> None:
    path.with_name(SUSPECT).touch()


@pytest.mark.parametrize("damage", [zero, truncate, foreign, table_dropped, nonsense, suspect])
def test_a_damaged_file_is_renamed_with_one_warning(
    tmp_path: Path, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    use(tmp_path)
    before = open_ledger(tmp_path)
    before.close(NOON + 1205)
    damage(tmp_path / FILE)
    after = open_ledger(tmp_path)
    after.close(NOON + 1206)
    assert "kept as ledger.sqlite3.corrupt-1" in after.warnings[0]
    assert caplog.messages == [after.warnings[0]]
    assert after.installation != before.installation
    reopened = open_ledger(tmp_path)
    assert reopened.warnings == ()
    assert reopened.installation == after.installation
    reopened.close(NOON + 1207)


def test_an_empty_file_with_a_log_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    use(tmp_path)
    (tmp_path / f"{FILE}-wal").write_bytes((tmp_path / FILE).read_bytes())
    os.truncate(tmp_path / FILE, 0)
    ledger = open_ledger(tmp_path)
    assert "empty although it was in use" in ledger.warnings[0]
    ledger.close(NOON)
    assert (tmp_path / f"{FILE}.corrupt-1-wal").exists()


def test_an_empty_file_without_a_log_is_used_as_a_new_one(tmp_path: Path) -> None:
    (tmp_path / FILE).touch()  # as a kill during the first start leaves it
    ledger = open_ledger(tmp_path)
    assert ledger.warnings == ()
    ledger.close(NOON)


@settings(deadline=None, max_examples=12)
@given(content=st.binary(max_size=5000))
@example(content=b"SQLite format 3\0")
def test_a_file_of_garbage_does_not_stop_counting(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    folder = tmp_path_factory.mktemp("state")
    (folder / FILE).write_bytes(content)
    assert_counting_works(folder)


@settings(deadline=None, max_examples=25)
@given(position=st.floats(0, 1, exclude_max=True), noise=st.binary(min_size=1, max_size=300))
@example(position=0.3562934155946218, noise=b"\0")  # a number that is given a second time
def test_garbage_within_the_file_does_not_stop_counting(
    tmp_path_factory: pytest.TempPathFactory, used_file: bytes, position: float, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("state")
    content = bytearray(used_file)
    at = 100 + int(position * (len(content) - 100))
    content[at : at + len(noise)] = noise
    (folder / FILE).write_bytes(content)
    ledger = open_ledger(folder)
    count(ledger, NOON + 6000, 4)
    ledger.tick(NOON + 6063)
    assert (ledger.problem, ledger.unstored) == ("", 0)
    ledger.close(NOON + 6064)


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        (b"start REAL, sums TEXT", b"start REAL  sums TEXT"),  # two columns, of which one has a long type
        (b"sums TEXT NOT NULL, PRIMARY", b"sumz TEXT NOT NULL, PRIMARY"),
        (b"PRIMARY KEY (line, start)) WITHOUT ROWID", b"PRIMARY KEY (line, sums )) WITHOUT ROWID"),
        (b"PRIMARY KEY (line, start)) WITHOUT ROWID", b"CHECK       (line, start)) WITHOUT ROWID"),
    ],
)
def test_a_schema_that_is_no_more_ours_does_not_stop_counting(
    tmp_path: Path, used_file: bytes, written: bytes, damaged: bytes
) -> None:
    assert len(damaged) == len(written)
    at = used_file.rindex(written, 0, used_file.rindex(b"CREATE TABLE measure") + 200)
    (tmp_path / FILE).write_bytes(used_file[:at] + damaged + used_file[at + len(written) :])
    ledger = open_ledger(tmp_path)
    ledger.measure("main", NOON + 6001, {"queue": {"any_s": 1.0}})
    count(ledger, NOON + 6000, 4)
    ledger.tick(NOON + 6063)
    assert (ledger.problem, ledger.unstored) == ("", 0)
    ledger.close(NOON + 6064)


def test_a_file_damaged_or_removed_while_in_use_loses_no_number_and_no_total(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    outbox, installation = Outbox(tmp_path), ledger.installation
    count(ledger, NOON + 1, 2)
    ledger.tick(NOON + 63)
    count(ledger, NOON + 64, 3)
    for name in (FILE, f"{FILE}-wal"):
        zero(tmp_path / name)
    with pytest.raises(StoreError, match="damaged"):
        Outbox(tmp_path)
    count(ledger, NOON + 65, 1)
    assert "kept as ledger.sqlite3.corrupt-1" in ledger.warnings[0]
    for path in tmp_path.glob(f"{FILE}*"):
        if "corrupt" not in path.name:
            path.unlink()
    count(ledger, NOON + 66, 1)
    assert len(on_disk(tmp_path, tmp_path.with_name("copy")).journal) == 5
    ledger.tick(NOON + 123)
    (row,) = outbox.pending()
    assert row.start == NOON + 60
    assert ledger.installation == installation
    assert len(ledger.warnings) == 2
    assert "taken away" in ledger.warnings[1]
    assert "kept as" not in ledger.warnings[1]
    outbox.close()
    ledger.close(NOON + 124)
    (sent,) = payloads(tmp_path)
    assert (sent["seq"], cars(sent), cars(sent, "totals")) == (2, 5, 7)


@pytest.mark.parametrize("back", [50.0, 100.0, 3600.0])
@pytest.mark.parametrize("waits", [1, 3])
def test_a_kill_after_a_step_back_that_met_a_short_fault_of_the_disk_loses_no_crossing(
    tmp_path: Path, back: float, waits: int
) -> None:
    """What closes by the step is stored only together with what was counted at the new time, which is earlier."""
    ledger = open_ledger(tmp_path / "state")
    count(ledger, NOON + 3590)
    ledger.tick(NOON + 3603)
    with writes_refused(beyond=0):
        count(ledger, NOON + 3604, 2)
        now = NOON + 3605 - back
        ledger.set_clock(now, -back)
        for second in range(waits):
            count(ledger, now + second, 3)
        assert ledger.problem
        assert ledger.unstored == 2 + 3 * waits
    count(ledger, now + waits, 1)
    assert (ledger.problem, ledger.unstored) == ("", 0)
    shutil.copytree(tmp_path / "state", tmp_path / "killed")
    ledger.close(now + waits)
    after = open_ledger(tmp_path / "killed")
    assert sum(map(cars, after.open)) == 3 * waits + 1
    assert [cars(p) for p in payloads(tmp_path / "killed")] == [1, 2]
    after.close(now + waits + 1)
