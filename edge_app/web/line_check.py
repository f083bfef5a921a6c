"""The measured part of the line lint: what a few seconds of real frames say about a counting line. Pure.

A line is well placed where vehicles are large enough for the detector, are looked at often enough on their way, and
where the detector looks at all.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal, TypeAlias

import numpy as np

from edge_app.detectors.manifest import Manifest
from edge_app.records import Line, Region, Tracks

Level: TypeAlias = Literal["ok", "warn", "FAIL"]

LEAST_LOOKS: Final = 2.5
"""Looks while a vehicle moves by its own length. The tracker follows a vehicle of unknown speed over 0.9 of its length
at most, so from about 2.5 on one missed look does not lose it."""
SMALLEST: Final = 0.7
"""Vehicle height in parts of the smallest anchor: what is smaller overlaps every anchor by less than one half, and an
SSD is trained to call that background (Liu et al., 2016)."""
_INSIDE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `edge-app check`: what was looked at, and one sentence about it."""

    level: Level
    what: str
    sentence: str


@dataclass(frozen=True, slots=True)
class DetectorView:
    """What the road is seen through. region: the part of the frame that the detector looks at, None for all of it."""

    region: Region | None
    manifest: Manifest

    def scale(self, width: int, height: int) -> float:
        """Px of the model's input for one px of a frame of this size."""
        x0, y0, x1, y1 = self.region or (0.0, 0.0, 1.0, 1.0)
        model = self.manifest.input
        return min(model.width / ((x1 - x0) * width), model.height / ((y1 - y0) * height))

    @property
    def smallest(self) -> float:
        """Height of the smallest vehicle that is found reliably, px of the model's input."""
        model = self.manifest.input
        scales = [scale for layer in self.manifest.layers for scale, _ in layer.priors]
        return SMALLEST * min(scales) * min(model.width, model.height)


@dataclass(slots=True)
class LineObserver:
    """What was seen at one line in frames of one size, px: of each vehicle near it, its height in px and its speed
    across the line in own lengths/s, look by look."""

    line: Line
    size: tuple[int, int]
    heights: dict[int, list[float]] = field(default_factory=dict)
    speeds: dict[int, list[float]] = field(default_factory=dict)

    def see(self, tracks: Tracks | None) -> None:
        """Notes the vehicles that are within one length of the segment at this look."""
        if tracks is None:
            return
        start, end = (np.multiply(point, self.size) for point in (self.line.start, self.line.end))
        length = float(np.hypot(*(end - start)))
        along = (end - start) / length
        across = np.array([-along[1], along[0]])
        relative = tracks.centroids - start
        extent = (tracks.boxes[:, 2:] - tracks.boxes[:, :2]) @ np.abs(across)
        place = relative @ along / length
        near = tracks.seen & (np.abs(relative @ across) < extent) & (place >= 0) & (place <= 1)
        for row in np.flatnonzero(near).tolist():
            track = int(tracks.ids[row])
            self.heights.setdefault(track, []).append(float(tracks.boxes[row, 3] - tracks.boxes[row, 1]))
            self.speeds.setdefault(track, []).append(abs(float(tracks.velocities[row] @ across)) / float(extent[row]))


def judge(watch: LineObserver, vision: DetectorView, rate: float, seconds: float) -> list[Finding]:
    """The findings about one line. rate: looks/s that were really made. seconds: how long it was watched."""
    what = f"line {watch.line.id}"
    findings = _outside(what, watch.line, vision.region)
    if not watch.heights:
        sentence = f"no moving vehicle came near it within {seconds:.0f} s; check again while there is traffic."
        return [*findings, Finding("ok", what, sentence)]
    high = _middle(watch.heights) * vision.scale(*watch.size)
    speed = _middle(watch.speeds)
    findings += [*_too_small(what, high, vision), *_too_fast(what, speed, rate)]
    seen = f"{len(watch.heights)} vehicle{'s' * (len(watch.heights) > 1)} seen there in {seconds:.0f} s"
    sentence = f"{seen}, {high:.0f} px high in the model's input, {rate / max(speed, 0.1):.0f} looks on a length."
    return findings or [Finding("ok", what, sentence)]


def _middle(values: dict[int, list[float]]) -> float:
    """Each vehicle has one voice, however long it was there."""
    return median(median(of_one) for of_one in values.values())


def _outside(what: str, line: Line, region: Region | None) -> list[Finding]:
    inside = _share_inside(line, region) if region else 1.0
    if inside >= _INSIDE:
        return []
    sentence = f"only {inside:.0%} of it lies in detector.region, and nothing is seen outside: widen the region."
    return [Finding("warn", what, sentence)]


def _share_inside(line: Line, region: Region) -> float:
    places = np.linspace(line.start, line.end, 201)
    inside = ((places >= region[:2]) & (places <= region[2:])).all(axis=1)
    return float(inside.mean())


def _too_small(what: str, high: float, vision: DetectorView) -> list[Finding]:
    if high >= vision.smallest:
        return []
    model = vision.manifest.input
    sentence = (
        f"vehicles are {high:.0f} px high there in the model's {model.width}x{model.height} input, and below "
        f"{vision.smallest:.0f} px many are missed: move the line nearer, zoom in or set detector.region."
    )
    return [Finding("warn", what, sentence)]


def _too_fast(what: str, speed: float, rate: float) -> list[Finding]:
    if speed * LEAST_LOOKS <= rate:
        return []
    sentence = (
        f"vehicles move by their own length within {rate / speed:.1f} looks at {rate:.1f} frames/s, and below "
        f"{LEAST_LOOKS:g} some are lost on the way: raise the frame rate or move the line further off."
    )
    return [Finding("warn", what, sentence)]


def keeps_up(source: float, model: float) -> Finding:
    """Whether the detector is as fast as the source; both in frames/s."""
    if model >= source:
        return Finding("ok", "speed", f"the model can look at {model:.0f} frames/s, and {source:.1f} come.")
    sentence = (
        f"{source:.1f} frames/s come, but the model can look at {model:.1f} only; the others are dropped, and counted "
        "as such: set source.fps_limit, or take a smaller model."
    )
    return Finding("warn", "speed", sentence)
