"""Choose which of the intervals that overlap in time count, by the rules of docs/mqtt.md. Pure: no clock, no I/O."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge_app.city.records import Vector


@dataclass(frozen=True, slots=True)
class Piece:
    """What sums need of an interval. arrived_ms: UTC ms. flags: as text, with commas. doubtful: of its crossings."""

    start: int
    end: int
    series: int
    arrived_ms: int
    counts: Vector
    coverage: float
    flags: str = ""
    doubtful: int = 0

    @property
    def stepped(self) -> bool:
        """Whether the clock was set within it."""
        return "clock_stepped" in self.flags.split(",")

    @property
    def late(self) -> bool:
        """Whether it arrived later than its own length after its end: nobody who looked in time has seen it."""
        return self.arrived_ms - 1000 * self.end > 1000 * (self.end - self.start)


def counting(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the pieces that count, by start.

    Within an installation the first one received counts; between installations the one without clock_stepped, else the
    later one. Where several overlap, the strongest are kept first.
    """
    ordered = sorted(pieces, key=lambda piece: (piece.start, piece.arrived_ms))
    if all(one.end <= other.start for one, other in itertools.pairwise(ordered)):
        return ordered
    kept: list[Piece] = []
    for piece in sorted(_first_received(ordered), key=lambda p: (p.stepped, -p.arrived_ms)):
        if not any(piece.start < other.end and other.start < piece.end for other in kept):
            kept.append(piece)
    return sorted(kept, key=lambda piece: piece.start)


def _first_received(pieces: Sequence[Piece]) -> list[Piece]:
    kept: list[Piece] = []
    for piece in sorted(pieces, key=lambda p: p.arrived_ms):
        if not any(
            piece.series == other.series and piece.start < other.end and other.start < piece.end for other in kept
        ):
            kept.append(piece)
    return kept
