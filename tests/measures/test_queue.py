"""Test which vehicles stand in the queue of a line, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_app.measures.queue import Polygon, Queue, QueueSums
from edge_app.records import Tracks
from tests.support.road_camera import RoadCamera

SIZE = (1280, 720)
LEFT_HALF = [(0.0, 0.0), (0.5, 1.0)]


def tracks(places: Mapping[int, tuple[float, float]]) -> Tracks:
    """Return tracks with a box of 80x60 px whose lower edge has its middle at a place, px."""
    boxes = np.array([(x - 40, y - 60, x + 40, y) for x, y in places.values()], np.float32).reshape(-1, 4)
    n, pairs = len(places), np.zeros((len(places), 2), np.float32)
    return Tracks(
        ids=np.array(list(places), np.int64),
        boxes=boxes,
        centroids=pairs,
        velocities=pairs,
        classes=np.zeros(n, np.int16),
        scores=np.ones(n, np.float32),
        seen=np.ones(n, np.bool_),
        origins=pairs,
        born=np.zeros(n),
        first_seen=np.zeros(n),
    )


def fed(
    way: Callable[[float], Mapping[int, tuple[float, float]]], until: float, unseen: frozenset[int] = frozenset()
) -> Queue:
    queue = Queue(LEFT_HALF)
    for index in range(int(until * 10) + 1):
        queue.feed(index / 10, tracks(way(index / 10)), SIZE, None, unseen=index in unseen)
    return queue


def test_who_stands_in_the_region_for_a_second_is_in_the_queue() -> None:
    queue = fed(lambda _: {1: (300, 400), 2: (900, 400)}, 11.0)
    assert astuple(queue.take(100)) == pytest.approx((10.0, 10.0, 1), abs=0.25)


def test_vehicle_seconds_and_the_most_at_a_time() -> None:
    queue = fed(lambda time: {1: (300, 400), 2: (450, 400)} if time < 6 else {1: (300, 400)}, 11.0)
    assert astuple(queue.take(100)) == pytest.approx((15.0, 10.0, 2), abs=0.5)


def test_without_geometry_half_a_box_a_second_is_the_limit() -> None:
    assert fed(lambda time: {1: (100 + 36 * time, 400)}, 8.0).take(100).most == 1
    assert fed(lambda time: {1: (100 + 44 * time, 400)}, 8.0).take(100) == QueueSums(0, 0, 0)


@pytest.mark.parametrize(("kmh", "most"), [(2.5, 1), (3.5, 0)])
def test_on_the_road_the_limit_is_3_kmh(kmh: float, most: int) -> None:
    camera = RoadCamera(*SIZE, 900, 6, 18)
    corners = np.array([[-2.0, 10], [2, 10], [2, 22], [-2, 22]])
    plane, queue = camera.plane(corners), Queue([(0.0, 0.0), (1.0, 1.0)])
    for index in range(50):
        place = np.array([[0.0, 12 + kmh / 3.6 * index / 10, 0.0]])
        x, y = camera.project(place)[0].tolist()
        queue.feed(index / 10, tracks({1: (x, y)}), SIZE, plane, unseen=False)
    assert queue.take(100).most == most


def test_time_is_cut_where_it_is_taken_and_unseen_time_is_none() -> None:
    queue = fed(lambda _: {1: (300, 400)}, 11.0)
    first, second = queue.take(6.0), queue.take(100)
    assert first.vehicle_s == pytest.approx(5.0, abs=0.25)
    assert first.vehicle_s + second.vehicle_s == pytest.approx(10.0, abs=0.25)
    gone = fed(lambda _: {1: (300, 400)}, 11.0, unseen=frozenset(range(40, 60))).take(100)
    assert gone.vehicle_s == pytest.approx(8.0, abs=0.5)


@given(st.lists(st.tuples(st.floats(-1, 2), st.floats(-1, 2)), min_size=1))
def test_a_rectangle_holds_what_lies_between_its_edges(points: list[tuple[float, float]]) -> None:
    corners = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
    for point, found in zip(points, Polygon(corners).holds(np.array(points)), strict=True):
        if not {0.0, 1.0} & set(point):
            assert found == (0 < point[0] < 1 and 0 < point[1] < 1)
