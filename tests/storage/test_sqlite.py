"""Outbox as the publisher uses it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_app.errors import StoreError
from edge_app.storage.outbox import Outbox
from edge_app.storage.sqlite import FILE, SUSPECT, Connection
from tests.support.ledger_cases import NOON, count, open_ledger


def fill(folder: Path, n: int, lines: tuple[str, ...] = ("north",)) -> None:
    """Close n intervals on each line."""
    ledger = open_ledger(folder, lines)
    for at in range(n):
        count(ledger, NOON + 60 * at, at, lines[0])
        ledger.tick(NOON + 60 * at + 63)
    ledger.close(NOON + 60 * n + 10)


def test_pending_returns_a_limited_number_after_a_key_in_order(tmp_path: Path) -> None:
    fill(tmp_path, 5)
    outbox = Outbox(tmp_path)
    keys = [outgoing.key for outgoing in outbox.pending()]
    assert keys == sorted(keys)
    assert len(keys) == 5
    assert [o.key for o in outbox.pending(after=keys[1], limit=2)] == keys[2:4]
    first = outbox.pending()[0]
    assert (first.line, first.start, first.end, first.late) == ("north", NOON, NOON + 60, None)
    outbox.close()


def test_the_first_seal_stays_valid(tmp_path: Path) -> None:
    fill(tmp_path, 2)
    outbox = Outbox(tmp_path)
    a, b = (outgoing.key for outgoing in outbox.pending())
    assert outbox.seal(a, False) is False
    assert outbox.seal(a, True) is False
    assert outbox.seal(b, True) is True
    outbox.close()
    reopened = Outbox(tmp_path)
    assert reopened.seal(a, True) is False
    assert [outgoing.late for outgoing in reopened.pending()] == [False, True]
    reopened.close()


def test_a_deleted_interval_is_gone_and_its_key_is_never_used_again(tmp_path: Path) -> None:
    fill(tmp_path, 3)
    outbox = Outbox(tmp_path)
    keys = [outgoing.key for outgoing in outbox.pending()]
    assert (len(outbox), outbox.oldest_end()) == (3, NOON + 60)
    for key in (*keys, keys[0]):
        outbox.delete(key)
    assert (len(outbox), outbox.oldest_end()) == (0, None)
    assert outbox.seal(keys[0], True) is True, "the row no longer exists"
    ledger = open_ledger(tmp_path)
    ledger.tick(NOON + 400)
    assert all(outgoing.key > keys[-1] for outgoing in outbox.pending())
    assert len(outbox) == 1, "the interval that was open at the stop, and none for the time after it"
    ledger.close(NOON + 400)
    outbox.close()


@pytest.mark.parametrize("wrong", [b"\xff", b"7"])
def test_a_corrupted_payload_is_dropped_and_counted_and_the_others_are_delivered(tmp_path: Path, wrong: bytes) -> None:
    fill(tmp_path, 3)
    content = (tmp_path / FILE).read_bytes()
    field = b'"seq": 2'
    assert field in content
    (tmp_path / FILE).write_bytes(content.replace(field, field[:-1] + wrong))
    outbox = Outbox(tmp_path)
    assert ['"seq": 1' in o.payload or '"seq": 3' in o.payload for o in outbox.pending()] == [True, True]
    assert (len(outbox), outbox.dropped) == (2, 1)
    outbox.close()


def test_without_the_ledgers_file_it_raises_and_creates_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"ledger\.sqlite3 cannot be used \(No such file or directory\)"):
        Outbox(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_publisher_and_ledger_use_the_file_at_the_same_time(tmp_path: Path) -> None:
    ledger, done, sent = open_ledger(tmp_path, interval_s=1.0), threading.Event(), []

    def publish() -> None:
        outbox = Outbox(tmp_path)
        while not (done.is_set() and len(outbox) == 0):
            for outgoing in outbox.pending():
                outbox.seal(outgoing.key, False)
                outbox.delete(outgoing.key)
                sent.append(outgoing.start)
        outbox.close()

    thread = threading.Thread(target=publish)
    thread.start()
    for n in range(200):
        count(ledger, NOON + n / 4)
        ledger.tick(NOON + n / 4)
    done.set()
    thread.join(30)
    assert sent == [NOON + n for n in range(46)]
    assert (ledger.problem, ledger.unstored) == ("", 0)
    ledger.close(NOON + 100)


def test_after_damage_found_by_the_outbox_the_ledger_starts_a_new_file(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for n in range(3):
        count(ledger, NOON + 60 * n + 5, 2)
        ledger.tick(NOON + 60 * n + 63)
    outbox = Outbox(tmp_path)
    held = outbox.pending()[-1]
    (tmp_path / SUSPECT).touch()
    count(ledger, NOON + 190)
    assert (tmp_path / f"{FILE}.corrupt-1").exists()
    assert not (tmp_path / SUSPECT).exists()
    assert (len(outbox), outbox.dropped) == (0, 0)
    ledger.tick(NOON + 243)
    outbox.delete(held.key)
    (row,) = outbox.pending()
    assert row.key > held.key, "an earlier acknowledgement must not delete a later interval"
    assert '"seq": 4' in row.payload
    outbox.close()
    ledger.close(NOON + 244)


def test_two_threads_that_share_tables_in_memory_write_in_turns(tmp_path: Path) -> None:
    """While a disk fails the thread that counts closes intervals in the tables from which the other one sends."""
    shared, faults = Connection(tmp_path, create=False, in_memory=True), list[BaseException]()
    shared.rows("CREATE TABLE seen (by TEXT)")

    def other() -> None:
        try:
            with shared.transaction(synced=False):
                shared.rows("INSERT INTO seen VALUES ('other')")
        except StoreError as fault:
            faults.append(fault)

    thread = threading.Thread(target=other)

    def one() -> None:
        with shared.transaction(synced=False):
            shared.rows("INSERT INTO seen VALUES ('one')")
            thread.start()
            thread.join(0.2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        one()
    thread.join(10)
    assert not faults
    assert shared.rows("SELECT by FROM seen") == [("other",)], "what was not committed took nothing else with it"
    shared.close()
