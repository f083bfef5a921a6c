"""Simulate roll-outs of a release, which nothing counts beside, and see which are stopped by counts alone.

`python -m tests.trials.release_rollouts [--runs 200] [--devices 1000] [--seed 1]` prints for each release the share of
roll-outs that were stopped, at all and in the first group, after how many hours that was (median, and in 90 % of them),
the shares that were done and that waited for a person, and how long all took. The world is that of
tests.trials.rollouts, with days: each has its own traffic everywhere (weather, one in twenty is a holiday) and in each
street, and in one of fifty streets road works begin with the roll-out. Nothing here knows how a release is judged. The
exit code is 1 when an equal one is stopped too often, or one that counts half too rarely.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from edge_app.records import VEHICLES
from edge_app.rollout.plan import Cascade, Progress, Seen, advance, groups
from edge_app.rollout.usual_rule import WEEKS, Hour, UsualRule, expected
from tests.trials.rollouts import (
    Change,
    Counts,
    Fleet,
    Run,
    dark,
    equal,
    fleet,
    hour_of,
    misses,
    misses_at_night,
    misses_class,
    seen,
    tell,
)

RELEASES: Final[Mapping[str, Change]] = {
    "equal": equal,
    "misses 10 %": misses(0.1),
    "misses 30 %": misses(0.3),
    "misses 50 %": misses(0.5),
    "counts nothing": misses(1.0),
    "misses 70 % motorcycles": misses_class("motorcycle", 0.7),
    "misses 70 % at night": misses_at_night(0.7),
}
_HOUR_S: Final = 3600.0
_OTHERS: Final = 50
_HOLIDAYS: Final = 0.05
_WORKS: Final = 0.02


class Days:
    """Traffic of streets by day: factors of a usual one. works: of the streets on which road works begin."""

    def __init__(self, streets: int, random: np.random.Generator) -> None:
        self._streets, self._random = streets, random
        self._known: dict[int, Counts] = {}
        self._works = np.where(random.random(streets) < _WORKS, random.uniform(0.2, 0.6, streets), 1.0)

    def of(self, day: int) -> Counts:
        """Return the factor of each street. day: from the begin of the roll-out, negative before."""
        if day not in self._known:
            city = 0.55 if self._random.random() < _HOLIDAYS else np.exp(self._random.normal(0, 0.07))
            street = np.exp(self._random.normal(0, 0.12, self._streets))
            self._known[day] = city * street * (self._works if day >= 0 else 1.0)
        return self._known[day]


def counted(
    world: Fleet, days: Days, rows: list[int], hour: int, change: Change, random: np.random.Generator
) -> Counts:
    """Return what streets count in an hour, with what a release changes."""
    day = replace(world, busiest=world.busiest * days.of(hour // 24))
    one = hour_of(day, rows, hour % 24, random.random() < 0.15, random)
    new, old = seen(day, rows, one, change(one), random)
    return old if change is equal else new


def run(devices: int, change: Change, random: np.random.Generator) -> Run:
    """Roll a release out until it is stopped, done or waits for a person."""
    world, cascade, rule = fleet(devices, random), Cascade(), UsualRule(Cascade().failed)
    parts = groups([str(n) for n in range(devices)], str(random.integers(2**32)), cascade)
    days, progress, hours = Days(devices, random), Progress(), 0
    mine, group_of = [int(n) for n in parts[0]], {n: number for number, part in enumerate(parts) for n in part}
    while progress.state == "running":
        others = [int(n) for part in parts[progress.group + 1 :] for n in part][:_OTHERS]
        if others:
            for name, (vehicles, expects) in compare(world, days, mine, others, hours, change, random).items():
                rule.add(name, vehicles, expects, night=dark(hours % 24), group=group_of[name])
        hours += 1
        evidence = rule.evidence(0.0)
        state = Seen(evidence.decision, evidence.reasons, running=[str(n) for n in mine])
        after = advance(progress, state, len(parts), hours * _HOUR_S, cascade)
        if after.group != progress.group:
            rule.next_group()
            mine += [int(n) for n in parts[after.group]]
        progress = after
    return Run(progress.state, progress.group, hours)


def compare(
    world: Fleet,
    days: Days,
    mine: list[int],
    others: list[int],
    hour: int,
    change: Change,
    random: np.random.Generator,
) -> Mapping[str, tuple[Mapping[str, float], Mapping[str, float]]]:
    """Let an hour pass, and return what devices with the release have counted, and what was to be expected."""
    rows = mine + others
    now = np.vstack(
        [
            counted(world, days, mine, hour, change, random),
            counted(world, days, others, hour, equal, random),
        ]
    )
    before = [counted(world, days, rows, hour - 168 * week, equal, random) for week in range(1, WEEKS + 1)]
    usual = np.median(before, axis=0)
    return expected(Hour(named(rows, now), named(rows, usual), {str(n) for n in mine}))


def named(rows: list[int], counts: Counts) -> dict[str, dict[str, float]]:
    return {str(n): dict(zip(VEHICLES, each.tolist(), strict=True)) for n, each in zip(rows, counts, strict=True)}


if __name__ == "__main__":
    sys.exit(tell(__doc__, "release", RELEASES, "misses 50 %", run))
