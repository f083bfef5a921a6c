"""Are bicycles told from motorcycles? `python -m models.bicycles MODEL.tflite ... --shards DIR --split FILE`.

Prints, for the bicycles that a person has marked (training/bicycles.json), what each detector with the product's own
suppression calls the rider's box: a bicycle, a motorcycle, another thing or nothing. Only those of validation cameras
say how it is on cameras that taught nothing. No TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, FloatArray
from models.data.samples import Sample
from models.errors import exit_code
from models.markdown import table
from models.training import scenes
from models.training.hints import MARKED
from models.training.matching import area, shared_area

_SCORE: Final = 0.2
"""Where the product works."""
_SAME: Final = 0.35
"""IoU from which a detection is of the bicycle or of its rider."""
_CALLED: Final = ("bicycle", "motorcycle", "another", "nothing")


def called(detector: TfliteDetector, samples: Sequence[Sample]) -> Iterator[str]:
    """One of _CALLED for each marked bicycle, by the strongest detection there."""
    boxes_of = json.loads(MARKED.read_text("utf-8"))["bicycles"]
    for sample in samples:
        if sample.sha256 not in boxes_of:
            continue
        scene = scenes.decoded(sample)
        height = scene.image.shape[0]
        width = round(height * scene.aspect)
        found = detector.detect(np.asarray(cv2.resize(scene.image, (width, height)), np.uint8))
        for box in np.array(boxes_of[sample.sha256], np.float32) * np.array([width, height] * 2, np.float32):
            yield _called(found.boxes, [LABELS[kind] for kind in found.classes], found.scores, box)


def _called(boxes: FloatArray, labels: Sequence[str], scores: FloatArray, at: FloatArray) -> str:
    both = shared_area(boxes, at[None])[:, 0]
    near = both / (area(boxes) + area(at[None]) - both) >= _SAME
    there = [(score, label) for score, label, one in zip(scores, labels, near, strict=True) if one]
    label = max(there, default=(0.0, "nothing"))[1]
    return label if label in _CALLED else "another"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m models.bicycles", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", nargs="+", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--shards", nargs="+", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    given = parser.parse_args()
    return exit_code(lambda: _report(given))


def _report(given: argparse.Namespace) -> None:
    parts = scenes.read(given.shards, given.split)
    rows = []
    for model in given.model:
        detector = TfliteDetector(model, threads=2, score=_SCORE)
        for name, samples in (("validation", parts.validation), ("training", parts.training)):
            counts = Counter(called(detector, samples))
            rows.append([model.stem, model.parent.name, name, *(str(counts[what]) for what in _CALLED)])
        detector.close()
    print(table(["model", "of", "cameras", *_CALLED], rows))


if __name__ == "__main__":
    sys.exit(main())
