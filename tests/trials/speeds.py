"""Measure speeds of vehicles whose true speed is known, with geometries as wrong as a person's.

    python -m tests.trials.speeds [--vehicles 1200] [--percentiles 100] [--view near]

Prints for each view and band of speeds how many were measured, how wrong they are and how many of them lie within the
stated error (it should be 68 %); then how far the 85th percentile of 200 vehicles is off; then two other ways to
tell where a vehicle stands on the road: the middle of the lower edge of its box, and the middle of the box.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edge_app.measures import footprint
from edge_app.measures.speed import Speed, slope
from edge_app.measures.speed_sums import BIN_KMH, percentile
from tests.support.road_camera import Array
from tests.support.road_passages import VIEWS, Passage, RoadView, passages

BANDS = (0, 30), (30, 60), (60, 200)
WAYS: dict[str, Callable[[Passage], Array]] = {
    "solid of its class": lambda p: footprint.places(p.plane, p.boxes, footprint.SOLIDS[p.solid.label], p.heading),
    "lower edge": lambda p: p.plane.on_road(footprint.lower_edges(p.boxes)),
    "middle": lambda p: p.plane.on_road(
        np.stack([p.boxes[:, ::2].mean(axis=1), p.boxes[:, 1::2].mean(axis=1)], axis=1)
    ),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One band of speeds. measured, mean, spread: shares; mean_kmh, spread_kmh: km/h. within: the stated error."""

    vehicles: int
    measured: float
    mean: float
    mean_kmh: float
    spread: float
    spread_kmh: float
    within: float


def row(found: Sequence[Passage], band: tuple[float, float]) -> Row:
    """Measure the vehicles of a band."""
    return row_of([(one.kmh, one.measure()) for one in found], band)


def row_of(found: Sequence[tuple[float, Speed | None]], band: tuple[float, float]) -> Row:
    """Return the row of a band. found: true speed, km/h, and measured one of each vehicle."""
    pairs = [(kmh, speed) for kmh, speed in found if band[0] <= kmh < band[1]]
    told = [(kmh, speed) for kmh, speed in pairs if speed is not None]
    if not told:
        return Row(len(pairs), *[0.0] * 6)
    errors = np.array([speed.kmh - kmh for kmh, speed in told])
    shares = errors / np.array([kmh for kmh, _ in told])
    stated = np.array([speed.error_kmh for _, speed in told])
    figures = shares.mean(), errors.mean(), shares.std(), errors.std(), (np.abs(errors) <= stated).mean()
    return Row(len(pairs), len(told) / len(pairs), *map(float, figures))


def line_of(one: Row, band: tuple[float, float]) -> str:
    """Return a row as text."""
    return (
        f"  {band[0]:3} to {band[1]:3} km/h: {one.vehicles} vehicles, {one.measured:.0%} measured, mean error "
        f"{one.mean:+.1%} ({one.mean_kmh:+.2f} km/h), deviation {one.spread:.1%} ({one.spread_kmh:.2f} km/h), "
        f"{one.within:.0%} within the stated error"
    )


def percentile_errors(view: RoadView, trials: int, seed: int, lengths: float) -> Array:
    """Return the error of the 85th percentile of 200 vehicles, as a share, of each geometry.

    lengths: share by which lengths are measured wrongly.
    """
    found = []
    for trial in range(trials):
        group = list(passages(view, 200, seed + trial, each=200, kmh=(25.0, 65.0), lengths=lengths))
        told = [speed.kmh for one in group if (speed := one.measure())]
        true = percentile(Counter(int(one.kmh // BIN_KMH) * BIN_KMH for one in group), 0.85)
        found.append(percentile(Counter(int(kmh // BIN_KMH) * BIN_KMH for kmh in told), 0.85) / true - 1)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vehicles", type=int, default=1200, help="a view (default 1200)")
    parser.add_argument("--view", default="", help="only views with this in their name")
    parser.add_argument("--percentiles", type=int, default=100, help="geometries a view (default 100), 0 for none")
    arguments = parser.parse_args()
    for name, view in VIEWS.items():
        if arguments.view not in name:
            continue
        print(name)
        found = list(passages(view, arguments.vehicles, seed=1, each=2))
        for band in BANDS:
            print(line_of(row(found, band), band))
        for lengths in (0.02, 0.01, 0.0) if arguments.percentiles else ():
            errors = percentile_errors(view, arguments.percentiles, 1000, lengths)
            within = f"{np.mean(np.abs(errors) <= 0.03):.0%} of geometries within 3 % (deviation {errors.std():.1%})"
            print(f"  85th percentile of 200 vehicles, lengths right to {lengths:.0%}: {within}")
        for way, places in WAYS.items():
            shares = [np.hypot(*slope(p.times, places(p))) * 3.6 / p.kmh - 1 for p in found if len(p.times) > 9]
            print(f"  {way}: mean {np.nanmean(shares):+.1%}, deviation {np.nanstd(shares):.1%}")


if __name__ == "__main__":
    main()
