"""Decide by counts whether a candidate may go on to more devices. Pure: no clock, no I/O.

On each device of a group two detectors see the same frames: the candidate and the one of before. The counts of the same
hour are a pair, so weather, traffic and time of day fall out, and only what one finds and the other does not is left. A
candidate is stopped when its shortfall, or its excess, is beyond a tolerance for certain; a group has passed when a
shortfall that must not be is out of the question for certain, by the pairs of its own devices: those of others say
nothing of devices that have no time for two detectors. What is neither waits for more hours, and after the longest time
for a person.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from edge_app.records import VEHICLES
from edge_app.rollout.evidence import Evidence

ALL: Final = "all classes"
NIGHT: Final = "all classes at night"
Decision = Literal["stop", "pass", "wait"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What is tolerated, and how sure a decision must be.

    tolerance: share of all vehicles that a candidate may count less or more. class_tolerance: the same of one class,
    and at night. worst: share that a candidate which passes must not miss. class_worst: the same of each class.
    false_stops: share of roll-outs of an equal candidate that may be stopped by counts, over all looks, groups and
    classes. false_passes: share of groups in which a candidate that misses `worst` may pass.
    least: vehicles of a class, as the detector of before counts them, from which that class must pass too.
    """

    tolerance: float = 0.03
    class_tolerance: float = 0.1
    worst: float = 0.1
    class_worst: float = 0.3
    false_stops: float = 0.04
    false_passes: float = 0.04
    least: int = 100


@dataclass(slots=True)
class ClassEvidence:
    """What is known of one class, or of all together.

    candidate, before: vehicles, in all groups. fewer, more: evidence that the candidate counts less, or more, than is
    tolerated, from all groups as well. group_before, enough: of the devices of the present group alone, vehicles as the
    detector of before counts them, and evidence that the candidate misses less than the worst.
    """

    candidate: float = 0.0
    before: float = 0.0
    group_before: float = 0.0
    fewer: Evidence = field(default_factory=Evidence)
    more: Evidence = field(default_factory=Evidence)
    enough: Evidence = field(default_factory=Evidence)

    def add(self, candidate: float, before: float, tolerance: float, worst: float, *, own: bool) -> None:
        """Take the counts of one hour on one device. own: it is of the present group."""
        less, usual = before - candidate, (candidate + before) / 2
        self.candidate += candidate
        self.before += before
        self.fewer.add(less - tolerance * usual)
        self.more.add(-less - tolerance * usual)
        if own:
            self.group_before += before
            self.enough.add(worst * usual - less)

    @property
    def change(self) -> float:
        """Share by which the candidate counts more, negative for less; 0 where nothing was counted before."""
        return (self.candidate - self.before) / self.before if self.before else 0.0


class StopRule:
    """Evidence of one roll-out: of the devices of its present group for passing, of all devices for stopping.

    group: the present one, from 0. hours: that its devices have compared.
    """

    def __init__(self, limits: Limits = Limits(), group: int = 0) -> None:
        self.limits, self.group = limits, group
        self.of = {name: ClassEvidence() for name in (ALL, NIGHT, *VEHICLES)}
        self.hours = 0

    def add(
        self, candidate: Mapping[str, float], before: Mapping[str, float], *, night: bool = False, group: int = 0
    ) -> None:
        """Take an hour of a device: vehicles by class, as both detectors have counted them in the same time.

        night: it was dark; what is lost in the few vehicles of a night hardly shows among those of the day. group: of
        the device, from 0.
        """
        limits, own = self.limits, group == self.group
        for name in VEHICLES:
            pair = candidate.get(name, 0.0), before.get(name, 0.0)
            if any(pair):
                self.of[name].add(*pair, limits.class_tolerance, limits.class_worst, own=own)
        pair = sum(candidate.values()), sum(before.values())
        if any(pair):
            self.of[ALL].add(*pair, limits.tolerance, limits.worst, own=own)
            if night:
                self.of[NIGHT].add(*pair, limits.class_tolerance, limits.class_worst, own=own)
        self.hours += own

    def next_group(self) -> None:
        """Ask the next group to pass by its own devices; what speaks for a stop is kept: one test over all groups."""
        self.group, self.hours = self.group + 1, 0
        for known in self.of.values():
            known.enough = Evidence()
            known.group_before = 0.0

    def reasons(self) -> Sequence[str]:
        """Return one sentence for each class whose counts stop the candidate, none where nothing does."""
        sentences = []
        for name, known in self.of.items():
            share = self._share(name)
            for evidence, word in ((known.fewer, "fewer"), (known.more, "more")):
                if evidence.shows(share):
                    seen = f"{known.candidate:,.0f} against {known.before:,.0f}"
                    sentences.append(f"of {name} it counts {abs(known.change):.1%} {word} than before ({seen})")
        return sentences

    def decide(self) -> Decision:
        """Return whether the candidate is stopped, its group has passed, or more hours are needed."""
        if self.reasons():
            return "stop"
        return "wait" if self.open() else "pass"

    def open(self) -> Sequence[str]:
        """Return of what the present group has not counted enough to pass: classes, all of them, or the night."""
        asked = [ALL, *(name for name in (NIGHT, *VEHICLES) if self.of[name].group_before >= self.limits.least)]
        return [name for name in asked if not self.of[name].enough.shows(self.limits.false_passes)]

    def _share(self, name: str) -> float:
        """Return the share of false stops of one test: half for all classes, the rest split between the others."""
        both = self.limits.false_stops / 2
        return both / 2 if name == ALL else both / (2 * (len(self.of) - 1))
