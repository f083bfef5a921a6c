"""Make hours of quarters of an hour, for the comparison with other hours. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from edge_app.drift.seen import QuarterCollector, Seen, merged
from edge_app.drift.signals import Hour
from edge_app.records import FrameResult

HOUR_S: Final = 3600
_ENOUGH_S: Final = 1800.0
"""Time, s, that must have been seen of an hour."""
_ENOUGH: Final = 10
"""Vehicles in an hour from which something is said of them."""
_OF_VEHICLES: Final[tuple[str, ...]] = ("score", "unsure", "size", "track_s", "died", "counted", "vehicles", "activity")

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
        if seen.seen_s < _ENOUGH_S:
            return None
        day, slot = self._local(seen.begin)
        vehicles = len(seen.scores)
        values = {name: float(np.median(found)) for name, found in seen.pictures.items()}
        values["vehicles"] = (vehicles + 1.0) * HOUR_S / seen.seen_s
        if seen.moving is not None:
            values["counted"] = (vehicles + 1.0) / (seen.moving + 1.0)
            values["activity"] = (seen.moving + 1.0) * HOUR_S / seen.seen_s
        if vehicles >= _ENOUGH:
            values["score"] = float(np.mean(seen.scores))
            values["unsure"] = seen.doubtful / vehicles
        else:
            values.pop("counted", None)
        if len(seen.lengths) >= _ENOUGH:
            values["track_s"] = float(np.median(seen.lengths)) + 0.1
            values["size"] = float(np.median(seen.sizes)) + 1.0
            values["died"] = seen.died / len(seen.lengths)
        return Hour(day, slot, values, {name: vehicles + 1.0 for name in _OF_VEHICLES if name in values})
