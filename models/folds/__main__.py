"""Run `python -m models.folds`: train recipes on folds, judge each by the countries that it has not seen."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_app.errors import EdgeAppError
from models.common.errors import BuildError
from models.common.files import json_bytes, replace_file
from models.cycle.running import Stopped
from models.folds import description, running
from models.folds.collecting import collect
from models.folds.table import slices, table

PROGRAM: Final = "python -m models.folds"
ROADS: Final = Path(__file__).with_name("roads.toml")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__)
    parser.add_argument("out", type=Path, metavar="DIR", help="where trainings and figures are, or will be")
    parser.add_argument("--folds", type=Path, default=ROADS, metavar="TOML", help="the folds (those of our pictures)")
    parser.add_argument("--shards", type=Path, nargs="+", default=[], help="folders that `models.data import` wrote")
    parser.add_argument("--recipe", type=Path, nargs="+", default=[], metavar="JSON", help="settings to train with")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], metavar="N", help="one training for each (1)")
    parser.add_argument("--only", nargs="+", default=[], metavar="FOLD", help="these folds")
    parser.add_argument("--collect", type=Path, metavar="FILE", help="write the table that the gate reads")
    parser.add_argument("--candidate", metavar="NAME", help="with --collect: the recipe that is proposed")
    parser.add_argument("--baseline", metavar="NAME", help="with --collect: the recipe that it is compared with")
    parser.add_argument(
        "--judge", type=Path, nargs="+", default=[], metavar="TFLITE", help="measure files by what each fold holds back"
    )
    return parser


def _run(args: argparse.Namespace) -> None:
    folds = description.read(args.folds)
    names = args.only or list(folds.fold)
    if unknown := sorted(set(names) - set(folds.fold)):
        raise BuildError(f"There is no fold {unknown[0]}; there are {', '.join(folds.fold)}.")

    def show(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if args.recipe:
        running.run(folds, names, args.recipe, args.seeds, args.shards, args.out, show)
    for model in args.judge:
        running.measure(folds, names, model, args.shards, args.out, show)
    results = running.found(args.out)
    if args.collect:
        content = json_bytes(collect(results, args.candidate, args.baseline), indent=1)
        args.collect.parent.mkdir(parents=True, exist_ok=True)
        replace_file(args.collect, content)
    print("\n\n".join(part for part in (table(results), slices(results)) if part))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, 1 when something is missing or fails, 130 when it was stopped; argparse exits 2."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if (args.recipe or args.judge) and not args.shards:
        parser.error("--recipe and --judge need pictures: --shards DIR ...")
    if args.collect and not (args.candidate and args.baseline):
        parser.error("--collect needs the names of two recipes: --candidate NAME --baseline NAME")
    try:
        _run(args)
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Stopped):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
