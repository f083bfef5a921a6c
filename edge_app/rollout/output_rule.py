"""Decide by what a detector tells of its work whether it may go on to more devices. Pure: no clock, no I/O.

Counts of two detectors may agree while the new one is less sure of them, or its tracks break. So three shares are
compared, since a share says little of how much traffic there is: doubtful crossings, tracks that another continues, and
tracks that die on the road. Scores and numbers of detections are left out: another detector has another scale, and may
see farther. An hour of a device is held against the same hour of the day before it had the candidate, and both against
devices that do not have it yet, so that weather falls out. Shares are compared as angles, the arcsine of their root,
whose chance does not depend on the share (Anscombe, "The transformation of Poisson, binomial and negative-binomial
data", Biometrika 35, 1948), in units of how much an hour of that device usually differs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final, TypeAlias

from edge_app.rollout.evidence import Evidence
from edge_app.rollout.strays import least_by_chance, too_many

Shares: TypeAlias = Mapping[str, float]
"""Figure -> share in an hour, 0..1."""
FIGURES: Final[Mapping[str, str]] = {
    "doubtful_share": "of the crossings are doubtful",
    "fragment_share": "of the tracks break",
    "died_share": "of the tracks die on the road",
}
"""Figures that are compared, with words for people."""
FALSE_DEVICES: Final = 0.05
"""Share of the devices of an equal candidate that may ever be called worse: streets whose own output changes."""
FALSE_STOPS: Final = 0.005
"""Share of the groups of an equal candidate that may ever stop it, where streets know nothing of each other."""
_LEANS: Final = 0.5
"""The same of devices that seem to be worse, so that more hours are asked for."""
_FACTOR: Final = 1.5
_POINTS: Final = 0.02
"""A share may be so many times what is to be expected, or so much above it, whatever is more."""
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400
_LEAST_DAYS: Final = 4
_LEAST_HOURS: Final = 48
_LEAST_OTHERS: Final = 3
_LEAST_SPREAD: Final = 0.05
"""Radians; the chance of a share among a hundred vehicles."""
_NORMAL: Final = 1.4826
"""Standard deviation of normal values over the median of their absolute ones."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual on a device. of_hour: figure and hour of the day -> angle. spread: figure -> of an hour."""

    of_hour: Mapping[tuple[str, int], float]
    spread: Mapping[str, float]

    def angle(self, figure: str, at: int) -> float | None:
        """Return what is usual of a figure in an hour, None where it is not known. at: UTC s."""
        return self.of_hour.get((figure, _hour(at))) if figure in self.spread else None


def usual_of(hours: Mapping[int, Shares]) -> Usual:
    """Return what is usual on a device. hours: begin, UTC s, -> shares, before it had the candidate."""
    known: dict[tuple[str, int], list[float]] = {}
    for at, shares in hours.items():
        for figure, share in shares.items():
            known.setdefault((figure, _hour(at)), []).append(_angle(share))
    of_hour = {key: median(angles) for key, angles in known.items() if len(angles) >= _LEAST_DAYS}
    apart: dict[str, list[float]] = {}
    for (figure, hour), middle in of_hour.items():
        apart.setdefault(figure, []).extend(abs(angle - middle) for angle in known[figure, hour])
    spread = {name: max(_LEAST_SPREAD, _NORMAL * median(of)) for name, of in apart.items() if len(of) >= _LEAST_HOURS}
    return Usual(of_hour, spread)


def shifts(at: int, told: Mapping[str, Shares], usual: Mapping[str, Usual]) -> Mapping[str, float]:
    """Return figure -> angle by which devices without the candidate differ from what is usual there in an hour.

    at: its begin, UTC s. told: their shares. A figure that fewer than three of them tell is left out.
    """
    apart: dict[str, list[float]] = {}
    for name, shares in told.items():
        for figure, share in shares.items():
            if name in usual and (angle := usual[name].angle(figure, at)) is not None:
                apart.setdefault(figure, []).append(_angle(share) - angle)
    return {figure: median(angles) for figure, angles in apart.items() if len(angles) >= _LEAST_OTHERS}


@dataclass(slots=True)
class _Figure:
    """What is known of a figure of one device. told, expected: sums of shares. hours: of them."""

    told: float = 0.0
    expected: float = 0.0
    hours: int = 0
    worse: Evidence = field(default_factory=Evidence)

    def add(self, share: float, angle: float, spread: float) -> None:
        """Take an hour. angle: that is to be expected."""
        expected = _share(angle)
        limit = min(1.0, max(_FACTOR * expected, expected + _POINTS))
        self.told, self.expected, self.hours = self.told + share, self.expected + expected, self.hours + 1
        self.worse.add((_angle(share) - _angle(limit)) / spread)


@dataclass(slots=True)
class OutputRule:
    """What is known of the output of devices with a candidate."""

    _group_of: dict[str, int] = field(default_factory=dict)
    _figures: dict[tuple[str, str], _Figure] = field(default_factory=dict)

    def add(
        self, name: str, at: int, shares: Shares, usual: Usual, shifted: Mapping[str, float], *, group: int = 0
    ) -> None:
        """Take an hour of a device with the candidate.

        at: its begin, UTC s. shifted: by which others differ in it. group: of the device, from 0.
        """
        for figure, share in shares.items():
            angle = usual.angle(figure, at)
            if angle is not None and figure in shifted:
                self._group_of[name] = group
                known = self._figures.setdefault((name, figure), _Figure())
                known.add(share, angle + shifted[figure], usual.spread[figure])

    def reasons(self) -> Sequence[str]:
        """Return why its output stops it, nothing where it does not."""
        return too_many(self._strays(FALSE_DEVICES), self._group_of, _least, "tell a worse output than before")

    def leans(self) -> str:
        """Return that as many devices seem to be worse as would stop it, empty where they do not: more hours tell."""
        strays = self._strays(_LEANS)
        return next(iter(too_many(strays, self._group_of, _least, "seem to tell a worse output than before")), "")

    def _strays(self, share: float) -> Mapping[str, str]:
        """Return how devices are worse, with a share of false ones of at most `share`."""
        strays: dict[str, str] = {}
        for (name, figure), known in self._figures.items():
            if known.worse.shows(share / len(FIGURES)):
                told, expected = known.told / known.hours, known.expected / known.hours
                strays.setdefault(name, f"{told:.0%} {FIGURES[figure]}, and {expected:.0%} were to be expected")
        return strays


def _least(devices: int) -> int:
    return least_by_chance(devices, FALSE_DEVICES, FALSE_STOPS)


def _hour(at: int) -> int:
    return at % _DAY_S // _HOUR_S


def _angle(share: float) -> float:
    return math.asin(math.sqrt(min(1.0, max(0.0, share))))


def _share(angle: float) -> float:
    return math.sin(min(math.pi / 2, max(0.0, angle))) ** 2
