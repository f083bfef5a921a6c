"""Are bicycles told from motorcycles? `python -m models.studies.bicycles MODEL.tflite ... --shards DIR --split FILE`.

Prints, for the bicycles that a person has marked (data/marks.json), what each detector with the product's own
suppression calls the rider's box: a bicycle, a motorcycle, another thing or nothing. Only those of validation and test
cameras say how it is on cameras that taught nothing. No TensorFlow.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from edge_app.detectors.tflite import TfliteDetector
from models.common.errors import exit_code
from models.common.markdown import table
from models.data import shards, splits
from models.data.marks import marks
from models.data.samples import Sample
from models.evaluation.cyclists import BICYCLE_LABELS, WORKING, bicycle_labels
from models.training.scenes import decoded, in_true_shape


def looked_at(detector: TfliteDetector, samples: Sequence[Sample]) -> Iterator[str]:
    """One of CALLED for each marked bicycle."""
    boxes_of = marks("bicycles")
    for sample in samples:
        if sample.sha256 in boxes_of:
            picture = in_true_shape(decoded(sample))
            height, width = picture.shape[:2]
            yield from bicycle_labels(detector.detect(picture), boxes_of[sample.sha256], (width, height))


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m models.studies.bicycles", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("model", nargs="+", type=Path, metavar="MODEL.tflite")
    parser.add_argument("--shards", nargs="+", type=Path, required=True)
    parser.add_argument("--split", type=Path, required=True)
    given = parser.parse_args()
    return exit_code(lambda: _report(given))


def _report(given: argparse.Namespace) -> None:
    cameras, rows = splits.read(given.split), []
    samples = list(shards.read(given.shards))
    for model in given.model:
        detector = TfliteDetector(model, threads=2, score=WORKING)
        for part in splits.PARTS:
            counts = Counter(looked_at(detector, [one for one in samples if cameras.part(one.camera) == part]))
            rows.append([model.stem, model.parent.name, part, *(str(counts[what]) for what in BICYCLE_LABELS)])
        detector.close()
    print(table(["model", "of", "cameras", *BICYCLE_LABELS], rows))


if __name__ == "__main__":
    sys.exit(main())
