"""Make hours of quarters of an hour, for the comparison with other hours. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from edge_app.drift.seen import QuarterCollector, Seen, merged
from edge_app.drift.signals import Hour
from edge_app.records import FrameResult

HOUR_S: Final = 3600
_ENOUGH_S: Final = 1800.0
"""Time, s, that must have been seen of an hour."""
_ENOUGH: Final = 10
"""Vehicles in an hour from which something is said of their scores; tracks likewise."""
_OF_CROSSINGS: Final = ("score", "unsure")
_OF_TRACKS: Final = ("size", "track_s", "died")
_OF_VEHICLES: Final[tuple[str, ...]] = (*_OF_CROSSINGS, *_OF_TRACKS, "vehicles")

Local: TypeAlias = Callable[[float], tuple[int, int]]
"""Function from UTC s to the number of the local day and the hour of the local week."""


class HourCollector:
    """Collector of one camera, used by one thread.

    local: tells day and hour of the week where the camera stands. on_quarter: gets each quarter of an hour that has
    ended. shift: as for `QuarterCollector`.
    """

    def __init__(
        self,
        local: Local,
        on_quarter: Callable[[Seen], object] = lambda _: None,
        shift: Callable[[], tuple[float, float]] = lambda: (0.0, 0.0),
    ) -> None:
        self._local, self._on_quarter = local, on_quarter
        self._quarters = QuarterCollector(self._take, shift)
        self._begin = -np.inf
        self._parts: list[Seen] = []

    def observe(self, result: FrameResult) -> Hour | None:
        """Take a frame, in order; return the hour that has ended with it, if enough of that was seen."""
        self._quarters.observe(result)
        begin = result.frame.captured_at // HOUR_S * HOUR_S
        if begin == self._begin:
            return None
        self._begin, parts, self._parts = begin, self._parts, []
        return self._hour(merged(parts)) if parts else None

    def _take(self, seen: Seen) -> None:
        self._parts.append(seen)
        self._on_quarter(seen)

    def _hour(self, seen: Seen) -> Hour | None:
        values = {name: float(np.median(found)) for name, found in seen.pictures.items()}
        vehicles, tracks = len(seen.scores), len(seen.lengths)
        if vehicles:
            values["score"] = float(np.mean(seen.scores))
            values["unsure"] = seen.doubtful / vehicles
        if tracks:
            values["track_s"] = float(np.median(seen.lengths)) + 0.1
            values["size"] = float(np.median(seen.sizes)) + 1.0
            values["died"] = seen.died / tracks
        return hour_of(self._local(seen.begin), seen.seen_s, Passed(vehicles, tracks, seen.moving), values)


@dataclass(frozen=True, slots=True)
class Passed:
    """What an hour had. vehicles: crossings. tracks: that have ended. moving: as in `Seen`."""

    vehicles: int
    tracks: int
    moving: float | None


def hour_of(local: tuple[int, int], seen_s: float, passed: Passed, values: Mapping[str, float]) -> Hour | None:
    """Return the hour with what can be said of it; None if too little was seen.

    local: day and hour of the week. seen_s: time that was seen. values: signals of pictures, crossings and tracks.
    """
    if seen_s < _ENOUGH_S:
        return None
    few = (_OF_CROSSINGS if passed.vehicles < _ENOUGH else ()) + (_OF_TRACKS if passed.tracks < _ENOUGH else ())
    kept = {name: value for name, value in values.items() if name not in few}
    vehicles = passed.vehicles + 1.0
    kept["vehicles"] = vehicles * HOUR_S / seen_s
    weights = {name: vehicles for name in _OF_VEHICLES if name in kept}
    if passed.moving is not None:
        moving = passed.moving + 1.0
        # kept however little was counted, and weighed by what moves: a detector that fails must not hide its failure
        kept |= {"counted": vehicles / moving, "activity": moving * HOUR_S / seen_s}
        weights |= {"counted": moving, "activity": vehicles}
    return Hour(*local, kept, weights)
