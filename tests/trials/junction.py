"""Measure turning flows at a junction whose vehicles queue at lights, turn, and hide one another.

    python -m tests.trials.junction [--vehicles 500] [--seed 1]

Prints for each pair of arms how many vehicles drove that way and were told to; then the share of vehicles with both
lines right, those of which one line is missing, and whether entered = flows + entered_only in all.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator

import numpy as np

from edge_app.measures.flows import FlowSums
from edge_app.measures.meters import Meters
from edge_app.records import FrameResult, Line
from tests.support.road_camera import RoadCamera
from tests.support.road_scene import watched
from tests.support.road_traffic import ARMS, Trip, drive, junction, phases

MIDDLE = np.array((10.0, 24.0))
CAMERA = RoadCamera(1280, 720, 700, 9.0, 17, 22.6, fps=10)
"""On a pole at a corner, 26 m from the middle."""
NAMES = ("near", "right", "far", "left")
_AT, _SIDE, _UP = 7.5, 7.0, 1.2
"""Lines: m from the middle, half their length, and the height at which the middles of vehicles pass."""
_GREEN_S, _CLEAR_S, _PER_S = 12.0, 4.0, 0.08


def arms() -> tuple[Line, ...]:
    """Return the lines as a person draws them, across the middles of the vehicles; whoever enters goes to the right."""
    size, found = np.array([CAMERA.width, CAMERA.height_px]), []
    for name, out in zip(NAMES, ARMS, strict=True):
        right = np.array([out[1], -out[0]]) * _SIDE
        ends = np.stack([MIDDLE + out * _AT - right, MIDDLE + out * _AT + right])
        (x0, y0), (x1, y1) = (CAMERA.project(np.column_stack([ends, np.full(2, _UP)])) / size).tolist()
        found.append(Line(name, (x0, y0), (x1, y1), enters="left_to_right"))
    return tuple(found)


def ways(trips: list[Trip]) -> Counter[tuple[str, str]]:
    """Return the number of vehicles that truly drove from one arm to another."""
    plan, ends = junction((0.0, 0.0)), ARMS * 45.0
    to = [int(np.hypot(*(ends - way.points[-1]).T).argmin()) for way in plan]
    return Counter((NAMES[plan[trip.way].arm], NAMES[to[trip.way]]) for trip in trips)


def told(results: Iterator[FrameResult]) -> FlowSums:
    """Return what is told of all frames."""
    meters = Meters(arms(), None)
    for result in results:
        meters.observe(result)
    meters.finish()
    assert meters.flows is not None
    return meters.flows.take(float("inf"))


def pairs(sums: FlowSums) -> Counter[tuple[str, str]]:
    """Return the number of vehicles told to have driven from one arm to another."""
    return Counter({(origin, to): n.total() for origin, row in sums.flows.items() for to, n in row.items()})


def run(vehicles: int, seed: int) -> tuple[Counter[tuple[str, str]], FlowSums]:
    """Return the true ways of so many vehicles and what is told of them."""
    rng = np.random.default_rng(seed)
    trips = drive(junction((10.0, 24.0)), vehicles, _PER_S, rng, green=phases(len(ARMS), _GREEN_S, _CLEAR_S))
    until = max(float(trip.driven.times[-1]) for trip in trips)
    return ways(trips), told(watched(CAMERA, [trip.driven for trip in trips], arms(), until, seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=500, help="default 500")
    parser.add_argument("--seed", type=int, default=1, help="of the traffic and of the detector's faults")
    arguments = parser.parse_args()
    true, sums = run(arguments.vehicles, arguments.seed)
    found = pairs(sums)
    for pair in sorted(true | found):
        print(f"{pair[0]:>6} to {pair[1]:6} true {true[pair]:4}  told {found[pair]:4}")
    three = (sums.entered, sums.entered_only, sums.left_only)
    entered, only, left = (sum(n.total() for n in one.values()) for one in three)
    right = (true & found).total()
    print(f"both lines right: {right} of {true.total()} ({right / true.total():.1%}); {left} left only")
    print(f"entered {entered} = flows {found.total()} + entered only {only}: {entered == found.total() + only}")


if __name__ == "__main__":
    main()
