"""Are bicycles told from motorcycles? `python -m models.bicycles MODEL.tflite ... --shards DIR --split FILE`.

Prints, for the bicycles that a person has marked (training/marks.json), what each detector with the product's own
suppression calls the rider's box: a bicycle, a motorcycle, another thing or nothing. Only those of validation cameras
say how it is on cameras that taught nothing. No TensorFlow.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.detectors.tflite import TfliteDetector
from edge_app.records import LABELS, FloatArray
from models.data.samples import Sample
from models.errors import exit_code
from models.markdown import table
from models.metrics import iou_matrix
from models.training import scenes
from models.training.hints import MARKED, marks

_SCORE: Final = 0.2
"""Where the product works."""
_SAME: Final = 0.35
"""IoU from which a detection is of the bicycle or of its rider."""
_CALLED: Final = ("bicycle", "motorcycle", "another", "nothing")


def called(detector: TfliteDetector, samples: Sequence[Sample]) -> Iterator[str]:
    """One of _CALLED for each marked bicycle, by the strongest detection there."""
    boxes_of = marks(MARKED, "bicycles")
    for sample in samples:
        if sample.sha256 not in boxes_of:
            continue
        picture = scenes.in_true_shape(scenes.decoded(sample))
        height, width = picture.shape[:2]
        found = detector.detect(picture)
        for box in boxes_of[sample.sha256] * np.array([width, height] * 2, np.float32):
            yield _called(found.boxes, [LABELS[kind] for kind in found.classes], found.scores, box)


def _called(boxes: FloatArray, labels: Sequence[str], scores: FloatArray, at: FloatArray) -> str:
    near = iou_matrix(boxes, at[None])[:, 0] >= _SAME
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
