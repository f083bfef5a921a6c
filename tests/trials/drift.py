"""Simulate years of one camera, without a change and with one, and see when `edge_app.drift` tells it.

`python -m tests.trials.drift [--runs 200] [--years 1] [--seed 1]` prints the false alarms of a device-year, and for
each change the days until it is told and what as. A world is a road and a sky: traffic with day curves, weekdays,
holidays and weeks that hang together, light by the height of the sun, weather by the day. Changes are made to the lens,
the sensor, the road or the share of vehicles that is found; nothing here knows how a detector works or what is tested.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.console.terminal import bar, stdout, table
from edge_app.drift.baseline import WEEK
from edge_app.drift.collecting import HOUR_S, Passed, hour_of
from edge_app.drift.judge import Drift
from edge_app.drift.signals import Hour, Kind

_DAYS: Final = 365
_AT: Final = 150
"""Day on which a change begins."""
Series: TypeAlias = NDArray[np.float64]


@dataclass(slots=True)
class World:
    """What is there, hour by hour; a change alters it before anything is measured.

    vehicles: that pass. found: share of them that is counted. light, haze: 0..1. clear: share of fine detail that the
    lens lets through. gain: noise of the sensor. near: size of vehicles. sure: added to the detector's scores.
    """

    vehicles: Series
    found: Series
    light: Series
    haze: Series
    clear: Series
    gain: Series
    near: Series
    sure: Series


Change: TypeAlias = Callable[[World, Series], None]
"""Function that alters a world; its second argument is 0 before the change and rises by 1 a day from then on."""


def _from(rate: float, days: Series, over: float = 0.0) -> Series:
    """Return 0 before the change, `rate` after it, reached within `over` days."""
    after: Series = np.clip(days / over, 0, 1) if over else (days > 0).astype(np.float64)
    return rate * after


def dirt(world: World, days: Series) -> None:
    world.clear *= 1 - _from(0.25, days, 30)
    world.found *= 1 - _from(0.05, days, 30)


def knocked(world: World, days: Series) -> None:
    """The focus ring slips."""
    world.clear *= 1 - _from(0.15, days)
    world.sure -= _from(0.03, days)


def failing_sensor(world: World, days: Series) -> None:
    world.gain *= 1 + _from(0.4, days, 60)


def missed(share: float) -> Change:
    def change(world: World, days: Series) -> None:
        world.found *= 1 - _from(share, days)

    return change


def other_vehicles(world: World, days: Series) -> None:
    """Vehicles that were never learnt: scores fall, boxes fit worse."""
    world.sure -= _from(0.06, days, 20)


def road_works(world: World, days: Series) -> None:
    world.vehicles *= 1 - _from(0.4, days)


def new_estate(world: World, days: Series) -> None:
    world.vehicles *= 1 + _from(0.35, days, 10)


def match(world: World, days: Series) -> None:
    """A single evening with three times the traffic."""
    world.vehicles *= np.where((days > 0.7) & (days < 0.95), 3.0, 1.0)


CHANGES: Final[Mapping[str, tuple[Change | None, frozenset[Kind]]]] = {
    "lens gets dirty, 25 % in 30 days": (dirt, frozenset({"data"})),
    "focus slips, 15 %": (knocked, frozenset({"data"})),
    "sensor fails, noise + 40 % in 60 days": (failing_sensor, frozenset({"data"})),
    "10 % of the vehicles are missed": (missed(0.10), frozenset({"model"})),
    "20 % of the vehicles are missed": (missed(0.20), frozenset({"model"})),
    "50 % of the vehicles are missed": (missed(0.50), frozenset({"model"})),
    "90 % of the vehicles are missed": (missed(0.90), frozenset({"model"})),
    "nothing is found any more": (missed(1.0), frozenset({"model"})),
    "20 % are missed, street of 20/h": (missed(0.20), frozenset({"model"})),
    "95 % are missed, street of 20/h": (missed(0.95), frozenset({"model"})),
    "vehicles of another kind": (other_vehicles, frozenset({"model"})),
    "road works, 40 % less traffic": (road_works, frozenset({"traffic"})),
    "new estate, 35 % more in 10 days": (new_estate, frozenset({"traffic"})),
    "one evening with three times the traffic": (match, frozenset()),
}
"""What is changed -> how, and as what it shall be told."""
_PEAKS: Final = {name: 20.0 for name in CHANGES if name.endswith("street of 20/h")}
"""Vehicles of a busy hour, where it is no street of any size."""


def _together(rng: np.random.Generator, many: int, keeps: float, spread: float) -> Series:
    """Return a sequence of days of which each keeps a part of the day before (AR(1))."""
    steps, values = rng.normal(0, spread * np.sqrt(1 - keeps**2), many), np.zeros(many)
    values[0] = rng.normal(0, spread)
    for day in range(1, many):
        values[day] = keeps * values[day - 1] + steps[day]
    return values


def world_of(rng: np.random.Generator, days: int, peak: float | None = None) -> World:
    """Return years of a road: anywhere between quiet and busy, from the tropics to the north.

    peak: vehicles of an hour where it is busy.
    """
    hours = np.arange(days * 24)
    day, hour = hours // 24, hours % 24
    weekday = (day + int(rng.integers(7))) % 7
    latitude, first = np.radians(rng.uniform(0, 60)), int(rng.integers(365))
    declination = np.radians(23.4) * np.sin(2 * np.pi * (day + first) / 365)
    height = np.sin(latitude) * np.sin(declination) - np.cos(latitude) * np.cos(declination) * np.cos(np.pi * hour / 12)
    light = np.clip(0.12 + 1.3 * np.clip(height, -0.1, 0.5), 0.08, 0.75)
    rush = np.exp(-(((hour - 8) / 2.0) ** 2)) + 1.1 * np.exp(-(((hour - 17) / 2.5) ** 2))
    leisure = np.exp(-(((hour - 14) / 4.5) ** 2))
    curve = 0.03 + np.where(weekday < 5, rush + 0.5 * leisure, 0.85 * leisure)
    holiday = np.zeros(days)
    for begin in rng.integers(0, days, 3):
        holiday[begin : begin + int(rng.integers(5, 16))] = -0.2
    for single in rng.integers(0, days, 10):
        holiday[single] = -0.5
    of_day = _together(rng, days, 0.5, 0.05) + holiday + 0.1 * np.sin(2 * np.pi * (np.arange(days) + first) / 365)
    busy = rng.uniform(60, 900)
    vehicles = (peak or busy) * curve * np.exp(of_day)[day] * np.exp(rng.normal(0, 0.08, len(hours)))
    haze = np.clip(np.abs(_together(rng, days, 0.6, 0.25)), 0, 0.9)[day] * np.exp(rng.normal(0, 0.3, len(hours)))
    ones = np.ones(len(hours))
    found = 0.96 * ones - 0.03 * (light < 0.15)
    return World(vehicles, found, light, np.clip(haze, 0, 1), ones.copy(), ones.copy(), ones.copy(), 0 * ones)


def hours_of(world: World, rng: np.random.Generator) -> Iterator[Hour]:
    """Measure a world. Hours in which the device was off are absent."""
    many, noise = len(world.light), rng.normal
    passed = rng.poisson(world.vehicles)
    counted = rng.binomial(passed, np.clip(world.found * (1 - 0.04 * world.haze), 0, 1))
    moving = passed * np.exp(noise(0, 0.05, many)) * (1 + 0.1 * world.haze) + rng.poisson(1.0, many)
    seen = np.maximum(counted, 1)
    dark = world.light < 0.15
    score = (
        0.78
        - 0.08 * dark
        - 0.06 * world.haze
        - 0.25 * (1 - world.clear)
        + world.sure
        + noise(0, 0.12, many) / np.sqrt(seen)
    )
    unsure = np.clip(0.06 + 0.08 * dark + 0.05 * world.haze - 0.8 * world.sure + 0.3 * (1 - world.clear), 0.005, 0.9)
    died = np.clip(0.05 + 0.06 * dark + 0.03 * world.haze - 0.4 * world.sure + 0.15 * (1 - world.clear), 0.005, 0.9)
    values = {
        "brightness": 255 * world.light * (1 - 0.2 * world.haze) * np.exp(noise(0, 0.05, many)),
        "contrast": 40
        * (1 - 0.5 * world.haze)
        * (0.6 + 0.5 * world.light)
        * (0.3 + 0.7 * world.clear)
        * np.exp(noise(0, 0.04, many)),
        "sharpness": 0.8 * world.clear * (1 - 0.15 * world.haze) * (1 - 0.15 * dark) * np.exp(noise(0, 0.02, many)),
        "noise": 1.5 * world.gain * (1 + 1.5 * dark) * np.exp(noise(0, 0.05, many)),
        "score": score,
        "unsure": rng.binomial(seen, unsure) / seen,
        "size": 60 * world.near * np.exp(noise(0, 0.25, many) / np.sqrt(seen)),
        "track_s": 3.0 * (1 - 0.1 * world.haze) * np.exp(noise(0, 0.3, many) / np.sqrt(seen)),
        "died": rng.binomial(seen, died) / seen,
    }
    off = np.zeros(many, bool)
    for begin in rng.integers(0, many, 6):
        off[begin : begin + int(rng.integers(2, 60))] = True
    for n in np.flatnonzero(~off).tolist():
        passes = Passed(int(counted[n]), int(counted[n]), float(moving[n]))
        found = {name: float(column[n]) for name, column in values.items()}
        if hour := hour_of((n // 24, n % WEEK), HOUR_S, passes, found):
            yield hour


@dataclass(frozen=True, slots=True)
class Run:
    """What was told in a run. alarms: day and kinds, where they changed to more."""

    alarms: tuple[tuple[int, frozenset[Kind]], ...]


def run(seed: int, change: Change | None, days: int, peak: float | None = None) -> Run:
    """Return what is told of a world. peak: as for `world_of`."""
    rng = np.random.default_rng(seed)
    world = world_of(rng, days, peak)
    if change:
        change(world, np.arange(days * 24) / 24 - _AT)
    drift, told, alarms = Drift(), frozenset[Kind](), list[tuple[int, frozenset[Kind]]]()
    for hour in hours_of(world, rng):
        if drift.add([hour]):
            now = drift.verdicts
            if now - told:
                alarms.append((hour.day, now))
            told = now
    return Run(tuple(alarms))


def _runs(task: str, seeds: range, change: Change | None, days: int) -> list[Run]:
    with bar(task, len(seeds)) as progress:
        runs = []
        for seed in seeds:
            runs.append(run(seed, change, days, _PEAKS.get(task)))
            progress.forward()
    return runs


def _row(name: str, runs: list[Run], wanted: frozenset[Kind]) -> tuple[str, ...]:
    first = [next(((day - _AT, told) for day, told in one.alarms if day >= _AT), None) for one in runs]
    delays = sorted(one[0] for one in first if one)
    right = sum(one is not None and one[1] == wanted for one in first) if wanted else first.count(None)
    return name, *(_within(share, delays, len(runs)) for share in (0.5, 0.9)), *_shares((len(delays), right), len(runs))


def _within(share: float, delays: list[int], runs: int) -> str:
    return f"{delays[int(share * runs) - 1]}" if len(delays) >= share * runs else "-"


def _shares(many: tuple[int, ...], runs: int) -> tuple[str, ...]:
    return tuple(f"{one / runs:.0%}" for one in many)


def main() -> int:
    """Print both tables; return 1 where there is more than one false alarm in a device-year."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--years", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + arguments.runs)
    quiet = _runs("no change", seeds, None, _DAYS * arguments.years)
    false = sum(len(one.alarms) for one in quiet)
    kinds = Counter(kind for one in quiet for _, told in one.alarms for kind in told)
    years = arguments.runs * arguments.years
    of_kinds = ", ".join(f"{many} {kind}" for kind, many in sorted(kinds.items()))
    stdout().print(f"no change: {false} alarms in {years} device-years, {false / years:.2f} a year ({of_kinds})")
    rows = table("change, told after days", "median", "90 %", "told", "right")
    for name, (change, wanted) in CHANGES.items():
        rows.add_row(*_row(name, _runs(name, seeds, change, _AT + 120), wanted))
    stdout().print(rows)
    return int(false > years)


if __name__ == "__main__":
    sys.exit(main())
