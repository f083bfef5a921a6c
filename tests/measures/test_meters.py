"""Test headway, occupancy, lanes and queue of a road whose traffic is known, the whole way through the tracker."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from edge_app.measures.headway import bin_of
from edge_app.measures.meters import Meters
from edge_app.measures.occupancy import LaneTime, Occupancy
from edge_app.records import FrameResult
from tests.support.road_lanes import VIEWS, passages, queue, traffic
from tests.support.road_scene import BEGIN, watched
from tests.trials import junction, lanes

NAME = "near, along the road, 1280x720 at 15/s"


@pytest.fixture(scope="module")
def seen() -> tuple[list[list[tuple[float, float]]], list[FrameResult]]:
    """Return the true passages of 8 vehicles, lane by lane, and what the pipeline finds."""
    view = VIEWS[NAME]
    trips = traffic(view, 8, 2)
    until = max(float(trip.driven.times[-1]) for trip in trips)
    results = list(watched(view.camera, [trip.driven for trip in trips], [view.line()], until, 2))
    return passages(view, trips), results


def test_headways_and_occupancy_are_those_of_the_road(
    seen: tuple[list[list[tuple[float, float]]], list[FrameResult]],
) -> None:
    true, results = seen
    told = lanes.sums(VIEWS[NAME], results, VIEWS[NAME].geometry(np.random.default_rng(2)))
    assert told.occupancy is not None
    assert told.headway is not None
    for lane, vehicles in enumerate(true, 1):
        occupied = sum(left - came for came, left in vehicles)
        assert told.occupancy[lane].occupied_s == pytest.approx(occupied, rel=0.1)
        assert told.occupancy[lane].seen_s == pytest.approx(results[-1].frame.monotonic - BEGIN, abs=0.2)
        exact = Counter(bin_of(after[0] - before[0]) for before, after in pairwise(vehicles))
        assert told.headway.get(lane, Counter()).total() == exact.total()
        assert (told.headway.get(lane, Counter()) - exact).total() <= 1, "at the edge of a bin it may be in the next"


def test_each_crossing_has_its_lane_and_its_speed(
    seen: tuple[list[list[tuple[float, float]]], list[FrameResult]],
) -> None:
    true, results = seen
    view = VIEWS[NAME]
    meters = Meters([view.line()], view.geometry(np.random.default_rng(2)))
    found = [one for result in results for one in meters.observe(result)] + meters.finish()
    assert [sum(one.lane == lane for one in found) for lane in (1, 2)] == [len(lane) for lane in true]
    assert all(one.speed is not None for one in found)


def test_without_geometry_there_are_headways_and_no_occupancy(
    seen: tuple[list[list[tuple[float, float]]], list[FrameResult]],
) -> None:
    true, results = seen
    told = lanes.sums(VIEWS[NAME], results, None)
    assert told.occupancy is None
    assert told.headway is not None
    assert sum(n.total() for n in told.headway.values()) == sum(len(lane) - 1 for lane in true)


def test_occupancy_leaves_out_what_was_not_seen_and_counts_two_vehicles_once() -> None:
    occupancy = Occupancy(2)
    occupancy.see(0, 10)
    occupancy.see(12, 20)
    occupancy.cover(1, 8, 13)
    occupancy.cover(1, 9, 14)
    assert occupancy.take(10) == {1: LaneTime(2, 10), 2: LaneTime(0, 10)}
    assert occupancy.take(30) == {1: LaneTime(2, 8), 2: LaneTime(0, 8)}


@pytest.mark.long
def test_turning_flows_of_a_junction_with_queues() -> None:
    true, sums = junction.run(12, 3)
    assert junction.pairs(sums) == true
    assert sum(n.total() for n in sums.entered.values()) == true.total()


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in VIEWS if "10/s" in name or "near" in name])  # the trial has all
def test_single_vehicles_are_measured(name: str) -> None:
    view = VIEWS[name]
    trips = traffic(view, 40, 1)
    until = max(float(trip.driven.times[-1]) for trip in trips)
    results = list(watched(view.camera, [trip.driven for trip in trips], [view.line()], until, 1))
    errors = lanes.single(view, results, view.geometry(np.random.default_rng(1)), passages(view, trips))
    assert errors.told >= 0.9
    for found in (errors.headways, errors.covered):
        wrong, exact = np.abs(np.array(found)).T
        assert np.median(wrong) <= 0.1
        assert np.median(wrong / exact) <= 0.1
    told = lanes.sums(view, results, view.geometry(np.random.default_rng(1))).queue
    vehicle_s, any_s, _ = queue(view, trips, until)
    assert told is not None
    assert told.any_s == pytest.approx(any_s, rel=0.25)
    assert told.vehicle_s <= 1.2 * vehicle_s


def test_a_camera_that_returns_with_another_size_loses_no_crossing(
    seen: tuple[list[list[tuple[float, float]]], list[FrameResult]],
) -> None:
    true, results = seen
    view = VIEWS[NAME]
    meters = Meters([view.line()], view.geometry(np.random.default_rng(2)))
    small, half = np.zeros((360, 640, 3), np.uint8), len(results) // 2
    later = [replace(one, frame=replace(one.frame, image=small)) for one in results[half:]]
    found = [one for result in [*results[:half], *later] for one in meters.observe(result)] + meters.finish()
    assert len(found) == sum(len(lane) for lane in true)
    assert meters.take(float("inf"))["stop"].headway is not None
