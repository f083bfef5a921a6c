"""Measure headway, occupancy and queue of a road whose traffic is known, with geometries as wrong as a person's.

    python -m tests.trials.lanes [--vehicles 120] [--geometries 5] [--view near]

Prints for each view, with geometries and without one: of how many vehicles the arrival was told, how far headways and
the times for which single vehicles cover the line are off, and the sums of occupancy and queue beside the truth.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from edge_app.measures.ground import Geometry
from edge_app.measures.lane_line import LaneLine
from edge_app.measures.meters import LineSums, Meters
from edge_app.measures.passages import Passages
from edge_app.measures.spans import Spans
from edge_app.measures.track_looks import TrackLooks
from edge_app.records import FrameResult
from tests.support.road_lanes import LANES, VIEWS, LaneView, passages, queue, traffic
from tests.support.road_scene import BEGIN, watched

Truth = Sequence[Sequence[tuple[float, float]]]
"""Lane by lane s at which each front came to the line and each rear left it."""
_NEAR_S = 1.0
"""Time, s, around the true passage within which what is told belongs to it."""


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """Errors of single vehicles, s, beside the true value, s. told: share of the vehicles whose arrival is told."""

    told: float
    headways: Sequence[tuple[float, float]]
    covered: Sequence[tuple[float, float]]


def single(view: LaneView, results: Sequence[FrameResult], geometry: Geometry | None, true: Truth) -> Errors:
    """Return how far single vehicles are off."""
    size = (view.camera.width, view.camera.height_px)
    plane, drawn = geometry.plane(size) if geometry else None, view.line()
    line = LaneLine(drawn, drawn.lanes or (), size, plane)
    following, looks = Passages(plane, {"stop": line}), TrackLooks()
    covers, fronts = [Spans() for _ in LANES], [set[float]() for _ in LANES]
    for result in results:
        looks.observe(result)
        for cover in following.observe(result, looks):
            covers[cover.lane - 1].add(cover.start - BEGIN, cover.end - BEGIN)
            for track in looks:
                if (arrival := following.arrival(track, "stop")) is not None:
                    fronts[arrival.lane - 1].add(arrival.at - BEGIN)
    headways, times, found = [], [], 0
    for lane, vehicles in enumerate(true):
        fronts_in_order = np.array(sorted(fronts[lane]))
        nearest = [float(fronts_in_order[np.abs(fronts_in_order - came).argmin()]) for came, _ in vehicles]
        told = [abs(at - came) < _NEAR_S for at, (came, _) in zip(nearest, vehicles, strict=True)]
        found += sum(told)
        rows = list(zip(nearest, told, vehicles, strict=True))
        for (at, known, before), (later, known_too, after) in pairwise(rows):
            if known and known_too:
                headways.append((later - at - (after[0] - before[0]), after[0] - before[0]))
        for came, left in vehicles:
            near = Spans()
            near.add(came - _NEAR_S / 2, left + _NEAR_S / 2)
            times.append((covers[lane].common(near) - (left - came), left - came))
    return Errors(found / sum(map(len, true)), headways, times)


def sums(view: LaneView, results: Sequence[FrameResult], geometry: Geometry | None) -> LineSums:
    """Return what is told of the whole time."""
    meters = Meters([view.line()], geometry)
    for result in results:
        meters.observe(result)
    meters.finish()
    return meters.take(float("inf"))["stop"]


def _median(errors: Sequence[tuple[float, float]]) -> str:
    wrong, true = np.abs(np.array(errors)).T
    signed = np.median([error / value for error, value in errors])
    return f"median {np.median(wrong):.3f} s, {np.median(wrong / true):.1%} (in the mean direction {signed:+.1%})"


def report(name: str, vehicles: int, geometries: int, seed: int) -> None:
    """Print the figures of one view."""
    view = VIEWS[name]
    trips = traffic(view, vehicles, seed)
    until = max(float(trip.driven.times[-1]) for trip in trips)
    results = list(watched(view.camera, [trip.driven for trip in trips], [view.line()], until, seed))
    true = passages(view, trips)
    counted = sum(len(result.crossings) for result in results)
    print(f"{name}: {sum(map(len, true))} vehicles in {until:.0f} s, {counted} counted")
    rng = np.random.default_rng(seed)
    several = [single(view, results, view.geometry(rng), true) for _ in range(geometries)]
    print(f"  arrival told of {np.mean([one.told for one in several]):.0%}")
    print(f"  headway: {_median([error for one in several for error in one.headways])}")
    print(f"  time on the line: {_median([error for one in several for error in one.covered])}")
    occupied = [sum(left - came for came, left in lane) for lane in true]
    for index in range(geometries):
        told = sums(view, results, view.geometry(np.random.default_rng(seed + index)))
        assert told.occupancy is not None
        assert told.queue is not None
        shares = [told.occupancy[lane].occupied_s / s - 1 for lane, s in enumerate(occupied, 1)]
        print(f"  occupied_s of the lanes {shares[0]:+.1%}, {shares[1]:+.1%}; queue {told.queue}")
    print(f"  true queue {queue(view, trips, until)}")
    picture = single(view, results, None, true)
    print(f"  without geometry: arrival told of {picture.told:.0%}, headway {_median(picture.headways)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=120, help="a view (default 120)")
    parser.add_argument("--geometries", type=int, default=5, help="a view (default 5)")
    parser.add_argument("--view", default="", help="only views with this in their name")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for name in VIEWS:
        if arguments.view in name:
            report(name, arguments.vehicles, arguments.geometries, arguments.seed)


if __name__ == "__main__":
    main()
