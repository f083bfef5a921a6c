"""Measure whether bicycles are distinguished from motorcycles: `python -m models.studies.bicycles MODEL.tflite ...`.

For the bicycles that a person has marked (models/data/marks.json) the command prints what each detector, with the
product's own suppression, takes the rider's box for: a bicycle, a motorcycle, another class or nothing. Only the rows
of validation and test cameras show the result on cameras that were not trained on. Needs no TensorFlow.
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
from models.evaluation.cyclists import ANSWERS, WORKING, taken_for
from models.training.scenes import decoded, in_true_shape


def classified(detector: TfliteDetector, samples: Sequence[Sample]) -> Iterator[str]:
    """Yield one of ANSWERS for each marked bicycle of the samples: what the detector takes it for."""
    boxes_of = marks("bicycles")
    for sample in samples:
        if sample.sha256 in boxes_of:
            picture = in_true_shape(decoded(sample))
            height, width = picture.shape[:2]
            yield from taken_for(detector.detect(picture), boxes_of[sample.sha256], (width, height))


def main() -> int:
    """Run the command. Return 0, or 1 when something is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m models.studies.bicycles",
        description="Measure whether bicycles are distinguished from motorcycles.",
    )
    parser.add_argument("model", nargs="+", type=Path, metavar="MODEL.tflite", help="each with its .json beside it")
    parser.add_argument("--shards", nargs="+", type=Path, required=True, metavar="DIR", help="folders with pictures")
    parser.add_argument("--split", type=Path, required=True, metavar="FILE", help="what `models.data split` wrote")
    args = parser.parse_args()
    return exit_code(lambda: _report(args))


def _report(args: argparse.Namespace) -> None:
    cameras, rows = splits.read(args.split), []
    samples = list(shards.read(args.shards))
    for model in args.model:
        detector = TfliteDetector(model, threads=2, score=WORKING)
        for part in splits.PARTS:
            counts = Counter(classified(detector, [one for one in samples if cameras.part(one.camera) == part]))
            rows.append([model.stem, model.parent.name, part, *(str(counts[what]) for what in ANSWERS)])
        detector.close()
    print(table(["model", "of", "cameras", *ANSWERS], rows))


if __name__ == "__main__":
    sys.exit(main())
