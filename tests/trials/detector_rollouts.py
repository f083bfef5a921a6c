"""Simulate roll-outs of a detector that is judged by all rules at once, and see which are stopped.

`python -m tests.trials.detector_rollouts [--runs 200] [--devices 1000] [--seed 1]` prints the table of `rollouts`.
Pairs, the usual day and output are of one fleet: its streets and its rain are those of `rollouts`, its days and road
works those of `release_rollouts`, and what it tells of its output that of `output_rollouts`. Nothing here knows how a
detector is judged, but that one rule is enough to stop it. The exit code is 1 when an equal candidate is stopped too
often, or one that misses a tenth too rarely.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from edge_app.records import VEHICLES
from edge_app.rollout.plan import Cascade, Progress, Seen, advance, groups
from edge_app.rollout.stop_rule import StopRule
from edge_app.rollout.usual_rule import WEEKS, Hour, UsualRule, expected
from tests.trials.output_rollouts import Output
from tests.trials.release_rollouts import Days, counted, named
from tests.trials.rollouts import Change, Fleet, Run, dark, equal, fleet, hour_of, misses, misses_at_night, seen, tell

CANDIDATES: Final[Mapping[str, Change]] = {
    "equal": equal,
    "misses 10 %": misses(0.1),
    "misses 40 % at night": misses_at_night(0.4),
}
_HOUR_S: Final = 3600.0
_OTHERS: Final = 50


@dataclass(slots=True)
class Counts:
    """What a fleet counts, and the rules that see it. group_of: number of a street -> group."""

    world: Fleet
    days: Days
    change: Change
    group_of: Mapping[int, int]
    random: np.random.Generator
    pairs: StopRule = field(default_factory=StopRule)
    usual: UsualRule = field(default_factory=lambda: UsualRule(Cascade().failed, more=False))
    wet: bool = False

    def pass_hour(self, hour: int, mine: list[int], others: list[int]) -> None:
        """Let an hour pass. mine: streets with the candidate. others: some without it."""
        self.wet = bool(self.random.random() < (0.8 if self.wet else 0.03))
        rows, here = mine + others, replace(self.world, busiest=self.world.busiest * self.days.of(hour // 24))
        one = hour_of(here, rows, hour % 24, self.wet, self.random)
        new, old = seen(here, rows, one, self.change(one), self.random)
        for street, *pair in zip(mine, new, old, strict=False):  # the others come after them
            candidate, before = (dict(zip(VEHICLES, each.tolist(), strict=True)) for each in pair)
            self.pairs.add(candidate, before, night=dark(one.hour), group=self.group_of[street])
        if others:
            self._beside_the_usual_day(hour, mine, rows, np.vstack([new[: len(mine)], old[len(mine) :]]))

    def _beside_the_usual_day(self, hour: int, mine: list[int], rows: list[int], now: np.ndarray) -> None:
        weeks = range(1, WEEKS + 1)
        before = [counted(self.world, self.days, rows, hour - 168 * week, equal, self.random) for week in weeks]
        of_hour = Hour(named(rows, now), named(rows, np.median(before, axis=0)), {str(n) for n in mine})
        for name, (vehicles, expects) in expected(of_hour).items():
            self.usual.add(name, vehicles, expects, night=dark(hour % 24), group=self.group_of[int(name)])


def run(devices: int, change: Change, random: np.random.Generator) -> Run:
    """Roll a candidate out until it is stopped, done or waits for a person."""
    world, cascade = fleet(devices, random), Cascade()
    parts = groups([str(n) for n in range(devices)], str(random.integers(2**32)), cascade)
    group_of = {int(n): number for number, part in enumerate(parts) for n in part}
    counts = Counts(world, Days(devices, random), change, group_of, random)
    output, progress, hours, mine = Output(parts, world, {}, random), Progress(), 0, [int(n) for n in parts[0]]
    while progress.state == "running":
        others = [int(n) for part in parts[progress.group + 1 :] for n in part][:_OTHERS]
        counts.pass_hour(hours, mine, others)
        output.pass_hour(hours, progress.group)
        hours += 1
        after = advance(progress, judged(counts, output, mine), len(parts), hours * _HOUR_S, cascade)
        if after.group != progress.group:
            counts.pairs.next_group()
            counts.usual.next_group()
            mine += [int(n) for n in parts[after.group]]
        progress = after
    return Run(progress.state, progress.group, hours)


def judged(counts: Counts, output: Output, mine: list[int]) -> Seen:
    reasons = (*counts.pairs.reasons(), *counts.usual.reasons(), *output.rule.reasons())
    decision = counts.pairs.decide()
    return Seen(
        "stop" if reasons else "wait" if output.rule.leans() else decision, reasons, running=[str(n) for n in mine]
    )


if __name__ == "__main__":
    sys.exit(tell(__doc__, "candidate", CANDIDATES, "misses 10 %", run))
