"""One slot, workers that report their death, one deadline: with events in place of sleeps."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.system.threads import Latest, StuckThreadError, Worker, join_all

LONG = 10.0


def nobody(name: str, exc: BaseException) -> None:
    raise AssertionError(f"{name} was not expected to fail: {exc!r}")


def wait(stop: threading.Event) -> None:
    stop.wait(LONG)


def test_the_newest_wins_and_what_it_replaces_is_counted() -> None:
    slot = Latest[int]()
    assert all(slot.put(n) for n in range(5))
    assert slot.get(0) == 4
    assert slot.get(0) is None
    assert slot.dropped == 4


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), max_size=40))
def test_every_item_is_taken_or_counted_or_still_there(moves: list[bool]) -> None:
    slot = Latest[int]()
    taken = 0
    for n, is_put in enumerate(moves):
        if is_put:
            assert slot.put(n)
        else:
            taken += slot.get(0) is not None
    slot.close()
    left = 0 if slot.finished else 1
    assert sum(moves) == taken + slot.dropped + left


def test_a_lossless_slot_hands_over_everything_in_order() -> None:
    slot = Latest[int](lossless=True)

    def offer(_stop: threading.Event) -> None:
        for n in range(500):
            slot.put(n)
        slot.close()

    worker = Worker("offer", offer, nobody)
    worker.start()
    taken = []
    while not slot.finished:
        item = slot.get(LONG)
        if item is not None:
            taken.append(item)
    assert taken == list(range(500))
    assert slot.dropped == 0
    assert worker.join(LONG)


def test_who_takes_may_be_told_of_more_than_items() -> None:
    slot, told = Latest[int](), threading.Event()

    def tell(_stop: threading.Event) -> None:
        with slot.news:
            told.set()
            slot.news.notify_all()

    worker = Worker("tell", tell, nobody)
    with slot.news:
        worker.start()
        assert slot.news.wait_for(lambda: slot.waiting or told.is_set(), LONG)
    assert not slot.waiting
    slot.put(1)
    assert slot.waiting


def test_close_frees_who_waits_to_put_and_counts_the_item() -> None:
    slot = Latest[int](lossless=True)
    slot.put(1)
    answers: list[bool] = []
    worker = Worker("put", lambda _stop: answers.append(slot.put(2)), nobody)
    worker.start()
    slot.close()
    assert worker.join(LONG)
    assert answers == [False]
    assert slot.dropped == 1
    assert not slot.finished
    assert slot.get(0) == 1
    assert slot.finished


def test_close_frees_who_waits_to_get() -> None:
    slot = Latest[int]()
    answers: list[int | None] = []
    worker = Worker("get", lambda _stop: answers.append(slot.get(LONG)), nobody)
    worker.start()
    slot.close()
    assert worker.join(LONG)
    assert answers == [None]
    assert slot.put(1) is False


def test_a_worker_reports_what_it_died_of() -> None:
    reported: list[tuple[str, BaseException]] = []

    def run(_stop: threading.Event) -> None:
        raise SystemExit(3)

    worker = Worker("capture", run, lambda name, exc: reported.append((name, exc)))
    worker.start()
    assert worker.join(LONG)
    assert [(name, type(exc)) for name, exc in reported] == [("capture", SystemExit)]


def test_all_are_asked_before_any_is_waited_for() -> None:
    second_stopped = threading.Event()
    ended: list[str] = []

    def first(stop: threading.Event) -> None:
        assert stop.wait(LONG)
        assert second_stopped.wait(LONG)
        ended.append("first")

    def second(stop: threading.Event) -> None:
        assert stop.wait(LONG)
        second_stopped.set()

    workers = [Worker("first", first, nobody), Worker("second", second, nobody), Worker("unstarted", wait, nobody)]
    for worker in workers[:2]:
        worker.start()
    join_all(workers, LONG)
    assert ended == ["first"]


def test_a_survivor_is_an_error_with_its_name_and_the_deadline_is_shared() -> None:
    release = threading.Event()
    workers = [Worker(name, lambda _stop: wait(release), nobody) for name in ("capture", "publisher")]
    for worker in workers:
        worker.start()
    ticks = iter([100.0, 105.1, 110.0])  # what the clock says: begin, first join, second join
    with pytest.raises(StuckThreadError, match=r"5 s after .*: capture, publisher") as caught:
        join_all(workers, 5.0, lambda: next(ticks))
    assert caught.value.names == ("capture", "publisher")
    release.set()
    assert all(worker.join(LONG) for worker in workers)
