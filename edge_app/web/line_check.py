"""Check counting lines by what a few seconds of real frames show (the measured part of the line check).

A line is well placed where vehicles are large enough for the detector, appear in enough frames on their way across,
and where the detector sees the line at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal, TypeAlias

import numpy as np

from edge_app.detectors.manifest import Manifest
from edge_app.records import Line, Region, Tracks
from edge_app.web.languages import messages

Level: TypeAlias = Literal["ok", "warn", "FAIL"]

LEAST_FRAMES: Final = 2.5
"""Fewest frames while a vehicle moves by its own length. The tracker follows a vehicle of unknown speed over at most
0.9 of its length, so from about 2.5 frames on, one frame without a detection does not lose the vehicle."""
SMALLEST: Final = 0.7
"""Least vehicle height as a share of the smallest anchor. A smaller vehicle overlaps every anchor by less than one
half, and an SSD is trained to call that background (Liu et al., 2016)."""
_LEAST_INSIDE: Final = 0.5
"""Least share of a line that must lie in the detector's region."""


_HIDDEN: Final = 0.5
"""Share of its frames near the line in which a vehicle is not seen, and of the vehicles for which that holds, from
which on something stands before the line."""
_LEAST_HIDDEN: Final = 3
"""Fewest vehicles for that: one may be hidden by another."""
_MOVING: Final = 0.3
"""Own lengths/s from which a vehicle drives; the box of one that stands moves a little in any direction."""
_ALONG: Final = 0.35
"""Sine of the angle between a line and a way that is taken for along it, 20 degrees."""
_MOST: Final = 0.8
"""Share of the vehicles near a line that must drive along it. At the mouth of a side road many do, beside those that
are to be counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `edge-app check`.

    what: the part that was checked. sentence: one sentence about it. key, values: of the same sentence in the page's
    languages (`messages/`), empty where it is in English alone.
    """

    level: Level
    what: str
    sentence: str
    key: str = field(default="", compare=False, kw_only=True)
    values: Mapping[str, str] = field(default_factory=dict, compare=False, kw_only=True)


def finding(level: Level, what: str, key: str, **values: str) -> Finding:
    """Return a finding whose sentence is a text of the page, `finding.KEY`."""
    name = f"finding.{key}"
    return Finding(level, what, messages("en")[name].format(**values), key=name, values=values)


@dataclass(frozen=True, slots=True)
class DetectorView:
    """The part of the frame that the detector sees, and the model that it is scaled for.

    region: x0, y0, x1, y1 in 0..1 of the frame; None for the whole frame.
    """

    region: Region | None
    manifest: Manifest

    def scale(self, width: int, height: int) -> float:
        """Return how many px of the model's input one px of a frame of this width and height becomes."""
        x0, y0, x1, y1 = self.region or (0.0, 0.0, 1.0, 1.0)
        model = self.manifest.input
        return min(model.width / ((x1 - x0) * width), model.height / ((y1 - y0) * height))

    @property
    def smallest(self) -> float:
        """Height of the smallest vehicle that is detected reliably, px of the model's input."""
        model = self.manifest.input
        scales = [scale for layer in self.manifest.layers for scale, _ in layer.priors]
        return SMALLEST * min(scales) * min(model.width, model.height)


