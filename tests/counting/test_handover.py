"""Vehicles that pass behind a post, a trunk or a mask on the line: each stays one, and no other is taken for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_app.records import Line
from tests.support.covers import hidden, joined, lopsided, post
from tests.support.trajectories import Sensor, Vehicle, count, driven, straight, track

LINE = Line("middle", (0.5, 0.98), (0.5, 0.02))
"""Upright: moving right is left_to_right."""
LENGTH = 0.15


def passing(since: float, seconds: float, y: float = 0.5) -> Vehicle:
    """Return a car that drives from the left end of the picture to the right one in so many seconds."""
    return replace(straight((-0.1, y), (1.1, y), since, since + seconds), size=(LENGTH, 0.12))


def directions(vehicles: list[Vehicle], sensor: Sensor, width: float, middle: float = 0.5) -> list[str]:
    """Return the directions counted with a post of this width, in lengths of a car, in front of the road."""
    shown = hidden(sensor.observe(vehicles, max(v.until for v in vehicles)), post(middle, width * LENGTH, sensor))
    return [crossing.direction for crossing in count(shown, LINE, sensor=sensor)]


@pytest.mark.parametrize("fps", [8, 20])
@pytest.mark.parametrize("seconds", [3.0, 6.0])
@pytest.mark.parametrize(
    ("width", "middle"), [(0.2, 0.5), (0.4, 0.48), (0.8, 0.5), (0.8, 0.53), (1.2, 0.5), (1.5, 0.5)]
)
def test_a_vehicle_behind_a_post_counts_once_under_one_identity(
    fps: float, seconds: float, width: float, middle: float
) -> None:
    vehicle, sensor = passing(0, seconds), Sensor(fps=fps, seed=round(fps * seconds))
    assert directions([vehicle], sensor, width, middle) == ["left_to_right"]
    shown = track(hidden(sensor.observe([vehicle], seconds), post(middle, width * LENGTH, sensor)))
    assert shown[-round(0.2 * fps) - 1].ids.tolist() == [1]


@pytest.mark.parametrize("width", [0.4, 0.8])
@pytest.mark.parametrize("seed", range(2))
def test_vehicles_one_behind_the_other_all_count_behind_a_post(width: float, seed: int) -> None:
    vehicles = [passing(0.9 * n, 5.0, y) for n in range(4) for y in (0.3, 0.6)]
    assert directions(vehicles, Sensor(seed=seed), width) == ["left_to_right"] * 8


@pytest.mark.parametrize("fps", [8, 15, 30])
def test_vehicles_that_meet_behind_a_post_count_in_their_own_directions(fps: float) -> None:
    there, back = passing(0, 4, 0.5), straight((1.1, 0.64), (-0.1, 0.64), 0, 4)
    found = directions([there, replace(back, size=there.size)], Sensor(fps=fps), 0.8)
    assert sorted(found) == ["left_to_right", "right_to_left"]


@pytest.mark.parametrize("pause", [2.0, 4.0])
def test_a_vehicle_that_goes_back_behind_a_post_and_one_that_comes_out_later_do_not_count(pause: float) -> None:
    """Longer than a second hidden, nobody knows which vehicle it is; one that drives back has not crossed."""
    goes_back = driven((0.0, (-0.1, 0.5)), (3.0, (0.5, 0.5)), (6.0, (-0.1, 0.5)))
    parked = driven((0.0, (0.5, 0.3)), (3.0 + pause, (0.5, 0.3)), (7.0 + pause, (1.1, 0.3)))
    vehicles = [replace(vehicle, size=(0.1, 0.12)) for vehicle in (goes_back, parked)]
    assert directions(vehicles, Sensor(), 1.2) == []


@pytest.mark.parametrize("at", [-0.3, 0.0, 0.3])
@pytest.mark.parametrize("post_at", [-0.15, 0.0, 0.15])
def test_a_vehicle_that_stops_behind_a_post_is_not_two(at: float, post_at: float) -> None:
    """at: where it stops, in lengths beyond the line; post_at: the post, in lengths beyond its middle."""
    place = 0.5 + at * LENGTH
    vehicle = driven((0.0, (-0.1, 0.5)), (3.0, (place, 0.5)), (6.0, (place, 0.5)), (9.0, (1.1, 0.5)))
    found = directions([replace(vehicle, size=(LENGTH, 0.12))], Sensor(fps=12), 0.15, place + post_at * LENGTH)
    assert found == ["left_to_right"]


@pytest.mark.parametrize("fps", [8, 15])
@pytest.mark.parametrize("seconds", [3.0, 5.0])
@pytest.mark.parametrize("width", [0.6, 1.0, 1.4])
def test_a_vehicle_whose_last_box_is_misshapen_is_still_one(fps: float, seconds: float, width: float) -> None:
    """The centre of such a box points away from the lane."""
    vehicle, sensor = passing(0, seconds), Sensor(fps=fps, seed=round(fps * seconds))
    shown = hidden(sensor.observe([vehicle], seconds), post(0.5, width * LENGTH, sensor))
    found = count(lopsided(shown, 0.6 * LENGTH * sensor.width), LINE, sensor=sensor)
    assert [crossing.direction for crossing in found] == ["left_to_right"]


@pytest.mark.parametrize("times", [1.5, 1.9])
@pytest.mark.parametrize("width", [0.8, 1.2])
def test_one_box_that_is_too_long_does_not_make_a_vehicle_longer(times: float, width: float) -> None:
    sensor = Sensor(fps=12)
    observed = sensor.observe([passing(0, 5.0)], 5.0)
    boxes = observed[20].detections.boxes
    boxes[0, 0] = boxes[0, 2] - times * (boxes[0, 2] - boxes[0, 0])
    found = count(hidden(observed, post(0.5, width * LENGTH, sensor)), LINE, sensor=sensor)
    assert [crossing.direction for crossing in found] == ["left_to_right"]


@pytest.mark.parametrize("seconds", [0.6, 0.85])
@pytest.mark.parametrize("lengths_per_s", [0.8, 1.6, 3.0])
@pytest.mark.parametrize("fps", [8, 15])
def test_a_vehicle_that_is_hidden_completely_for_nearly_a_second_counts(
    seconds: float, lengths_per_s: float, fps: float
) -> None:
    vehicle, sensor = passing(0, 1.2 / (lengths_per_s * LENGTH)), Sensor(fps=fps, seed=round(fps))
    assert directions([vehicle], sensor, 1 + seconds * lengths_per_s) == ["left_to_right"]


@pytest.mark.parametrize("at", [-0.2, 0.0])
@pytest.mark.parametrize("post_at", [-0.15, 0.0, 0.15])
@pytest.mark.parametrize("seed", range(2))
def test_a_vehicle_that_a_post_cuts_in_two_counts_once_though_its_boxes_join_and_part(
    at: float, post_at: float, seed: int
) -> None:
    place, sensor = 0.5 + at * LENGTH, Sensor(fps=12, noise=0.01, seed=seed)
    vehicle = driven((0.0, (-0.1, 0.5)), (3.0, (place, 0.5)), (6.0, (place, 0.5)), (9.0, (1.1, 0.5)))
    cover = post(place + post_at * LENGTH, 0.15 * LENGTH, sensor)
    shown = hidden(sensor.observe([replace(vehicle, size=(LENGTH, 0.12))], 9), cover)
    found = count(joined(shown, cover, seed), LINE, sensor=sensor)
    assert [crossing.direction for crossing in found] == ["left_to_right"]


@pytest.mark.parametrize("fps", [8, 15])
@pytest.mark.parametrize("starts", [0.35, 0.45])
def test_a_rider_who_shows_first_in_front_of_a_standing_lorry_counts(starts: float, fps: float) -> None:
    """All of the rider's box lies on the lorry's, until the rider leaves it beyond the line."""
    arrives = driven((0.0, (-0.2, 0.5)), (2.0, (0.45, 0.5)), (9.0, (0.45, 0.5)))
    rider = replace(straight((starts, 0.5), (1.1, 0.5), 4.0, 9.0), size=(0.05, 0.1), label="motorcycle")
    sensor = Sensor(fps=fps, noise=0.01)
    found = count(sensor.observe([replace(arrives, size=(0.3, 0.3)), rider], 9), LINE, sensor=sensor)
    assert [(crossing.direction, crossing.label) for crossing in found] == [("left_to_right", "motorcycle")]
