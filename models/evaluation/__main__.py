"""Judge detectors: `python -m models.evaluation MODEL.tflite [MODEL2.tflite ...] [--images DIR] [--clips TRUTH...]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_app.config import Config
from edge_app.errors import EdgeAppError
from edge_app.evaluate import read_truth
from edge_app.terminal import bar, stdout
from models import pictures
from models.evaluation import coco, counting, labelled, looking, tables

COMMAND: Final = "python -m models.evaluation"


def names(models: Sequence[Path]) -> list[str]:
    """A short name for each file that is nobody else's: its own, or with its folder before it."""
    short = [model.stem.removeprefix("ssdlite_mobilenet_v2_") for model in models]
    return [
        name if short.count(name) == 1 else f"{model.resolve().parent.name}/{name}"
        for name, model in zip(short, models, strict=True)
    ]


def detect(models: Sequence[Path], images: Path, threads: int) -> list[tables.Sets]:
    """For each model, set -> class -> result."""
    shown = labelled.from_folder(images)
    detectors = [looking.detector(model, Config().detector, threads) for model in models]
    with bar("pictures", len(shown)) as progress:
        seen = looking.look(detectors, shown, progress.forward)
    rows = {group: [i for i, p in enumerate(shown) if p.group == group] for group in labelled.by_set(shown)}
    return [{group: coco.judge([looks[i] for i in chosen]) for group, chosen in rows.items()} for looks in seen]


def count(models: Sequence[Path], truths: Sequence[Path]) -> list[list[counting.Counted]]:
    frames = sum(round(t.length * t.fps) for t in map(read_truth, truths))
    with bar("clips", frames) as progress:
        return counting.count(models, truths, Config(), progress.forward)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Judge detectors, one or several side by side.")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.tflite", help="each with its .json beside it")
    parser.add_argument("--float", type=Path, metavar="FILE", help="the float32 file of the first model, beside it")
    parser.add_argument("--images", type=Path, metavar="DIR", help="pictures ($EDGE_APP_SHARED/detection/eval)")
    parser.add_argument("--clips", type=Path, nargs="+", metavar="TRUTH.json", default=[], help="count these too")
    parser.add_argument("--no-images", action="store_true", help="count only")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of each interpreter (default 2)")
    return parser


def run(args: argparse.Namespace) -> None:
    models = [*args.models, *([args.float] if args.float else [])]
    called, out = names(models), stdout()
    if not args.no_images:
        results = dict(
            zip(called, detect(models, args.images or pictures.shared_folder("eval"), args.threads), strict=True)
        )
        for name, sets in results.items():
            out.print(tables.detection(name, sets), "")
        if len(results) > 1:
            out.print(tables.beside(results), "")
    if args.clips:
        counted = dict(zip(called, count(models, args.clips), strict=True))
        for name, clips in counted.items():
            out.print(tables.clips(name, clips), "")
        out.print(tables.counting(counted))


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 1 when something is missing; argparse exits with 2."""
    args = _parser().parse_args(arguments)
    try:
        run(args)
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
