"""Evaluate detectors: `python -m models.evaluation MODEL.tflite ... [--out DIR] [--clips TRUTH.json ...]`.

The command prints tables. With --out it also writes report.html, and for each model result.json, comparison.json (with
--baseline) and contact sheets of its errors.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from edge_app.config.model import Config
from edge_app.console.terminal import bar, stdout
from edge_app.detectors.tflite import TfliteDetector
from edge_app.errors import EdgeAppError
from edge_app.offline.scoring import read_truth
from models.common import fold_table
from models.common.errors import BuildError
from models.common.fold_table import FoldTable
from models.common.schemas import STREET_LIGHTS
from models.conversion import pictures
from models.data import splits
from models.data.sources import read_sources
from models.evaluation import ceiling, coco, counting, document, labelled, places, report, tables
from models.evaluation.ceiling import Ceiling
from models.evaluation.detection import SetResult, picture_set
from models.evaluation.drawn_street import FRAMES, LANES, ask
from models.evaluation.observations import FAINTEST, observe, open_detector
from models.evaluation.report import NO_CEILING
from models.evaluation.speed import speeds
from models.evaluation.subject import Result, Subject, subjects

COMMAND: Final = "python -m models.evaluation"
SOURCES: Final = Path(__file__).resolve().parent.parent / "data" / "road_sources.json"


def _shown(args: argparse.Namespace) -> list[labelled.Picture]:
    split = splits.read(args.split) if args.split else None
    more = labelled.from_shards(args.shards, split, args.part, args.as_set) if args.shards else []
    if more and not args.images:
        return more
    shown = labelled.from_folder(args.images or pictures.shared_folder("eval"), read_sources(args.sources))
    if both := {one.group for one in shown} & {one.group for one in more}:
        raise BuildError(f"{min(both)} is a set of --images and of --shards: give the latter a name with --as.")
    return [*shown, *more]


def _detected(
    results: Sequence[Result], detectors: Mapping[str, TfliteDetector], args: argparse.Namespace
) -> list[Result]:
    """Return the results with what each model detected in the labelled pictures."""
    shown = _shown(args)
    with bar("pictures", len(shown)) as progress:
        seen = observe([detectors[r.subject.name] for r in results], shown, progress.forward)
    rows = labelled.by_set(shown)
    sets = [
        picture_set(name, [shown[i] for i in chosen], [seen[0][i] for i in chosen]) for name, chosen in rows.items()
    ]
    pooled = [coco.evaluate(observations) for observations in seen] if args.float else [None] * len(seen)
    score = Config().detector.score
    return [
        replace(
            result,
            pooled=class_result,
            sets=tuple(
                SetResult(of, tuple(observations[i] for i in rows[of.name]), score, result.subject.size) for of in sets
            ),
        )
        for result, observations, class_result in zip(results, seen, pooled, strict=True)
    ]


def _counted(results: Sequence[Result], truths: Sequence[Path]) -> list[Result]:
    """Return the results with how each model counted the clips."""
    frames = sum(round(truth.length * truth.fps) for truth in map(read_truth, truths))
    with bar("clips", frames) as progress:
        counted = counting.count([r.subject.path for r in results], truths, Config(), progress.forward)
    return [replace(result, counted=tuple(clips)) for result, clips in zip(results, counted, strict=True)]


def evaluate(chosen: Sequence[Subject], reference: str, args: argparse.Namespace) -> list[Result]:
    """Return everything that was asked for about each model.

    chosen: the models. reference: name of the one that the times are compared with. args: the command line.
    """
    results = [Result(subject) for subject in chosen]
    with ExitStack() as stack:
        detectors = {s.name: open_detector(s.path, Config().detector, args.threads) for s in chosen}
        for made in detectors.values():
            stack.callback(made.close)
        if not args.no_images:
            results = _detected(results, detectors, args)
        if not args.no_speed:
            taken = speeds(detectors, reference, args.threads)
            results = [replace(result, speed=taken[result.subject.name]) for result in results]
        if args.street:
            results = _asked_the_street(results, detectors)
    return _counted(results, args.clips) if args.clips else results


def _asked_the_street(results: Sequence[Result], detectors: Mapping[str, TfliteDetector]) -> list[Result]:
    """Return the results with what each model calls the vehicles of the rendered street."""
    frames = len(results) * len(STREET_LIGHTS) * len(LANES) * FRAMES
    with bar("street", frames) as progress:
        return [
            replace(
                r, street={light: ask(detectors[r.subject.name], light, progress.forward) for light in STREET_LIGHTS}
            )
            for r in results
        ]


def write(
    folder: Path,
    results: Sequence[Result],
    reference: Result | None,
    command: str,
    limit: Ceiling = NO_CEILING,
    folds: FoldTable | None = None,
) -> Path:
    """Write all files of the report. Return the path of its page.

    reference: the model to compare with, None for none. command: as typed, shown in the report.
    limit: how well two labellings agree. folds: what the recipe reaches on countries not seen.
    """
    float_result = next((result for result in results if result.subject.role == "float"), None)
    comparisons = {}
    for place, result in enumerate(results):
        name = result.subject.name
        made = {"result.json": document.result(result, command, reference, float_result if place == 0 else None)}
        if reference and result is not reference and result.subject.role == "model":
            made["comparison.json"] = comparisons[name] = document.comparison(result, reference)
        for file, content in made.items():
            report.save(folder / name / file, (json.dumps(content, indent=1) + "\n").encode())
    against = reference or results[0]
    return report.write(folder, results, comparisons, command, against.subject.name, limit, folds)


def _run(args: argparse.Namespace, command: str) -> None:
    limit, folds = ceiling.read(args.agreement), fold_table.read(args.folds) if args.folds else None
    chosen = subjects(args.models, args.float, args.baseline)
    wanted = args.baseline and args.baseline.resolve()
    reference = next((s.name for s in chosen if s.path == wanted), chosen[0].name)
    results = evaluate(chosen, reference, args)
    out = stdout()
    if args.places:
        found = places.write(args.places, [result.sets for result in results], args.least, command)
        out.print(f"{found} places without a label in {args.places}: look, and `models.data mark`", soft_wrap=True)
    for table in tables.everything(results):
        out.print(table, "")
    if args.out:
        compared = next((r for r in results if r.subject.path == wanted), None)
        out.print(f"wrote {write(args.out, results, compared, command, limit, folds)}", soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Evaluate detectors, one or several side by side.")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.tflite", help="each with its .json beside it")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for report.html and result.json of each model")
    parser.add_argument("--float", type=Path, metavar="FILE", help="the float32 file of the first model, evaluated too")
    parser.add_argument(
        "--baseline", type=Path, metavar="FILE", help="model that the others are compared with, also in time"
    )
    parser.add_argument("--images", type=Path, metavar="DIR", help="pictures ($EDGE_APP_SHARED/detection/eval)")
    parser.add_argument(
        "--sources", type=Path, metavar="FILE", default=SOURCES, help="JSON: origins and cameras of the pictures"
    )
    parser.add_argument("--shards", type=Path, metavar="DIR", nargs="+", help="shards, instead of --images or with it")
    parser.add_argument("--as", dest="as_set", default="", metavar="NAME", help="with --shards: all are one set")
    parser.add_argument("--split", type=Path, metavar="FILE", help="with --shards: only one part of this split")
    parser.add_argument("--part", default="validation", choices=splits.PARTS, help="which part (default: validation)")
    parser.add_argument("--no-images", action="store_true", help="no detection: count only")
    parser.add_argument("--agreement", type=Path, metavar="FILE", help="of `models.data agree --out`: the ceiling")
    parser.add_argument("--folds", type=Path, metavar="FILE", help="of `models.folds --collect`, shown in the report")
    parser.add_argument("--clips", type=Path, nargs="+", metavar="TRUTH.json", default=[], help="count these too")
    parser.add_argument(
        "--places", type=Path, metavar="DIR", help="folder for sheets of what the models see where no label is"
    )
    parser.add_argument(
        "--least",
        type=float,
        default=Config().detector.score,
        metavar="0..1",
        help="score from which a place is shown (default: %(default)s)",
    )
    parser.add_argument("--street", action="store_true", help="ask what the vehicles of the rendered street are called")
    parser.add_argument("--no-speed", action="store_true", help="do not measure time")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="of each interpreter (default: 2)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, or 1 when something is missing; argparse exits with 2."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = _parser()
    args = parser.parse_args(words)
    if args.split and not args.shards:
        parser.error("--split chooses among the pictures of --shards; name those too")
    if args.as_set and not args.shards:
        parser.error("--as names the pictures of --shards; name those too")
    if args.no_images and (args.images or args.shards or args.places):
        parser.error("--no-images: leave out --images, --shards and --places")
    if not FAINTEST <= args.least < 1:
        parser.error(f"--least: must be between {FAINTEST} and 1, not {args.least:g}")
    if args.threads < 1:
        parser.error(f"--threads: must be at least 1, not {args.threads}")
    try:
        _run(args, f"{COMMAND} {shlex.join(words)}")
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
