"""Decide by counts whether a release may go on to more devices. Pure: no clock, no I/O.

A release has nothing that counts beside it. So the hours of a device that has it are compared with the same hours of
the week before, and both with what devices that do not have it yet count of theirs: rain, a holiday, a strike then fall
out. What is left is coarse: a single street has road works, a fair, a school that is closed. A device is odd when its
counts are beyond a wide tolerance for certain; a release is stopped when several devices are, and more than a share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, TypeAlias

from edge_app.records import VEHICLES
from edge_app.rollout.leading import Evidence
from edge_app.rollout.stop_rule import ALL, Decision, Limits, StopRule

Vehicles: TypeAlias = Mapping[str, float]
"""Vehicles of an hour by class."""
WEEKS: Final = 4
"""Weeks of before whose hours say what is usual."""
LIMITS: Final = Limits(tolerance=0.25, class_tolerance=0.5, worst=0.5, class_worst=0.9)
_HOUR_S: Final = 3600
_WEEK_S: Final = 7 * 86_400
_LEAST_OTHERS: Final = 3
"""Devices without the release that say how this hour is, at least."""
_LEAST: Final = 20.0
"""Vehicles that are usual there, all of them together, from which their share says something."""
_MOST_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Hour:
    """What is known of an hour. counted, usual: device -> vehicles by class; of those that have the release, and of
    others that do not yet."""

    counted: Mapping[str, Vehicles]
    usual: Mapping[str, Vehicles]
    with_it: Collection[str]


def usual_hour(hours: Mapping[tuple[int, str], Vehicles], name: str, hour: int, before: int) -> Vehicles | None:
    """Return the medians of the same hours of the week, of those that begin before a time; None where there is none.

    hours: begin, UTC s, and device -> vehicles of it, seen nearly whole. before: UTC s.
    """
    weeks = range(max(1, -(-(hour + _HOUR_S - before) // _WEEK_S)), 1_000)
    found = [hours.get((hour - week * _WEEK_S, name)) for week in weeks[:WEEKS]]
    known = [one for one in found if one is not None]
    if len(known) < 2:
        return None
    return {kind: float(median(one.get(kind, 0.0) for one in known)) for kind in VEHICLES}


def expected(hour: Hour) -> Mapping[str, tuple[Vehicles, Vehicles]]:
    """Return device with the release -> vehicles that it has counted, and those that were to be expected.

    A class of which too little is usual on the others is left out of both.
    """
    others = [name for name in hour.counted if name not in hour.with_it and name in hour.usual]
    if len(others) < _LEAST_OTHERS:
        return {}
    shares = dict[str, float]()
    for kind in VEHICLES:
        usual = sum(hour.usual[name].get(kind, 0.0) for name in others)
        if usual >= _LEAST:
            shares[kind] = sum(hour.counted[name].get(kind, 0.0) for name in others) / usual
    return {
        name: (
            {kind: hour.counted[name].get(kind, 0.0) for kind in shares},
            {kind: hour.usual[name].get(kind, 0.0) * share for kind, share in shares.items()},
        )
        for name in hour.with_it
        if name in hour.counted and name in hour.usual
    }


@dataclass(slots=True)
class UsualRule:
    """Evidence of the roll-out of a release. failed: share of the devices that may be odd."""

    failed: float
    all: StopRule = field(default_factory=lambda: StopRule(LIMITS))
    of_device: dict[str, StopRule] = field(default_factory=dict)

    def add(self, name: str, counted: Vehicles, usual: Vehicles, *, night: bool) -> None:
        """Take an hour of a device that has the release."""
        for rule in (self.all, self.of_device.setdefault(name, StopRule(LIMITS))):
            rule.add(counted, usual, night=night)

    def next_group(self) -> None:
        """Ask the next group to pass by its own hours."""
        self.all.next_group()

    def reasons(self) -> Sequence[str]:
        """Return why its counts stop the release, nothing where they do not."""
        odd = {name: rule.strays() for name, rule in self.of_device.items()}
        odd = {name: strays for name, strays in odd.items() if strays}
        if len(odd) < 2 or len(odd) <= self.failed * len(self.of_device):
            return ()
        told = [f"of {len(self.of_device)} devices {len(odd)} count otherwise than is usual there"]
        for name, strays in sorted(odd.items())[:_MOST_NAMED]:
            kind, word, known = strays[0]
            seen = f"{known.candidate:,.0f} against {known.before:,.0f}"
            told.append(f"{name} {abs(known.change):.0%} {word} of {kind} ({seen})")
        return ("; ".join(told),)

    def evidence(self, at: float) -> Evidence:
        """Return what it knows. at: UTC s. Where nothing can be compared counts stop nothing, and hold nothing up."""
        sums = {
            name: [known.candidate, known.before]
            for name, known in self.all.of.items()
            if known.candidate or known.before
        }
        reasons = self.reasons()
        open_ones = self.all.open() if self.all.hours else ()
        decision: Decision = "stop" if reasons else "wait" if ALL in open_ones else "pass"
        return Evidence(decision, reasons, self.all.hours, sums, tuple(open_ones), at)
