"""Records that the rooms of the city side pass to each other. Times are whole UTC seconds since 1970."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias
from uuid import UUID

from edge_app.records import DIRECTIONS, VEHICLES, Quality

COLUMNS: Final = tuple(f"{name}_{direction}" for name in VEHICLES for direction in DIRECTIONS)
"""Each class and direction, in the order of every vector of counts."""
Vector: TypeAlias = tuple[int, ...]
"""Vehicles by `COLUMNS`."""
NONE: Final[Vector] = (0,) * len(COLUMNS)


SYNTHETIC: Final[Quality] = "synthetic"
"""Quality flag of counts that are invented."""


class LineName(NamedTuple):
    """A counting line as its topic names it."""

    site: str
    device: str
    line: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Under what an interval was counted. flags: quality flags, sorted, with commas."""

    model: str
    config: str
    boot_id: str
    interval_s: float
    flags: str


@dataclass(frozen=True, slots=True)
class Interval:
    """A closed interval of a line as a device has sent it.

    id: of its content. installation: empty from a device of contract 1.0. others: classes that this release does not
    know, as JSON, empty without any. measures: speeds, headways and so on, or the flows of a junction, whose line is
    `_flows` and which has no counts; as JSON, empty without any. aside: it ends in the future by the clock of the city,
    and counts nowhere.
    """

    id: UUID
    name: LineName
    installation: str
    seq: int
    start: int
    end: int
    counts: Vector
    totals: Vector
    coverage: float
    frames: int
    dropped: int
    settings: Settings
    others: str = ""
    measures: str = ""
    aside: bool = False


WORDS: Final = {
    "content": "number {} has two contents",
    "number": "number {} was given twice",
    "totals": "the totals of number {} are not the sum of the counts",
    "future": "number {} ends in the future",
    "overlap": "number {} overlaps another interval",
}
"""What does not fit of an interval, by kind; the number is its own."""


def number_in(kind: str, what: str) -> int | None:
    """Return the number of the interval that the words of a contradiction name, None where they are no such words."""
    before, _, after = WORDS.get(kind, what).partition("{}")
    number = what.removeprefix(before).removesuffix(after)
    return int(number) if number.isdecimal() else None


"""Kinds of contradictions, with their sentence."""


class Kept(NamedTuple):
    """An interval as the archive keeps it: without totals, which are checked when it comes. arrived_ms: UTC ms."""

    interval: Interval
    arrived_ms: int


class Stretch(NamedTuple):
    """A stretch of time of a line, [start, end), UTC s."""

    name: LineName
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Contradiction:
    """What does not fit in what one line has sent. kind: for programs. what: one sentence for people.

    start, end: the time that it is about, UTC s.
    """

    kind: str
    name: LineName
    what: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of a series that are missing: `first` to `last`, both included."""

    name: LineName
    installation: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Change:
    """What has changed at a site. at: UTC s. kind: line, place, drawn, model, config or installation.

    breaks: counts before and after cannot be compared. before, after: what it is the change of. reason: text for
    people, may be empty.
    """

    at: int
    kind: str
    breaks: bool
    before: str
    after: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What became of a batch."""

    stored: int = 0
    repeated: int = 0
    aside: int = 0
    contradictions: list[Contradiction] = field(default_factory=list)
    new: list[Interval] = field(default_factory=list)
    """Those that are stored, without repeated ones."""
    changed: set[tuple[int, int]] = field(default_factory=set)
    """Line and start of each quarter of an hour that has changed."""


def added(one: Sequence[int], other: Sequence[int]) -> Vector:
    """Return the sum of two vectors."""
    return tuple(a + b for a, b in zip(one, other, strict=True))
