"""Add intervals up to quarters of an hour. Pure: no clock, no I/O.

An interval is never split: it counts in the quarter in which it begins, and how much of it lies beyond is told. A
quarter into which one reaches and in which none begins has no sum: that it is empty is not known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_app.city.overlaps import Piece, counting
from edge_app.city.records import NONE, Vector, added

QUARTER_S: Final = 900
_NEW_S: Final = 3600


@dataclass(slots=True)
class Sum:
    """Sum of the intervals that begin in a quarter.

    covered_s: of `length_s`, in which no vehicle could pass unseen. late_s: of `length_s`, of intervals that arrived
    later than their own length after their end. doubtful: crossings that may be wrong.
    """

    counts: Vector = NONE
    length_s: int = 0
    covered_s: float = 0.0
    straddling_s: int = 0
    flagged_s: int = 0
    late_s: int = 0
    intervals: int = 0
    doubtful: int = 0
    flags: Mapping[str, int] = field(default_factory=dict)


def deciding(start: Any, longest_s: Any) -> tuple[Any, Any]:
    """Return the time, UTC s, whose intervals decide which of those that begin in a quarter count.

    start: of the quarter. longest_s: of the intervals of its line. Both are numbers, or columns of a question to the
    database. One that begins in it may reach over its end, and one that it overlaps there counts or not by what that
    overlaps in turn; so at its begin.
    """
    return start - longest_s, start + QUARTER_S + longest_s


def is_new(start: Any, straddling_s: Any, now: int) -> Any:
    """Return whether a quarter began within the last hour, or its last interval is the newest there can be.

    start, straddling_s: of the quarter, numbers or columns of a question to the database. now: UTC s. The next interval
    is over when it has taken as long again.
    """
    return start + 2 * straddling_s >= now - _NEW_S


def beyond(start: int, straddling_s: int, end: int) -> int:
    """Return the seconds of the intervals of a quarter that lie beyond the end of a longer step that it is in.

    start: of the quarter. straddling_s: of its intervals, beyond its own end. end: of the step. All UTC s and s.
    """
    # Intervals that count do not overlap: it is the last of the quarter alone that reaches so far.
    return max(0, start + QUARTER_S + straddling_s - end) if straddling_s else 0


def quarter_sum(pieces: Sequence[Piece], start: int) -> Sum:
    """Return the sum of a quarter. pieces: every interval of the line that overlaps the time that is `deciding`."""
    total, flags, end = Sum(), Counter[str](), start + QUARTER_S
    for piece in counting(pieces):
        if not start <= piece.start < end:
            continue
        length = piece.end - piece.start
        total.counts = added(total.counts, piece.counts)
        total.length_s += length
        total.covered_s += piece.coverage * length
        total.straddling_s += max(0, piece.end - end)
        total.late_s += length if piece.late else 0
        total.intervals += 1
        total.doubtful += piece.doubtful
        if piece.flags:
            total.flagged_s += length
            flags.update(dict.fromkeys(piece.flags.split(","), length))
    total.flags = dict(sorted(flags.items()))
    return total