@dataclass(slots=True)
class LineObserver:
    """Sizes and speeds of the vehicles near one line.

    size: width and height of the frames, px. heights: track id -> height in px, one value a frame. seen: track id ->
    whether it was detected, one value a frame, those in which it is only predicted included. speeds: track id ->
    speed across the line in own lengths/s, one value a frame. angles: track id -> sine of the angle between the line
    and the way of the vehicle, one value for each frame in which it drives.
    """

    line: Line
    size: tuple[int, int]
    heights: dict[int, list[float]] = field(default_factory=dict)
    seen: dict[int, list[bool]] = field(default_factory=dict)
    speeds: dict[int, list[float]] = field(default_factory=dict)
    angles: dict[int, list[float]] = field(default_factory=dict)

    def update(self, tracks: Tracks) -> None:
        """Note the vehicles of one frame that are within one length of the line."""
        start, end = (np.multiply(point, self.size) for point in (self.line.start, self.line.end))
        length = float(np.hypot(*(end - start)))
        along = (end - start) / length
        across = np.array([-along[1], along[0]])
        relative = tracks.centroids - start
        extent = (tracks.boxes[:, 2:] - tracks.boxes[:, :2]) @ np.abs(across)
        position = relative @ along / length
        near = (np.abs(relative @ across) < extent) & (position >= 0) & (position <= 1)
        for row in np.flatnonzero(near).tolist():
            self.seen.setdefault(int(tracks.ids[row]), []).append(bool(tracks.seen[row]))
        for row in np.flatnonzero(near & tracks.seen).tolist():
            track = int(tracks.ids[row])
            self.heights.setdefault(track, []).append(float(tracks.boxes[row, 3] - tracks.boxes[row, 1]))
            sideways = abs(float(tracks.velocities[row] @ across))
            self.speeds.setdefault(track, []).append(sideways / float(extent[row]))
            speed = float(np.hypot(*tracks.velocities[row]))
            if speed > _MOVING * float((tracks.boxes[row, 2:] - tracks.boxes[row, :2]).max()):
                self.angles.setdefault(track, []).append(sideways / speed)

    @property
    def is_along_traffic(self) -> bool:
        """True when nearly every vehicle near the line drives along it."""
        along = [median(of_one) < _ALONG for of_one in self.angles.values()]
        return bool(along) and sum(along) >= _MOST * len(along)

    @property
    def hidden(self) -> int:
        """Number of vehicles that were hardly seen near the line, 0 when most were: a post or a tree stands there."""
        hidden = [sum(of_one) < _HIDDEN * len(of_one) for of_one in self.seen.values()]
        return sum(hidden) if sum(hidden) >= max(_LEAST_HIDDEN, _HIDDEN * len(hidden)) else 0


def check_line(observer: LineObserver, view: DetectorView, rate: float, seconds: float) -> list[Finding]:
    """Return the findings about one line.

    rate: frames/s that were really processed. seconds: how long the line was observed.
    """
    what = f"line {observer.line.id}"
    findings = _outside(what, observer.line, view.region) + _hidden(what, observer, seconds)
    if not observer.heights:
        return findings or [finding("ok", what, "quiet", seconds=f"{seconds:.0f}")]
    height = _typical(observer.heights) * view.scale(*observer.size)
    speed = _typical(observer.speeds)
    findings += _too_small(what, height, view)
    if observer.is_along_traffic:
        return [*findings, finding("warn", what, "along")]
    findings += _too_fast(what, speed, rate)
    if findings:
        return findings
    frames = f"{rate / max(speed, 0.1):.0f}"
    seen = {"n": str(len(observer.heights)), "seconds": f"{seconds:.0f}", "height": f"{height:.0f}", "frames": frames}
    return [finding("ok", what, "good", **seen)]


def check_rate(source: float, model: float) -> Finding:
    """Return whether the detector is as fast as the source; both in frames/s."""
    if model >= source:
        return Finding("ok", "speed", f"the model can process {model:.0f} frames/s, and the source gives {source:.1f}.")
    sentence = (
        f"the source gives {source:.1f} frames/s, but the model can process only {model:.1f}; the others are counted "
        "as dropped: set source.fps_limit, or take a smaller model."
    )
    return Finding("warn", "speed", sentence)


def _typical(values: dict[int, list[float]]) -> float:
    """Return the median over the vehicles of each vehicle's median: one that stays long counts no more than others."""
    return median(median(of_one) for of_one in values.values())


def _outside(what: str, line: Line, region: Region | None) -> list[Finding]:
    inside = _share_inside(line, region) if region else 1.0
    if inside >= _LEAST_INSIDE:
        return []
    return [finding("warn", what, "outside", share=f"{inside * 100:.0f}")]


def _share_inside(line: Line, region: Region) -> float:
    points = np.linspace(line.start, line.end, 201)
    inside = ((points >= region[:2]) & (points <= region[2:])).all(axis=1)
    return float(inside.mean())


def _hidden(what: str, observer: LineObserver, seconds: float) -> list[Finding]:
    n = observer.hidden
    if not n:
        return []
    return [finding("warn", what, "hidden", n=str(n), all=str(len(observer.seen)), seconds=f"{seconds:.0f}")]


def _too_small(what: str, height: float, view: DetectorView) -> list[Finding]:
    if height >= view.smallest:
        return []
    size = f"{view.manifest.input.width}x{view.manifest.input.height}"
    return [finding("warn", what, "small", height=f"{height:.0f}", input=size, least=f"{view.smallest:.0f}")]


def _too_fast(what: str, speed: float, rate: float) -> list[Finding]:
    if speed * LEAST_FRAMES <= rate:
        return []
    return [finding("warn", what, "fast", frames=f"{rate / speed:.1f}", rate=f"{rate:.1f}", least=f"{LEAST_FRAMES:g}")]
