"""Add up what the frames of an hour show, for the comparison with other hours. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from edge_app.drift.picture import measured
from edge_app.drift.signals import Hour
from edge_app.records import FrameResult, Tracks

HOUR_S: Final = 3600
_PICTURE_S: Final = 10.0
"""Time, s, between pictures that are measured: a hundredth of the work of the view's monitor, and 360 an hour."""
_LONGEST_S: Final = 1.0
"""Longest time, s, that a frame stands for."""
_ENOUGH_S: Final = 1800.0
"""Time, s, that must have been seen of an hour."""
_ENOUGH: Final = 10
"""Vehicles in an hour from which something is said of them."""
_DOUBTFUL: Final = 0.5
"""Mean score of a track, 0..1, below which its crossing is doubtful."""
_MARGIN: Final = 0.5
"""A track that is seen last so many box sizes from the border or nearer has left the picture."""
_DRIVES: Final = 0.3
"""Speed, box sizes/s, from which a vehicle drives."""
_OF_VEHICLES: Final[tuple[str, ...]] = ("score", "unsure", "size", "track_s", "died", "counted", "vehicles", "activity")

Local: TypeAlias = Callable[[float], tuple[int, int]]
"""Function from UTC s to the number of the local day and the hour of the local week."""


@dataclass(slots=True)
class _Sums:
    """What was seen since the begin of an hour, UTC s. seen_s: time that frames stand for. moving: share of the picture
    that moves, times s. pictures: measures of each."""

    begin: float
    seen_s: float = 0.0
    moving: float = 0.0
    motion_known: bool = True
    scores: list[float] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    died: int = 0
    pictures: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _LastSeen:
    """A track as it was last seen. size: of its box, px. inside: far from the border, and driving."""

    length_s: float
    size: float
    inside: bool


class HourCollector:
    """Collector of one camera, used by one thread.

    local: tells day and hour of the week where the camera stands.
    """

    def __init__(self, local: Local) -> None:
        self._local = local
        self._sums: _Sums | None = None
        self._tracks: dict[int, _LastSeen] = {}
        self._frame_at = self._picture_at = -np.inf

    def observe(self, result: FrameResult) -> Hour | None:
        """Take a frame, in order; return the hour that has ended with it, if enough of that was seen."""
        frame, ended = result.frame, None
        begin = frame.captured_at // HOUR_S * HOUR_S
        if self._sums is None or self._sums.begin != begin:
            ended = self._ended(self._sums) if self._sums else None
            self._sums = _Sums(begin)
        sums, elapsed = self._sums, frame.monotonic - self._frame_at
        self._frame_at = frame.monotonic
        for_s = min(max(0.0, elapsed), _LONGEST_S)
        sums.seen_s += for_s
        if result.moving is None:
            sums.motion_known = False
        else:
            sums.moving += result.moving * for_s
        if not 0 <= frame.monotonic - self._picture_at < _PICTURE_S:
            self._picture_at = frame.monotonic
            for name, value in measured(frame.image).items():
                sums.pictures.setdefault(name, []).append(value)
        sums.scores += [crossing.score for crossing in result.crossings]
        if not result.still:
            self._follow(result.tracks, frame.monotonic, frame.size, sums)
        return ended

    def _follow(self, tracks: Tracks, at: float, size: tuple[int, int], sums: _Sums) -> None:
        """Note the tracks that are there, and how those ended that are gone."""
        present = set(tracks.ids.tolist())
        for gone in self._tracks.keys() - present:
            last = self._tracks.pop(gone)
            sums.lengths.append(last.length_s)
            sums.sizes.append(last.size)
            sums.died += last.inside
        if not present:
            return
        extent = tracks.boxes[:, 2:] - tracks.boxes[:, :2]
        margin = _MARGIN * extent
        inside = (tracks.boxes[:, :2] > margin).all(1) & (tracks.boxes[:, 2:] < np.array(size) - margin).all(1)
        drives = np.hypot(*(tracks.velocities / np.maximum(extent, 1.0)).T) > _DRIVES
        sides = np.sqrt(extent.prod(axis=1))
        for row in np.flatnonzero(tracks.seen).tolist():
            length = at - float(tracks.first_seen[row])
            ends_inside = bool(inside[row] and drives[row])
            self._tracks[int(tracks.ids[row])] = _LastSeen(length, float(sides[row]), ends_inside)

    def _ended(self, sums: _Sums) -> Hour | None:
        if sums.seen_s < _ENOUGH_S:
            return None
        day, slot = self._local(sums.begin)
        vehicles = len(sums.scores)
        values = {name: float(np.median(found)) for name, found in sums.pictures.items()}
        values["vehicles"] = (vehicles + 1.0) * HOUR_S / sums.seen_s
        if sums.motion_known:
            values["counted"] = (vehicles + 1.0) / (sums.moving + 1.0)
            values["activity"] = (sums.moving + 1.0) * HOUR_S / sums.seen_s
        if vehicles >= _ENOUGH:
            values["score"] = float(np.mean(sums.scores))
            values["unsure"] = float(np.mean(np.array(sums.scores) < _DOUBTFUL))
        else:
            values.pop("counted", None)
        if len(sums.lengths) >= _ENOUGH:
            values["track_s"] = float(np.median(sums.lengths)) + 0.1
            values["size"] = float(np.median(sums.sizes)) + 1.0
            values["died"] = sums.died / len(sums.lengths)
        return Hour(day, slot, values, {name: vehicles + 1.0 for name in _OF_VEHICLES if name in values})
