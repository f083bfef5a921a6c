"""The pool of engines: turns, a bounded queue, work that nobody waits for any more, the end."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_app.http.problems import RefusalError
from edge_app.serve.engines import Engines

pytestmark = pytest.mark.servers


@contextmanager
def blocked(room: int) -> Iterator[tuple[Engines, threading.Event]]:
    """Yield one engine that is busy until the event is set."""
    engines, busy, free = Engines(1, room), threading.Event(), threading.Event()

    def work(_number: int) -> None:
        busy.set()
        free.wait(30)

    first = engines.submit("first", work)
    assert busy.wait(30)
    try:
        yield engines, free
    finally:
        free.set()
        first.result(30)
        engines.close()


def test_work_has_the_number_of_its_thread_and_faults_reach_whoever_waits() -> None:
    engines = Engines(2, 100)
    numbers = {future.result(30) for future in [engines.submit("a", lambda number: number) for _ in range(50)]}
    assert numbers <= {0, 1}
    failing = engines.submit("a", lambda number: 1 // (number - number))
    with pytest.raises(ZeroDivisionError):
        failing.result(30)
    assert engines.submit("a", lambda _number: "goes on").result(30) == "goes on"
    assert engines.healthy
    engines.close()
    assert not engines.healthy


def test_a_full_queue_is_refused_with_the_seconds_to_wait() -> None:
    with blocked(room=2) as (engines, _free):
        for _ in range(2):
            engines.submit("a", lambda _number: None)
        with pytest.raises(RefusalError) as refused:
            engines.submit("a", lambda _number: None)
        assert refused.value.status == 503
        assert refused.value.retry_after_s
        assert 1 <= refused.value.retry_after_s <= 60


def test_a_flood_of_one_client_neither_delays_nor_refuses_another() -> None:
    order: list[str] = []
    with blocked(room=4) as (engines, free):
        flood = [engines.submit("flood", lambda _number: order.append("flood")) for _ in range(4)]
        other = engines.submit("other", lambda _number: order.append("other"))
        with pytest.raises(RefusalError):
            flood[-1].result(30)
        free.set()
        other.result(30)
        flood[-2].result(30)
    assert order == ["flood", "other", "flood", "flood"]


def test_large_work_of_one_client_leaves_an_engine_to_others() -> None:
    now, order = [0.0], []
    engines, held, release = Engines(2, 100, lambda: now[0]), threading.Event(), threading.Event()

    def large(_number: int) -> None:
        order.append("large")
        now[0] += 100.0
        release.wait(30)

    release.set()
    engines.submit("large", large).result(30)  # so much is expected of its next ones
    release.clear()
    holders = [engines.submit("holder", lambda _number: held.wait(30)) for _ in range(2)]
    many = [engines.submit("large", large) for _ in range(4)]
    few = [engines.submit("small", lambda _number: order.append("small")) for _ in range(3)]
    held.set()
    for holder in holders:
        assert holder.result(30)
    for one in few:
        one.result(30)
    before = order[: len(order) - order[::-1].index("small")]  # once no small one waits, both engines may go on
    assert before.count("large") <= 2  # the one before, and one of the four
    release.set()
    for one in many:
        one.result(30)
    engines.close()


def test_cancelled_work_is_never_begun() -> None:
    done: list[int] = []
    with blocked(room=4) as (engines, free):
        gone = engines.submit("a", lambda _number: done.append(1))
        last = engines.submit("a", lambda _number: done.append(2))
        assert gone.cancel()
        free.set()
        last.result(30)
    assert done == [2]


def test_what_waits_at_the_end_is_refused() -> None:
    with blocked(room=4) as (engines, free):
        waiting = engines.submit("a", lambda _number: None)
        closing = threading.Thread(target=engines.close)
        closing.start()
        with pytest.raises(RefusalError, match="stopping"):
            waiting.result(30)
        with pytest.raises(RefusalError, match="stopping"):
            engines.submit("a", lambda _number: None)
        free.set()
        closing.join(30)
