"""Slot, workers and heartbeats, with events in place of sleeps and clocks of the tests' own."""

from __future__ import annotations

import math
import signal
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.system.threads import Heartbeats, Latest, StuckThreadError, Worker, join_all, wait_for_stop

LONG = 10.0


def must_not_fail(name: str, exc: BaseException) -> None:
    raise AssertionError(f"{name} was not expected to fail: {exc!r}")


def wait(stop: threading.Event) -> None:
    stop.wait(LONG)


def test_a_signal_that_another_thread_has_taken_ends_the_wait() -> None:
    stop, waits = threading.Event(), threading.Event()

    def take() -> None:
        waits.wait(LONG)
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: stop.set())
    thread = threading.Thread(target=take)
    thread.start()
    waits.set()
    wait_for_stop(stop, look_s=0.01)
    thread.join(LONG)
    signal.signal(signal.SIGUSR1, before)
    assert stop.is_set()


def test_the_newest_item_wins_and_replaced_ones_are_counted() -> None:
    slot = Latest[int]()
    assert all(slot.put(n) for n in range(5))
    assert slot.get(0) == 4
    assert slot.get(0) is None
    assert slot.dropped == 4


@settings(deadline=None, max_examples=50)
@given(st.lists(st.booleans(), max_size=40))
def test_every_item_is_taken_dropped_or_still_there(moves: list[bool]) -> None:
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

    worker = Worker("offer", offer, must_not_fail)
    worker.start()
    taken = []
    while not slot.finished:
        item = slot.get(LONG)
        if item is not None:
            taken.append(item)
    assert taken == list(range(500))
    assert slot.dropped == 0
    assert worker.join(LONG)


def test_a_taker_can_wait_for_other_events_on_the_same_condition() -> None:
    slot, other = Latest[int](), threading.Event()

    def notify(_stop: threading.Event) -> None:
        with slot.changed:
            other.set()
            slot.changed.notify_all()

    worker = Worker("notify", notify, must_not_fail)
    with slot.changed:
        worker.start()
        assert slot.changed.wait_for(lambda: slot.waiting or other.is_set(), LONG)
    assert not slot.waiting
    slot.put(1)
    assert slot.waiting


def test_close_wakes_a_waiting_put_and_counts_its_item() -> None:
    slot = Latest[int](lossless=True)
    slot.put(1)
    answers: list[bool] = []
    worker = Worker("put", lambda _stop: answers.append(slot.put(2)), must_not_fail)
    worker.start()
    slot.close()
    assert worker.join(LONG)
    assert answers == [False]
    assert slot.dropped == 1
    assert not slot.finished
    assert slot.get(0) == 1
    assert slot.finished


def test_close_wakes_a_waiting_get() -> None:
    slot = Latest[int]()
    answers: list[int | None] = []
    worker = Worker("get", lambda _stop: answers.append(slot.get(LONG)), must_not_fail)
    worker.start()
    slot.close()
    assert worker.join(LONG)
    assert answers == [None]
    assert slot.put(1) is False


def test_a_worker_reports_the_exception_that_ended_it() -> None:
    reported: list[tuple[str, BaseException]] = []

    def run(_stop: threading.Event) -> None:
        raise SystemExit(3)

    worker = Worker("capture", run, lambda name, exc: reported.append((name, exc)))
    worker.start()
    assert worker.join(LONG)
    assert [(name, type(exc)) for name, exc in reported] == [("capture", SystemExit)]


def test_all_workers_are_asked_to_stop_before_the_first_is_joined() -> None:
    second_stopped = threading.Event()
    ended: list[str] = []

    def first(stop: threading.Event) -> None:
        assert stop.wait(LONG)
        assert second_stopped.wait(LONG)
        ended.append("first")

    def second(stop: threading.Event) -> None:
        assert stop.wait(LONG)
        second_stopped.set()

    bodies = {"first": first, "second": second, "unstarted": wait}
    workers = [Worker(name, body, must_not_fail) for name, body in bodies.items()]
    for worker in workers[:2]:
        worker.start()
    join_all(workers, LONG)
    assert ended == ["first"]


def test_workers_still_running_are_named_and_the_deadline_is_shared() -> None:
    release = threading.Event()
    workers = [Worker(name, lambda _stop: wait(release), must_not_fail) for name in ("capture", "publisher")]
    for worker in workers:
        worker.start()
    ticks = iter([100.0, 105.1, 110.0])  # times at the begin, the first join and the second
    with pytest.raises(StuckThreadError, match=r"5 s after .*: capture, publisher") as caught:
        join_all(workers, 5.0, lambda: next(ticks))
    assert caught.value.names == ("capture", "publisher")
    release.set()
    assert all(worker.join(LONG) for worker in workers)


def test_the_age_of_a_heartbeat_is_infinite_before_the_first_beat() -> None:
    now = 100.0
    heart = Heartbeats(lambda: now)
    assert heart.age("frames") == math.inf
    heart.beat("frames")
    now = 103.5
    heart.beat("inference")
    assert heart.age("frames") == 3.5
    assert heart.age("inference") == 0.0
