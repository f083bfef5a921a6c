"""Measure how counts change with another view of the same road: clips with hand-made truth, unaltered and altered.

`python -m tests.trials.altered [--model FILE] [--every N] [--keep DIR] [TRUTH.json ...]` counts every clip in every
view with the default settings and prints one row for each view. No setting of the program was chosen on the altered
clips. It takes about ten minutes on two cores.
"""

from __future__ import annotations

import argparse
import functools
import operator
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from edge_app.assembly.counter import build_detector
from edge_app.commands._options import load_config
from edge_app.console.terminal import stdout, table
from edge_app.detectors.tflite import TfliteDetector
from edge_app.offline.scoring import Event, Score, Truth, read_truth, score
from edge_app.records import Direction, Frame, Image
from edge_app.sources.recording import Recording
from tests.support.shared import SHARED
from tests.trials.detected import DetectionStore, add_keep, read

_BORDER = 1.3
_OPPOSITE: dict[Direction, Direction] = {"left_to_right": "right_to_left", "right_to_left": "left_to_right"}

Alteration = Callable[[Frame], Image]
"""Function from a frame to an altered copy of its picture."""


def mirrored(frame: Frame) -> Image:
    return np.ascontiguousarray(frame.image[:, ::-1])


def half(frame: Frame) -> Image:
    """Return half the pixels on each side, like a cheaper camera."""
    return cv2.resize(frame.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)


def bordered(frame: Frame) -> Image:
    """Return everything 1.3 times smaller with grey around it, like a wider lens."""
    height, width = frame.image.shape[:2]
    above, beside = round(height * (_BORDER - 1) / 2), round(width * (_BORDER - 1) / 2)
    grey = (128, 128, 128)
    return cv2.copyMakeBorder(frame.image, above, above, beside, beside, cv2.BORDER_CONSTANT, value=grey).astype(
        np.uint8
    )


def dusk(frame: Frame) -> Image:
    """Return a third of the light."""
    return (frame.image * 0.33).astype(np.uint8)


def noisy(frame: Frame) -> Image:
    """Add the noise of a sensor at high gain, sigma 8 of 255."""
    noise = np.random.default_rng(frame.index).normal(0, 8, frame.image.shape)
    return np.clip(frame.image + noise, 0, 255).astype(np.uint8)


def blocky(frame: Frame) -> Image:
    """Compress like a camera that must save bandwidth."""
    _, packed = cv2.imencode(".jpg", frame.image, [cv2.IMWRITE_JPEG_QUALITY, 20])
    return np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)


def unchanged(truth: Truth) -> Truth:
    return truth


def mirrored_truth(truth: Truth) -> Truth:
    """Return the truth of a mirrored clip."""
    events, uncertain = (
        tuple(replace(event, direction=_OPPOSITE[event.direction]) for event in these)
        for these in (truth.events, truth.uncertain)
    )
    return replace(_moved(truth, lambda x, y: (1 - x, y)), events=events, uncertain=uncertain)


def bordered_truth(truth: Truth) -> Truth:
    """Return the truth of a clip with a border."""
    return _moved(truth, lambda x, y: (0.5 + (x - 0.5) / _BORDER, 0.5 + (y - 0.5) / _BORDER))


def _moved(truth: Truth, to: Callable[[float, float], tuple[float, float]]) -> Truth:
    return replace(truth, line=replace(truth.line, start=to(*truth.line.start), end=to(*truth.line.end)))


VIEWS: dict[str, tuple[Alteration, Callable[[Truth], Truth]]] = {
    "unaltered": (lambda frame: frame.image, unchanged),
    "mirrored": (mirrored, mirrored_truth),
    "half the width": (half, unchanged),
    "1.3 times smaller": (bordered, bordered_truth),
    "a third of the light": (dusk, unchanged),
    "noise, sigma 8": (noisy, unchanged),
    "JPEG of quality 20": (blocky, unchanged),
}
"""Alteration of the frames, and the truth that belongs to it."""


def score_of(path: Path, view: str, detector: TfliteDetector, keep: Path | None, every: int) -> Score:
    """Count the clip of a truth file in one view. every: only one frame in so many is used."""
    alteration, move_truth = VIEWS[view]
    truth = move_truth(read_truth(path))
    clip = path.resolve().parent.parent / "clips" / truth.clip

    def altered() -> Iterator[Frame]:
        return (replace(frame, image=alteration(frame)) for frame in read(Recording(clip)))

    found = DetectionStore(keep, detector, (Path(__file__), clip)).detected(view, altered)
    counted = found.every(every).crossings(truth.line)
    return score(truth, [Event(c.frame / truth.fps, c.label, c.direction) for c in counted])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("truth", nargs="*", type=Path, metavar="TRUTH.json")
    parser.add_argument("--model", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every Nth frame (default 1)")
    add_keep(parser)
    given = parser.parse_args()
    detector = build_detector(load_config(None, [], given.model))
    rows = table("view", "true", "false", "missed", "F1", "any", "eff.", "motor.")
    truths = given.truth or sorted((SHARED / "truth").glob("*.json"))
    for name in VIEWS:
        scores = [score_of(path, name, detector, given.keep, given.every) for path in truths]
        rows.add_row(name, *_figures(functools.reduce(operator.add, scores)))
    stdout().print(rows)
    return 0


def _figures(all_clips: Score) -> list[str]:
    t, effectiveness = all_clips.overall, all_clips.effectiveness
    shares = [t.f1, all_clips.any_class.f1, effectiveness or 0.0, all_clips.groups["motorcycle"].f1]
    return [*map(str, (t.true, t.false, t.missed)), *(f"{share:.3f}" for share in shares)]


if __name__ == "__main__":
    sys.exit(main())
