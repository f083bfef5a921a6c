"""What a ledger saves: numbers and totals of its lines, crossings of open intervals, closed intervals, identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_app.records import Counts, Crossing, IntervalCounts
from edge_app.storage.takeover import Mark


@dataclass(frozen=True, slots=True)
class LineState:
    """State of a line after its newest closed interval.

    seq: number of that interval. totals: counts of every class ever counted on the line. start, end: of that interval,
    UTC s.
    """

    line: str
    seq: int
    totals: Counts
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """Crossing with the start of the interval in which it was counted, UTC s."""

    start: float
    crossing: Crossing


@dataclass(frozen=True, slots=True)
class EncodedInterval:
    """Closed interval ready for the outbox: the state of its line after it, its payload, and what it is counted under.

    config: hash of the configuration; empty where it is not known. counts: the interval itself, to number it anew.
    names: of the site and device that counted it; None for the present ones.
    """

    state: LineState
    payload: str
    installation: str = ""
    config: str = ""
    counts: IntervalCounts | None = None
    names: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Under what intervals are numbered: another one means that numbers and totals begin anew."""

    installation: str
    site: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class LostInterval:
    """Number of an interval that was dropped before it could be saved."""

    installation: str
    line: str
    seq: int


@dataclass(frozen=True, slots=True)
class SavedState:
    """State from which a ledger continues after a restart.

    last_key: the newest key that the outbox has assigned. dropped: intervals lost since the file was made.
    intervals: the open ones. journal: the crossings in them.
    foreign: True when release 1.0 wrote the numbers last: those of 1.1 cannot go on from them.
    taken_over: mark of a take-over from memory that may not be confirmed: numbers may have been told after it.
    """

    identity: Identity
    last_key: int = 0
    dropped: int = 0
    lines: Sequence[LineState] = ()
    intervals: Sequence[IntervalCounts] = ()
    journal: Sequence[JournalEntry] = ()
    foreign: bool = False
    taken_over: Mark | None = None
