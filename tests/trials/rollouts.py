"""Simulate roll-outs of a candidate, and see which are stopped, where and after how many hours.

`python -m tests.trials.rollouts [--runs 200] [--devices 1000] [--seed 1]` prints for each candidate the share of
roll-outs that were stopped, at all and in the first group, after how many hours that was (median, and in 90 % of
them), the shares that were done and that waited for a person, and how long all took. A world is a fleet of streets
with traffic, light and weather; each vehicle is seen by both detectors, by one or by none. A candidate that is as
good as the one of before has its own weaknesses: it is better on some cameras and in some hours and worse on others.
Nothing here knows how a roll-out is judged. The exit code is 1 when an equal candidate is stopped too often, or a bad
one too rarely.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge_app.console.terminal import bar, stdout, table
from edge_app.records import VEHICLES
from edge_app.rollout.plan import Cascade, Progress, Seen, advance, groups
from edge_app.rollout.stop_rule import StopRule

Counts: TypeAlias = NDArray[np.float64]
"""Of devices and classes, in the order of VEHICLES."""
_HOUR_S: Final = 3600.0
_MOST_FALSE: Final = 0.05
_LEAST_FOUND: Final = 0.95


@dataclass(frozen=True, slots=True)
class Fleet:
    """Streets, one row each. busiest: vehicles an hour at the peak. shares: of the classes. missed: share that the
    detector of before misses on a clear day. own: by how much the candidate misses more or less there, as a factor."""

    busiest: Counts
    shares: Counts
    missed: Counts
    own: Counts


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour on some streets. vehicles, missed: as in Fleet, missed for the hour's weather. hour: local, 0 to 23."""

    vehicles: Counts
    missed: Counts
    hour: int


Change: TypeAlias = Callable[[Hour], Counts]
"""Function that gives the share of its vehicles, by device and class, that the candidate misses beside the usual."""


def fleet(devices: int, random: np.random.Generator) -> Fleet:
    """Draw streets from a lane to an avenue, from towns of cars and towns of motorcycles."""
    motorcycles = random.beta(0.8, 2.5, devices)
    others = random.dirichlet([80, 3, 7, 4], devices)
    shares = np.empty((devices, len(VEHICLES)))
    for name, values in zip(("car", "bus", "truck", "bicycle"), others.T, strict=True):
        shares[:, VEHICLES.index(name)] = values * (1 - motorcycles)
    shares[:, VEHICLES.index("motorcycle")] = motorcycles
    return Fleet(
        np.exp(random.normal(np.log(350), 0.8, devices)),
        shares,
        random.beta(3, 45, devices)[:, None] * np.ones(len(VEHICLES)),
        np.exp(random.normal(0, 0.25, (devices, len(VEHICLES)))),
    )


def dark(hour: int) -> bool:
    return hour < 6 or hour > 20


def hour_of(world: Fleet, rows: list[int], hour: int, wet: bool, random: np.random.Generator) -> Hour:
    shape = (
        0.03 + 0.9 * np.exp(-(((hour - 7.9) / 1.6) ** 2)) + np.exp(-(((hour - 17.2) / 2) ** 2)) + 0.4 * (9 < hour < 19)
    )
    vehicles = random.poisson(world.busiest[rows, None] * world.shares[rows] * shape).astype(float)
    harder = 1.8 if dark(hour) else 1.0
    return Hour(vehicles, np.clip(world.missed[rows] * harder * (2.5 if wet else 1.0), 0, 0.6), hour)


def seen(world: Fleet, rows: list[int], one: Hour, extra: Counts, random: np.random.Generator) -> tuple[Counts, Counts]:
    """Return what the candidate and the detector of before count.

    Six of ten vehicles that are missed are missed by both: they are hidden, or dark. The others are missed by one.
    """
    both = random.binomial(one.vehicles.astype(int), 0.6 * one.missed)
    left = one.vehicles.astype(int) - both
    mood = np.exp(random.normal(0, 0.3, one.vehicles.shape))
    old = left - random.binomial(left, 0.4 * one.missed)
    alone = np.clip(0.4 * one.missed * world.own[rows] * mood, 0, 0.9)
    new = left - random.binomial(left, 1 - (1 - alone) * (1 - extra))
    false = 0.01 * one.vehicles + 0.05
    return (new + random.poisson(false)).astype(float), (old + random.poisson(false)).astype(float)


def equal(one: Hour) -> Counts:
    return np.zeros(one.vehicles.shape)


