"""Run a command about ancestors: `python -m models.lineage show | credits | keep | state`."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from models.common.errors import BuildError, LineageError, exit_code
from models.lineage import files, hashes
from models.lineage.records import Lineage, Step, extended

COMMAND: Final = "python -m models.lineage"


def _of(path: Path) -> Lineage:
    """Return the lineage of a record, a run's folder, weights or a detector's file."""
    if path.is_dir():
        return files.read(path / files.RUN)
    if path.suffix == ".npz":
        return files.of_weights(path, _digest(path))
    return files.of_detector(path) if path.suffix == ".tflite" else files.read(path)


def _digest(path: Path) -> str:
    from models.training import weights  # which knows this package

    return weights.digest(weights.load(path))


def _show(args: argparse.Namespace) -> None:
    for one in _of(args.file).ancestors():
        step = one.step
        print(f"{one.called}  ({one.id[:12]}, {step.licence or 'no licence'}, {step.code or step.origin or 'no code'})")
        for found in one.sets:
            cameras = f"{len(found.cameras)} cameras" if found.cameras else "cameras unknown"
            listed = "hashes kept" if found.hashes else "hashes unknown"
            print(f"    {found.split}: {found.name}, {found.licence}, {found.images} pictures, {cameras}, {listed}")
        if step.note:
            print(f"    {step.note}")


def _credits(args: argparse.Namespace) -> None:
    lineage = _of(args.file)
    print("\n".join([*lineage.attribution(), *lineage.credits()]))


def _keep(args: argparse.Namespace) -> None:
    digest = _digest(args.file)
    lineage = files.of_weights(args.file, digest)
    target = args.out / (args.name or args.file.name)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        files.copied(lineage, files.pools(args.file), args.out / hashes.FOLDER)
        files.write(files.beside(target), files.for_weights(lineage, digest))
        if target.resolve() != args.file.resolve():
            shutil.copyfile(args.file, target)
    except OSError as error:
        raise BuildError(f"{error.filename or args.out} cannot be written: {error.strerror or error}.") from error
    print(f"{target} with {files.beside(target).name}")


def _state(args: argparse.Namespace) -> None:
    path = files.beside(args.file)
    if path.exists():
        raise LineageError(f"{path} is there already: a record is written once.")
    step = Step("published", args.name, args.licence, args.origin, args.attribution, note=args.note)
    files.write(path, files.for_weights(extended(step), _digest(args.file)))
    print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="What weights and detectors were made from.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    calls: dict[str, tuple[Callable[[argparse.Namespace], None], str]] = {
        "show": (_show, "every step back to the first weights"),
        "credits": (_credits, "what is owed to the makers of weights and pictures, one a line"),
        "keep": (_keep, "copy weights out of a run, with their record"),
        "state": (_state, "write the record of weights that others published"),
    }
    for name, (call, text) in calls.items():
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("file", type=Path, metavar="FILE", help="weights, a detector, or a run's folder")
        one.set_defaults(call=call)
        if name == "keep":
            one.add_argument("--out", type=Path, required=True, metavar="DIR")
            one.add_argument("--name", metavar="NAME.npz", help="another name for the file")
        if name == "state":
            for option, text in (
                ("name", "of the weights"), ("licence", "SPDX id"), ("origin", "where they are from, with a hash"),
                ("attribution", "what is owed to their makers"),
            ):  # fmt: skip
                one.add_argument(f"--{option}", required=True, metavar="TEXT", help=text)
            one.add_argument("--note", default="", metavar="TEXT", help="what is known of their training")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0, or 1 when something is missing; argparse exits with 2."""
    args = _parser().parse_args(arguments)
    return exit_code(lambda: args.call(args))


if __name__ == "__main__":
    sys.exit(main())
