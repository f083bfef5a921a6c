"""The queue gives clients turns, never grows beyond its room, and loses nothing silently."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.serve.fair_queue import FairQueue

pytestmark = pytest.mark.servers


def test_a_client_with_one_item_waits_for_one_of_another() -> None:
    queue: FairQueue[str] = FairQueue(10)
    for n in range(5):
        assert queue.put("many", f"many {n}") is None
    assert queue.put("one", "one 0") is None
    assert [queue.take() for _ in range(3)] == ["many 0", "one 0", "many 1"]


def test_a_full_queue_refuses_its_longest_client_and_makes_room_for_others() -> None:
    queue: FairQueue[str] = FairQueue(3)
    for n in range(3):
        queue.put("many", f"many {n}")
    assert queue.put("many", "many 3") == "many 3"
    assert queue.put("one", "one 0") == "many 2"
    assert [queue.take() for _ in range(4)] == ["many 0", "one 0", "many 1", None]


def test_clients_get_equal_time_and_not_equal_turns() -> None:
    queue: FairQueue[str] = FairQueue(100)
    for _ in range(30):
        queue.put("large", "large")
        queue.put("small", "small")
    costs, order = {"large": 0.5, "small": 0.1}, []
    for _ in range(24):
        order.append(client := queue.take() or "")
        queue.charge(client, costs[client])
    assert order.count("small") == 5 * order.count("large")


def test_time_is_not_saved_up_by_a_client_that_is_away() -> None:
    queue: FairQueue[str] = FairQueue(100)
    for _ in range(40):
        queue.put("busy", "busy")
    for _ in range(20):
        queue.charge(queue.take() or "", 1.0)
    for _ in range(20):
        queue.put("back", "back")
    order = []
    for _ in range(10):
        order.append(client := queue.take() or "")
        queue.charge(client, 1.0)
    assert order.count("back") <= 6


@given(st.integers(1, 6), st.lists(st.one_of(st.none(), st.sampled_from("abc")), max_size=80))
def test_every_item_is_taken_or_given_back_once_and_in_order(room: int, steps: list[str | None]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue(room)
    put, taken, dropped = [], [], []
    for number, client in enumerate(steps):
        if client is None:
            taken.append(queue.take())
        else:
            put.append((client, number))
            dropped.append(queue.put(client, (client, number)))
        assert len(queue) <= room
    taken += iter(queue.take, None)
    out = [item for item in (*taken, *dropped) if item]
    assert sorted(out, key=str) == sorted(put, key=str)
    for client in "abc":
        numbers = [item[1] for item in taken if item and item[0] == client]
        assert numbers == sorted(numbers)
