"""Measure each choice of the recipe: `python -m models.studies.quantisation [--input WxH] [--images DIR] [--eval DIR]`.

The command builds the file in every variant, compares each with the float file on labelled pictures that calibrated
none of them, and prints one table. It takes about 20 minutes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from edge_app.records import Image
from models.common.errors import exit_code
from models.common.markdown import table
from models.conversion import pictures, published_weights
from models.conversion.anchors import Size, size_of
from models.conversion.build import pictures_of
from models.conversion.checks import compare
from models.conversion.fidelity import Fidelity
from models.conversion.manifest import write
from models.conversion.quantisation import FLOAT, SHIPPED, Built, build
from models.conversion.raw_model import RawModel, relative_times
from models.evaluation.detection import precisions
from models.evaluation.labelled import Picture, from_files

PLAIN: Final = replace(SHIPPED, name="per layer", biases_first=False)
BIASES: Final = replace(SHIPPED, name="+ biases first (ships)")
CLIPPED: Final = replace(SHIPPED, name="+ logits from -6", lowest_logit=-6.0)
ROUNDED: Final = replace(CLIPPED, name="+ compensated rounding", rounding=True)
VARIANTS: Final = (
    replace(PLAIN, name="one scale over all layers", per_layer=False),
    PLAIN,
    BIASES,
    replace(BIASES, name="  with 25 pictures", pictures=25),
    replace(BIASES, name="  with 400 pictures", pictures=400),
    replace(BIASES, name="  with relit pictures", relight=True),
    replace(BIASES, name="  with last convolutions float", float_heads=True),
    CLIPPED,
    ROUNDED,
    replace(ROUNDED, name="  with relit pictures too", relight=True),
    replace(ROUNDED, name="  with last convolutions float too", float_heads=True, lowest_logit=None),
)
COLUMNS: Final = "variant|score err|p95|flips .3|.4|.5|IoU|AP50 car|moto|time|MB"
EVALUATED: Final = ("car", "motorcycle")


@dataclass(frozen=True, slots=True)
class Row:
    """Figures of one variant.

    fidelity: to the float file, None for the float file itself. precision: class -> AP50.
    time: of one invoke, relative to PLAIN in the same run. megabytes: size of the file.
    """

    name: str
    fidelity: Fidelity | None
    precision: Mapping[str, float]
    time: float
    megabytes: float

    def cells(self) -> list[str]:
        """Return the cells of the table's row."""
        found = self.fidelity
        first = [f"{found.score_mean:.4f}", f"{found.score_p95:.3f}"] if found else ["-", "-"]
        flips = [f"{flip:.3f}" for flip in found.flips] if found else ["-"] * 3
        overlap = f"{found.box_iou:.3f}" if found else "-"
        scores = [f"{self.precision[label]:.3f}" for label in EVALUATED]
        return [self.name, *first, *flips, overlap, *scores, f"{self.time:.2f}", f"{self.megabytes:.2f}"]


def study(size: Size, calibrating: Sequence[Path], evaluating: Sequence[Path], say: Callable[[str], None]) -> list[Row]:
    """Build and measure every variant, the float file first.

    calibrating: pictures to choose representative ones from. evaluating: labelled pictures, none of them in
    `calibrating`.
    say: called with a line of progress before each step.
    """
    graph = published_weights.read(published_weights.fetch())
    files: dict[str, Built] = {}
    for recipe in (FLOAT, *VARIANTS):
        say(f"building: {recipe.name}")
        files[recipe.name] = build(graph, size, recipe, calibrating, {})
    times = _times(files, pictures.letterbox(pictures.load(evaluating[0]), size))
    labelled, rows = from_files(evaluating, "all"), []
    for name, built in files.items():
        say(f"measuring: {name}")
        fidelity = None if name == FLOAT.name else compare(files[FLOAT.name], built, size, evaluating)
        rows.append(Row(name, fidelity, _precision(built, labelled), times[name], len(built.model) / 1e6))
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    return table(COLUMNS.split("|"), (row.cells() for row in rows))


def _times(files: Mapping[str, Built], image: Image) -> dict[str, float]:
    """Return the time of one invoke on 2 threads, relative to PLAIN."""
    models = {name: RawModel(built.model, built.manifest, threads=2) for name, built in files.items()}
    ordered = {PLAIN.name: models[PLAIN.name]} | models
    taken = relative_times({name: partial(model.invoke, image) for name, model in ordered.items()})
    return {name: ratio for name, (_, ratio) in taken.items()}


def _precision(built: Built, evaluating: Sequence[Picture]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        found = precisions(write(Path(folder), built.manifest, built.model), evaluating)
    return {label: class_result.ap50 for label, class_result in found.items()}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m models.studies.quantisation", description="Measure the quantisation variants."
    )
    parser.add_argument("--input", type=size_of, default=Size(512, 288), metavar="WxH", dest="size")
    parser.add_argument("--images", type=Path, help="calibrating pictures ($EDGE_APP_SHARED/detection/train)")
    parser.add_argument(
        "--eval", type=Path, help="labelled pictures ($EDGE_APP_SHARED/detection/eval)", dest="evaluating"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, or 1 when something is missing."""
    args = _parser().parse_args(arguments)
    return exit_code(lambda: _print(args.size, args.images, args.evaluating))


def _print(size: Size, images: Path | None, labelled: Path | None) -> None:
    calibrating = pictures_of(images or pictures.shared_folder("train"))
    evaluating = pictures.find(labelled or pictures.shared_folder("eval"))
    print(markdown(study(size, calibrating, evaluating, partial(print, file=sys.stderr))))


if __name__ == "__main__":
    sys.exit(main())
