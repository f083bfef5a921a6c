"""The outbox as the publisher sees it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from edge_app.errors import StoreError
from edge_app.storage.sqlite import FILE, SUSPECT, Outbox
from tests.support.ledger_cases import NOON, count, open_ledger


def filled(folder: Path, n: int, lines: tuple[str, ...] = ("north",)) -> None:
    """n closed intervals on each line."""
    ledger = open_ledger(folder, lines)
    for at in range(n):
        count(ledger, NOON + 60 * at, at, lines[0])
        ledger.tick(NOON + 60 * at + 63)
    ledger.close(NOON + 60 * n + 10)


def test_pending_comes_in_order_from_a_key_on_and_limited(tmp_path: Path) -> None:
    filled(tmp_path, 5)
    outbox = Outbox(tmp_path)
    keys = [outgoing.key for outgoing in outbox.pending()]
    assert keys == sorted(keys)
    assert len(keys) == 5
    assert [o.key for o in outbox.pending(after=keys[1], limit=2)] == keys[2:4]
    first = outbox.pending()[0]
    assert (first.line, first.start, first.end, first.late) == ("north", NOON, NOON + 60, None)
    outbox.close()


def test_the_first_seal_is_in_force_for_ever(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    outbox = Outbox(tmp_path)
    a, b = (outgoing.key for outgoing in outbox.pending())
    assert outbox.seal(a, False) is False
    assert outbox.seal(a, True) is False
    assert outbox.seal(b, True) is True
    outbox.close()
    again = Outbox(tmp_path)
    assert again.seal(a, True) is False
    assert [outgoing.late for outgoing in again.pending()] == [False, True]
    again.close()


def test_what_is_acknowledged_is_gone_and_its_key_never_comes_back(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    outbox = Outbox(tmp_path)
    keys = [outgoing.key for outgoing in outbox.pending()]
    assert (len(outbox), outbox.oldest_end(), outbox.newest_start("north")) == (3, NOON + 60, NOON + 120)
    for key in (*keys, keys[0]):
        outbox.delete(key)
    assert (len(outbox), outbox.oldest_end(), outbox.newest_start("north")) == (0, None, NOON + 120)
    assert outbox.seal(keys[0], True) is True, "a row that is gone is nobody's"
    ledger = open_ledger(tmp_path)
    ledger.tick(NOON + 400)
    assert all(outgoing.key > keys[-1] for outgoing in outbox.pending())
    assert len(outbox) == 1, "the interval that was open at the stop; none is made up for the time after it"
    ledger.close(NOON + 400)
    outbox.close()


@pytest.mark.parametrize("rot", [b"\xff", b"7"])
def test_a_payload_that_has_rotted_is_dropped_and_counted_and_the_others_go_out(tmp_path: Path, rot: bytes) -> None:
    filled(tmp_path, 3)
    content = (tmp_path / FILE).read_bytes()
    sign = b'"seq": 2'
    assert sign in content
    (tmp_path / FILE).write_bytes(content.replace(sign, sign[:-1] + rot))
    outbox = Outbox(tmp_path)
    assert ['"seq": 1' in o.payload or '"seq": 3' in o.payload for o in outbox.pending()] == [True, True]
    assert (len(outbox), outbox.dropped) == (2, 1)
    outbox.close()


def test_newest_start_is_that_of_the_line(tmp_path: Path) -> None:
    filled(tmp_path, 1, ("north", "south"))
    outbox = Outbox(tmp_path)
    assert outbox.newest_start("south") == NOON
    assert outbox.newest_start("west") is None
    outbox.close()


def test_it_needs_the_ledger_to_have_made_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"ledger\.sqlite3 cannot be used \(No such file or directory\)"):
        Outbox(tmp_path)
    assert not (tmp_path / FILE).exists()


def test_publisher_and_ledger_work_side_by_side(tmp_path: Path) -> None:
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


def test_a_damaged_file_is_reported_to_the_ledger_which_goes_on_with_a_new_one(tmp_path: Path) -> None:
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
    assert (len(outbox), outbox.dropped, outbox.newest_start("north")) == (0, 0, NOON + 120)
    ledger.tick(NOON + 243)
    outbox.delete(held.key)
    (row,) = outbox.pending()
    assert row.key > held.key, "an acknowledgement from before must not delete what came after"
    assert '"seq": 4' in row.payload
    outbox.close()
    ledger.close(NOON + 244)
