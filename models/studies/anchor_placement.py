"""Measure what placing the anchors is worth: `python -m models.studies.anchor_placement [--models DIR] [--eval DIR]`.

Every file of a folder is evaluated twice on labelled pictures: with its own anchors (models/conversion/anchors.py), and
with anchors that divide the picture evenly and grow with its shorter side, as the source's generator would place them
at that size. Needs no TensorFlow.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from models.common import markdown
from models.common.errors import BuildError, exit_code
from models.conversion import pictures
from models.conversion.anchors import TRAINED_SIDE
from models.conversion.manifest import Manifest, write
from models.evaluation.coco import IOUS
from models.evaluation.detection import precisions
from models.evaluation.labelled import Picture, from_folder

FOLDER: Final = Path(__file__).resolve().parents[1] / "artefacts"
LABELS: Final = ("car", "motorcycle")
OVERLAPS: Final = (0.5, 0.75)


def evenly_placed(manifest: Manifest) -> Manifest:
    """Return the manifest with anchors that divide the picture evenly, of sizes relative to its shorter side."""
    result = copy.deepcopy(manifest)
    relative = TRAINED_SIDE / min(result["input"]["width"], result["input"]["height"])
    for layer in result["anchors"]["layers"]:
        del layer["first"], layer["step"]
        layer["priors"] = [[scale / relative, ratio] for scale, ratio in layer["priors"]]
    return result


def scores(manifest: Manifest, model: bytes, evaluating: Sequence[Picture]) -> list[float]:
    """Return the average precision of LABELS at each of OVERLAPS."""
    with tempfile.TemporaryDirectory() as folder:
        found = precisions(write(Path(folder), manifest, model), evaluating)
    places = [IOUS.index(overlap) for overlap in OVERLAPS]
    return [float(found[label].precision["all"][place]) for place in places for label in LABELS]


def table(models: Sequence[Path], evaluating: Sequence[Picture]) -> str:
    """Return a Markdown table with two rows for each model."""
    head = ["model", "anchors", *(f"AP{round(overlap * 100)} {label}" for overlap in OVERLAPS for label in LABELS)]
    rows = []
    for path in models:
        manifest = json.loads(path.with_suffix(".json").read_text())
        for name, changed in (("even", evenly_placed(manifest)), ("placed", manifest)):
            values = scores(changed, path.read_bytes(), evaluating)
            rows.append([path.stem.rpartition("_")[2], name, *(f"{value:.3f}" for value in values)])
    return markdown.table(head, rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, or 1 when something is missing."""
    parser = argparse.ArgumentParser(
        prog="python -m models.studies.anchor_placement", description="Measure what placing the anchors is worth."
    )
    parser.add_argument(
        "--eval", type=Path, help="labelled pictures ($EDGE_APP_SHARED/detection/eval)", dest="evaluating"
    )
    parser.add_argument(
        "--models", type=Path, default=FOLDER, metavar="DIR", help="folder of .tflite (models/artefacts)"
    )
    args = parser.parse_args(arguments)
    return exit_code(lambda: _print(args.models, args.evaluating))


def _print(folder: Path, evaluating: Path | None) -> None:
    models = sorted(folder.glob("*.tflite"))
    if not models:
        raise BuildError(f"There is no detector in {folder}; run python -m models.conversion.build first.")
    print(table(models, from_folder(evaluating or pictures.shared_folder("eval"))))


if __name__ == "__main__":
    sys.exit(main())