def misses(share: float) -> Change:
    return lambda one: np.full(one.vehicles.shape, share)


def misses_class(name: str, share: float) -> Change:
    def change(one: Hour) -> Counts:
        extra = np.zeros(one.vehicles.shape)
        extra[:, VEHICLES.index(name)] = share
        return extra

    return change


def misses_at_night(share: float) -> Change:
    return lambda one: np.full(one.vehicles.shape, share if dark(one.hour) else 0.0)


CANDIDATES: Final[Mapping[str, Change]] = {
    "equal": equal,
    "misses 5 %": misses(0.05),
    "misses 10 %": misses(0.1),
    "misses 20 %": misses(0.2),
    "misses 30 % motorcycles": misses_class("motorcycle", 0.3),
    "misses 40 % trucks": misses_class("truck", 0.4),
    "misses 40 % at night": misses_at_night(0.4),
}


@dataclass(frozen=True, slots=True)
class Run:
    """How a roll-out ended. hours: of it in all."""

    state: str
    group: int
    hours: int


What = TypeVar("What")
"""What is rolled out: how its counts, or its output, are changed."""


def run(devices: int, change: Change, random: np.random.Generator) -> Run:
    """Roll a candidate out until it is stopped, done or waits for a person."""
    world, cascade, rule = fleet(devices, random), Cascade(), StopRule()
    parts = groups([str(n) for n in range(devices)], str(random.integers(2**32)), cascade)
    progress, rows, hours, wet = Progress(), [int(n) for n in parts[0]], 0, False
    group_of = {int(n): number for number, part in enumerate(parts) for n in part}
    while progress.state == "running":
        wet = random.random() < (0.8 if wet else 0.03)
        one = hour_of(world, rows, hours % 24, wet, random)
        new, old = seen(world, rows, one, change(one), random)
        for device, *counted in zip(rows, new, old, strict=True):
            pair = (dict(zip(VEHICLES, each.tolist(), strict=True)) for each in counted)
            rule.add(*pair, night=dark(one.hour), group=group_of[device])
        hours += 1
        state = Seen(rule.decide(), rule.reasons(), running=[str(n) for n in rows])
        after = advance(progress, state, len(parts), hours * _HOUR_S, cascade)
        if after.group != progress.group:
            rule.next_group()
            rows += [int(n) for n in parts[after.group]]
        progress = after
    return Run(progress.state, progress.group, hours)


def row(name: str, ends: list[Run]) -> tuple[str, ...]:
    """Return the row of a candidate: how its roll-outs ended."""
    share = {state: sum(end.state == state for end in ends) / len(ends) for state in ("stopped", "done", "paused")}
    hours = sorted(end.hours for end in ends if end.state == "stopped" and end.group == 0)
    until = (str(hours[len(hours) // 2]), str(hours[int(0.9 * len(hours))])) if hours else ("-", "-")
    whole = f"{np.median([end.hours for end in ends]):.0f}"
    first = f"{len(hours) / len(ends):.1%}"
    return (name, f"{share['stopped']:.1%}", first, *until, f"{share['done']:.1%}", f"{share['paused']:.1%}", whole)


def tell(
    description: str | None,
    what: str,
    changes: Mapping[str, What],
    least_found: str,
    run: Callable[[int, What, np.random.Generator], Run],
) -> int:
    """Simulate roll-outs of each change and print the table; return the exit code.

    what: is rolled out. least_found: the change that must be stopped in the first group. run: rolls out once.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--devices", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=changes, help=f"one {what} alone")
    arguments = parser.parse_args()
    heads = ("stop", "group 1", "h", "90 %", "done", "wait", "all h")
    rows, fine = table(what, *heads), True
    for number, name in enumerate(changes):
        if arguments.only not in (None, name):
            continue
        ends = []
        with bar(name, arguments.runs) as progress:
            for each in range(arguments.runs):
                random = np.random.default_rng([arguments.seed, number, each])
                ends.append(run(arguments.devices, changes[name], random))
                progress.forward()
        rows.add_row(*row(name, ends))
        stopped = [end for end in ends if end.state == "stopped"]
        if name == "equal":
            fine &= len(stopped) <= _MOST_FALSE * len(ends)
        if name == least_found:
            fine &= sum(end.group == 0 for end in stopped) >= _LEAST_FOUND * len(ends)
    stdout().print(rows)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(tell(__doc__, "candidate", CANDIDATES, "misses 10 %", run))
