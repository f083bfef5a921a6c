"""Decide by usual counts whether a release, or a detector, may go on to more devices. Pure: no clock, no I/O.

A release has nothing that counts beside it. So the hours of a device that has it are compared with the same hours of
the week before, and both with what devices that do not have it yet count of theirs: rain, a holiday, a strike then fall
out. What is left is coarse: a single street has road works, a fair, a school that is closed. A device is odd when its
counts are beyond a wide tolerance for certain; a release is stopped when several devices are, and more than a share.

A detector has its pairs, which are finer, and of the frames that were processed. What is lost with the others is seen
here alone. That it finds more than usual is what it may be made for: then its pairs judge it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import partial
from statistics import median
from typing import Final, TypeAlias

from edge_app.records import VEHICLES
from edge_app.rollout.evidence import Evidence
from edge_app.rollout.leading import Evidence as Judged
from edge_app.rollout.stop_rule import ALL, NIGHT, Decision, Limits, StopRule
from edge_app.rollout.strays import least_above, too_many

Vehicles: TypeAlias = Mapping[str, float]
"""Vehicles of an hour by class."""
Offset: TypeAlias = Callable[[int], int]
"""Function from UTC s to what clocks are ahead of UTC then, s."""
WEEKS: Final = 4
"""Weeks of before whose hours say what is usual."""
LIMITS: Final = Limits(tolerance=0.25, class_tolerance=0.5, worst=0.4, class_worst=0.7)
_HOUR_S: Final = 3600
_WEEK_S: Final = 7 * 86_400
_LEAST_OTHERS: Final = 3
"""Devices without the release that say how this hour is, at least."""
_LEAST: Final = 20.0
"""Vehicles that are usual there, all of them together, from which their share says something."""
_SPREAD: Final = 0.15
"""Standard deviation of an hour of a street beside what is usual, as a share of it, apart from chance."""
_SILENT_HOURS: Final = 3
_SILENT: Final = 0.05
_SILENT_LEAST: Final = 100.0
"""Vehicles to be expected in those hours, of which less than that share was counted."""


def _of_utc(_: int) -> int:
    return 0


@dataclass(frozen=True, slots=True)
class Hour:
    """What is known of an hour. counted, usual: device -> vehicles by class; of those that have the release, and of
    others that do not yet."""

    counted: Mapping[str, Vehicles]
    usual: Mapping[str, Vehicles]
    with_it: Collection[str]


def usual_hour(
    hours: Mapping[tuple[int, str], Vehicles], name: str, hour: int, before: int, offset: Offset = _of_utc
) -> Vehicles | None:
    """Return the medians of the same hours of the week, of those that begin before a time; None where there is none.

    hours: begin, UTC s, and device -> vehicles of it, seen nearly whole. before: UTC s. offset: of the clocks where the
    device is.
    """
    over = (at for week in itertools.count(1) if (at := _weeks_before(hour, week, offset)) + _HOUR_S <= before)
    found = [hours.get((at, name)) for at in itertools.islice(over, WEEKS)]
    known = [one for one in found if one is not None]
    if len(known) < 2:
        return None
    return {kind: float(median(one.get(kind, 0.0) for one in known)) for kind in VEHICLES}


def _weeks_before(hour: int, week: int, offset: Offset) -> int:
    """Return the hour some weeks before at whose begin clocks showed the same, UTC s.

    Where they are changed by half an hour it is the nearer one.
    """
    at = hour - week * _WEEK_S
    return at + round((offset(hour) - offset(at)) / _HOUR_S) * _HOUR_S


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
class _Class:
    """What is known of a class, or of all together, on one device: vehicles, and evidence in standard deviations."""

    counted: float = 0.0
    usual: float = 0.0
    fewer: Evidence = field(default_factory=Evidence)
    more: Evidence = field(default_factory=Evidence)

    def add(self, counted: float, usual: float, tolerance: float) -> None:
        """Take an hour."""
        self.counted += counted
        self.usual += usual
        scale, less = math.sqrt(max(usual, 1.0) + (_SPREAD * usual) ** 2), usual - counted
        self.fewer.add((less - tolerance * usual) / scale)
        self.more.add((-less - tolerance * usual) / scale)


@dataclass(slots=True)
class _Device:
    """What is known of one device. group: its number, from 0. newest: of its last hours, all classes. silent: it has
    counted next to nothing."""

    group: int
    of: dict[str, _Class] = field(default_factory=lambda: {name: _Class() for name in (ALL, NIGHT, *VEHICLES)})
    newest: list[tuple[float, float]] = field(default_factory=list)
    silent: bool = False

    def add(self, counted: Vehicles, usual: Vehicles, *, night: bool) -> None:
        """Take an hour."""
        for name in counted:
            self.of[name].add(counted[name], usual[name], LIMITS.class_tolerance)
        both = sum(counted.values()), sum(usual.values())
        self.of[ALL].add(*both, LIMITS.tolerance)
        if night:
            self.of[NIGHT].add(*both, LIMITS.class_tolerance)
        self.newest = [*self.newest, both][-_SILENT_HOURS:]
        few, expects = (sum(each) for each in zip(*self.newest, strict=True))
        enough = len(self.newest) == _SILENT_HOURS and expects >= _SILENT_LEAST
        self.silent |= enough and few < _SILENT * expects

    def odd(self, *, more: bool) -> str:
        """Return how it counts otherwise than is usual there, empty where that is not certain.

        more: also that it counts more.
        """
        return next(self._strays(more=more), "")

    def _strays(self, *, more: bool) -> Iterator[str]:
        if self.silent:
            yield f"next to nothing for {_SILENT_HOURS} hours"
        for name, known in self.of.items():
            share = LIMITS.false_stops / (4 if name == ALL else 4 * (len(self.of) - 1))
            for evidence, word in ((known.fewer, "fewer"), (known.more, "more"))[: 1 + more]:
                if known.usual and evidence.shows(share):
                    change = abs(known.counted / known.usual - 1)
                    yield f"{change:.0%} {word} of {name} ({known.counted:,.0f} against {known.usual:,.0f})"


@dataclass(slots=True)
class UsualRule:
    """Evidence of a roll-out. failed: share of the devices that may be odd. more: those that count more are odd too.

    group: the present one, from 0.
    """

    failed: float
    more: bool = True
    group: InitVar[int] = 0
    all: StopRule = field(init=False)
    of_device: dict[str, _Device] = field(default_factory=dict)

    def __post_init__(self, group: int) -> None:
        self.all = StopRule(LIMITS, group)

    def add(self, name: str, counted: Vehicles, usual: Vehicles, *, night: bool, group: int = 0) -> None:
        """Take an hour of a device that has what is rolled out: vehicles by class, the same classes of both.

        group: of the device, from 0.
        """
        self.all.add(counted, usual, night=night, group=group)
        self.of_device.setdefault(name, _Device(group)).add(counted, usual, night=night)

    def next_group(self) -> None:
        """Ask the next group to pass by its own devices."""
        self.all.next_group()

    def reasons(self) -> Sequence[str]:
        """Return why its counts stop it, nothing where they do not: those of all groups together, or of one of them."""
        odd = {name: told for name, known in self.of_device.items() if (told := known.odd(more=self.more))}
        group_of = {name: known.group for name, known in self.of_device.items()}
        return too_many(odd, group_of, partial(least_above, share=self.failed), "count otherwise than is usual there")

    def evidence(self, at: float) -> Judged:
        """Return what it knows. at: UTC s. Where nothing can be compared counts stop nothing, and hold nothing up."""
        every = self.all.of.items()
        sums = {name: [known.candidate, known.before] for name, known in every if known.candidate or known.before}
        reasons = self.reasons()
        open_ones = tuple(self.all.open()) if self.all.hours else ()
        decision: Decision = "stop" if reasons else "wait" if open_ones else "pass"
        return Judged(decision, reasons, self.all.hours, sums, open_ones, at)
