"""Name what is watched over months, and say to which of three kinds of change each belongs. Pure: no clock, no I/O.

Data drift is in the picture, before any detector: a dirty lens, a failing sensor, a lamp that is gone. Model drift is
in what the detector makes of an unchanged picture, or in vehicles that move in it and are not counted. Traffic is
neither: fewer vehicles move, and all of them are counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

REVISION: Final = 2
"""Raised whenever a signal is measured differently: hours of before cannot be compared then."""
Kind: TypeAlias = Literal["data", "model", "traffic"]


@dataclass(frozen=True, slots=True)
class Signal:
    """A figure of each hour.

    kind: of the change that it shows. least: spread of its days below which no change is of interest; ratios
    (`relative`) are compared by their logarithm, so that it is a share there.
    """

    kind: Kind
    least: float
    relative: bool = False


SIGNALS: Final[Mapping[str, Signal]] = {
    "brightness": Signal("data", 0.04, relative=True),
    "contrast": Signal("data", 0.04, relative=True),
    "sharpness": Signal("data", 0.03, relative=True),
    "noise": Signal("data", 0.05, relative=True),
    "score": Signal("model", 0.01),
    "unsure": Signal("model", 0.015),
    "size": Signal("model", 0.03, relative=True),
    "track_s": Signal("model", 0.04, relative=True),
    "died": Signal("model", 0.02),
    "counted": Signal("model", 0.03, relative=True),
    "vehicles": Signal("traffic", 0.04, relative=True),
    "activity": Signal("traffic", 0.04, relative=True),
}
"""brightness, contrast, sharpness, noise: of the picture. score: mean of crossings, 0..1. unsure: share of doubtful
crossings. size: of boxes, px. track_s: length of tracks. died: share of tracks that end on the road. counted: vehicles
for what moves in the picture. vehicles: crossings of an hour. activity: what moves, told by the picture alone."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What hours depend on.

    counts: everything that changes a count, such as the hash of detector and configuration, without a space; signals of
    the detector and of the traffic depend on it. picture: what all signals depend on: how the picture is taken, and
    whose hours they are.
    """

    counts: str
    picture: str = ""

    def __str__(self) -> str:
        return f"setting {self.counts} {self.picture}".rstrip()

    @classmethod
    def of(cls, text: str) -> Setting:
        """Return the setting of a text."""
        counts, _, picture = text.removeprefix("setting ").partition(" ")
        return cls(counts, picture)

    def changed(self, before: str) -> Collection[Kind]:
        """Return the kinds of signals that begin anew after another setting. before: that one, as text."""
        if before == str(self):
            return ()
        known = Setting.of(before)
        if known.picture == self.picture:
            return ("model", "traffic")
        # In former versions the picture was not told apart: where all else is the same, it is too.
        same = known.counts == self.counts and known.picture != ""
        former = same and self.picture.startswith(f"{known.picture} ")
        return () if former else ("data", "model", "traffic")


@dataclass(frozen=True, slots=True)
class Hour:
    """What was measured in an hour.

    day: number of the local day, counted without gaps. slot: hour of the local week, 0 (Monday, midnight) to 167.
    values: signal -> value; absent where too little was seen. weights: signal -> how much the hour says of it, such as
    the number of vehicles; 1 where it is not here.
    """

    day: int
    slot: int
    values: Mapping[str, float]
    weights: Mapping[str, float] = field(default_factory=dict)
