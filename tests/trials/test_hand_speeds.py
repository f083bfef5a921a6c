"""The readings of real vehicles are whole, and each is compared with the crossing that is its own."""

from __future__ import annotations

import pytest

from edge_app.measures.speed_meter import Measured
from edge_app.records import Crossing, Direction
from tests.trials.hand_speeds.__main__ import Vehicle, clips, pairs, vehicles

RIGHT: Direction = "left_to_right"
LEFT: Direction = "right_to_left"


@pytest.mark.parametrize("clip", clips(), ids=lambda clip: clip["clip"])
def test_both_readings_of_a_vehicle_agree(clip: dict[str, object]) -> None:
    read = vehicles(clip)
    assert len(read) > 5
    assert all(abs(one.kmh[0] - one.kmh[1]) <= 0.05 * one.speed for one in read)


def test_vehicles_side_by_side_are_told_apart_by_direction_and_time() -> None:
    read = [Vehicle(100, RIGHT, (50, 50)), Vehicle(103, RIGHT, (60, 60)), Vehicle(101, LEFT, (70, 70))]
    found = [_at(102, RIGHT), _at(101, RIGHT), _at(130, RIGHT), _at(104, LEFT)]
    assert pairs(read, found, rate=25.0) == {0: found[1], 1: found[0], 2: found[3]}


def _at(frame: int, direction: Direction) -> Measured:
    return Measured(Crossing(frame / 25, frame, frame, "car", "main", direction, 0.9), None)
