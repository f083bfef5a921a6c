"""Alter real clips as months would, and see by how many days' spreads each signal of `edge_app.drift` moves.

`python -m tests.trials.drift_clips [CLIP ...]` shows each clip as it is and altered, and prints for each alteration the
median over the clips of the change of each signal, in the smallest spread that a day of it is judged by: from 2 on a
lasting change is told within two weeks. The detector sees every tenth frame.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_app.assembly.counter import build_detector
from edge_app.config.model import Config
from edge_app.console.terminal import stdout, table
from edge_app.detectors.tflite import TfliteDetector
from edge_app.drift.picture import measured
from edge_app.drift.signals import SIGNALS
from edge_app.errors import SourceEnded
from edge_app.records import Image
from edge_app.sources.recording import Recording
from tests.support.shared import SHARED
from tests.trials.view import blurred

_EVERY: Final = 10
_FRAMES: Final = 30
_SURE: Final = 0.4
_SIGNALS: Final = ("brightness", "contrast", "sharpness", "noise", "score", "found")
_FOUND_LEAST: Final = SIGNALS["counted"].least


def _noisy(image: Image) -> Image:
    noise = np.random.default_rng(1).normal(0, 4, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def _flat(image: Image) -> Image:
    flat: Image = (110 + 0.75 * (image.astype(np.float32) - 110)).clip(0, 255).astype(np.uint8)
    return flat


def _dim(image: Image) -> Image:
    return (image * 0.7).astype(np.uint8)


def _dusty(image: Image) -> Image:
    """Soft light patches on the lens."""
    height, width = image.shape[:2]
    veil = np.random.default_rng(2).uniform(0, 1, (5, 9)).astype(np.float32)
    veil = 0.5 * np.clip(cv2.resize(veil, (width, height), interpolation=cv2.INTER_CUBIC) - 0.4, 0, 1)[..., None]
    dusty: Image = (image * (1 - veil) + 150 * veil).clip(0, 255).astype(np.uint8)
    return dusty


ALTERATIONS: Final[Mapping[str, Callable[[Image], Image]]] = {
    "blurred, sigma 0.1 % of the width": blurred(1),
    "blurred, sigma 0.2 %": blurred(2),
    "noise of 4 grey levels": _noisy,
    "contrast 25 % less": _flat,
    "light 30 % less": _dim,
    "dust on the lens": _dusty,
}


def _frames(path: Path) -> Iterator[Image]:
    recording = Recording(path)
    try:
        for index in range(_EVERY * _FRAMES):
            frame = recording.read(10.0)
            if frame is not None and index % _EVERY == 0:
                yield frame.image
    except SourceEnded:
        pass
    finally:
        recording.close()


def _seen(detector: TfliteDetector, image: Image) -> dict[str, float]:
    picture = detector.prepare(image)
    scores = detector.decode(picture, detector.engines[0].infer(picture)).scores
    sure = scores[scores >= _SURE]
    found = {"found": float(len(sure))}
    return found | {"score": float(sure.mean())} if len(sure) else found


def _signals(detector: TfliteDetector, images: list[Image]) -> dict[str, float]:
    values = defaultdict[str, list[float]](list)
    for image in images:
        for name, value in (measured(image) | _seen(detector, image)).items():
            values[name].append(value)
    return {name: float(np.mean(many) if name == "found" else np.median(many)) for name, many in values.items()}


def _spreads(name: str, before: float, after: float) -> float:
    signal = SIGNALS.get(name)
    if signal and not signal.relative:
        return (after - before) / signal.least
    return float(np.log((after + 0.1) / (before + 0.1))) / (signal.least if signal else _FOUND_LEAST)


def main() -> None:
    """Print a row for each alteration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="*", type=Path)
    clips = parser.parse_args().clips or sorted((SHARED / "clips").glob("*.mp4"))
    detector, moved = build_detector(Config()), defaultdict[tuple[str, str], list[float]](list)
    for clip in clips:
        images = list(_frames(clip))
        before = _signals(detector, images)
        for name, alter in ALTERATIONS.items():
            after = _signals(detector, [alter(image) for image in images])
            for signal in before.keys() & after.keys():
                moved[name, signal].append(_spreads(signal, before[signal], after[signal]))
    rows = table("altered", *_SIGNALS)
    for name in ALTERATIONS:
        rows.add_row(name, *(f"{np.median(moved[name, signal]):+.1f}" for signal in _SIGNALS))
    stdout().print(rows)
    detector.close()


if __name__ == "__main__":
    main()
