"""Simulate roll-outs of a detector whose counts agree, and see which are stopped by what it tells of its output.

`python -m tests.trials.output_rollouts [--runs 200] [--devices 1000] [--seed 1]` prints the table of `rollouts`. The
streets are those of `rollouts`; of each hour they tell which share of the crossings is doubtful, which of the tracks
break and which die on the road, drawn from as many as there were. Shares differ from street to street, at night, in
rain and snow that last for hours and come in all streets, from day to day, and by what lasts for some hours in one
street: a low sun, a queue. In one street of thirty something begins with the roll-out that makes all shares worse for
good: a dirty lens, road works. A candidate that is as good as the one of before is surer in some streets and less sure
in others. Nothing here knows how output is judged. Counts let each group pass after a day. The exit code is 1 when an
equal candidate is stopped too often, or one with three times the doubtful crossings too rarely.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge_app.rollout.output_rule import FIGURES, OutputRule, Usual, shifts, usual_of
from edge_app.rollout.plan import Cascade, Progress, Seen, advance, groups
from tests.trials.rollouts import Fleet, Run, dark, fleet, hour_of, tell

Odds: TypeAlias = NDArray[np.float64]
"""Of devices and figures, in the order of FIGURES."""
_HOUR_S: Final = 3600
_BEFORE_H: Final = 14 * 24
_EACH: Final = 10
_OTHERS: Final = 20
_SPOILT: Final = 1 / 30
_USUAL: Final = np.array([0.06, 0.08, 0.35])
"""Shares of a usual street by day: as clips of this project show them."""
_HARD: Final = np.array([1.0, 0.6, 0.4])
"""How much a dark or a wet hour changes each figure, beside the others."""


@dataclass(slots=True)
class Streets:
    """Some streets of a fleet, and how each of their shares is at present. odds: of usual hours, as logarithms."""

    world: Fleet
    rows: list[int]
    random: np.random.Generator
    odds: Odds = field(init=False)
    own: Odds = field(init=False)
    spoilt: NDArray[np.bool_] = field(init=False)
    lasting: Odds = field(init=False)
    of_day: Odds = field(init=False)
    wet: bool = False

    def __post_init__(self) -> None:
        shape = len(self.rows), len(_USUAL)
        self.odds = np.log(_USUAL / (1 - _USUAL)) + self.random.normal(0, 0.6, shape)
        self.own = self.random.normal(0, 0.2, shape)
        self.spoilt = self.random.random(len(self.rows)) < _SPOILT
        self.lasting, self.of_day = np.zeros(shape), np.zeros(shape)

    def told(self, hour: int, factors: Odds, with_it: NDArray[np.bool_]) -> list[dict[str, float]]:
        """Return the shares of an hour of each street. hour: from the roll-out on, negative before.

        factors: by which the shares of the candidate are larger. with_it: streets that have it.
        """
        random, shape = self.random, self.odds.shape
        if hour % 24 == 0:
            self.of_day = random.normal(0, 0.15, shape)
        self.wet = bool(random.random() < (0.9 if self.wet else 0.02))
        self.lasting = 0.7 * self.lasting + random.normal(0, 0.2, shape)
        one = hour_of(self.world, self.rows, hour % 24, self.wet, random)
        vehicles = one.vehicles.sum(axis=1).astype(int)
        odds = self.odds + self.lasting + self.of_day + _HARD * (0.8 * self.wet + 0.7 * dark(hour % 24))
        odds = odds + with_it[:, None] * self.own + (0.9 * self.spoilt * (hour >= 0))[:, None]
        expected = np.minimum(0.97, np.where(with_it[:, None], factors, 1.0) / (1 + np.exp(-odds)))
        shares = random.binomial(vehicles[:, None], expected) / np.maximum(vehicles, 1)[:, None]
        return [
            dict(zip(FIGURES, of.tolist(), strict=True)) if many >= 20 else {}
            for of, many in zip(shares, vehicles, strict=True)
        ]


class Output:
    """Output of a fleet in a roll-out, and the rule that sees it. parts: names of its devices by group.

    factors: figure -> by which its share is larger with the candidate.
    """

    def __init__(
        self, parts: Sequence[Sequence[str]], world: Fleet, factors: Mapping[str, float], random: np.random.Generator
    ) -> None:
        self.rule = OutputRule()
        self._group_of = {name: number for number, part in enumerate(parts) for name in part}
        judged = [name for part in parts for name in part[:_EACH]]
        judged += [name for part in reversed(parts) for name in part if name not in set(judged)][:_OTHERS]
        self._judged, self._streets = judged, Streets(world, [int(name) for name in judged], random)
        self._larger, nobody = np.array([factors.get(name, 1.0) for name in FIGURES]), np.zeros(len(judged), bool)
        before = [self._streets.told(hour, self._larger, nobody) for hour in range(-_BEFORE_H, 0)]
        self._usual: dict[str, Usual] = {
            name: usual_of({at * _HOUR_S: told[row] for at, told in enumerate(before)})
            for row, name in enumerate(judged)
        }

    def pass_hour(self, hour: int, group: int) -> None:
        """Let an hour pass. hour: from the begin of the roll-out. group: the newest that has the candidate."""
        at = (hour + _BEFORE_H) * _HOUR_S
        with_it = np.array([self._group_of[name] <= group for name in self._judged])
        told = dict(zip(self._judged, self._streets.told(hour, self._larger, with_it), strict=True))
        others = [name for name in self._judged if self._group_of[name] > group][-_OTHERS:]
        shifted = shifts(at, {name: told[name] for name in others}, self._usual)
        for name in self._judged:
            if self._group_of[name] <= group:
                self.rule.add(name, at, told[name], self._usual[name], shifted, group=self._group_of[name])


def run(devices: int, factors: Mapping[str, float], random: np.random.Generator) -> Run:
    """Roll a candidate out until it is stopped or done. factors: figure -> by which its share is larger."""
    cascade = Cascade()
    parts = groups([str(n) for n in range(devices)], str(random.integers(2**32)), cascade)
    output, progress, hours = Output(parts, fleet(devices, random), factors, random), Progress(), 0
    while progress.state == "running":
        output.pass_hour(hours, progress.group)
        hours += 1
        reasons = output.rule.reasons()
        running = [name for part in parts[: progress.group + 1] for name in part]
        state = Seen("stop" if reasons else "wait" if output.rule.leans() else "pass", reasons, running=running)
        progress = advance(progress, state, len(parts), float(hours * _HOUR_S), cascade)
    return Run(progress.state, progress.group, hours)


CANDIDATES: Final[Mapping[str, Mapping[str, float]]] = {
    "equal": {},
    "1.5 x doubtful": {"doubtful_share": 1.5},
    "2 x doubtful": {"doubtful_share": 2.0},
    "3 x doubtful": {"doubtful_share": 3.0},
    "3 x broken tracks": {"fragment_share": 3.0},
    "2 x died on the road": {"died_share": 2.0},
}

if __name__ == "__main__":
    sys.exit(tell(__doc__, "candidate", CANDIDATES, "3 x doubtful", run))
