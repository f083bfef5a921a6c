"""Run `python -m models.registry template`: a city's own policy, in the folder of its registry."""

from __future__ import annotations

import argparse
from pathlib import Path

from models.common.errors import RegistryError
from models.registry import plan, template
from models.registry.figures import parse_evaluation
from models.registry.files import read_json
from models.registry.policy import load
from models.registry.storage import Registry


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of the city's registry; takes policy.toml")
    parser.add_argument(
        "--evaluation", type=Path, nargs="+", default=[], metavar="RESULT.json", help="of production, one an input size"
    )
    parser.add_argument("--set", action="append", default=[], metavar="NAME=CLASS,CLASS", help="not measured yet")
    parser.add_argument("--clip", action="append", default=[], metavar="FILE", help="with --set: name of a clip's file")
    parser.add_argument("--name", metavar="TEXT", help="of the city (default: the folder's)")
    parser.add_argument("--replace", action="store_true", help="replace the policy that is there")


def run(args: argparse.Namespace, _registry: Registry) -> int:
    """Write the policy and say what it asks for. Raises RegistryError: when the benchmark cannot be one."""
    house = load()
    measured = [parse_evaluation(read_json(path)) for path in args.evaluation]
    if bool(measured) == bool(args.set) or (measured and args.clip):
        raise RegistryError(
            "Name the benchmark by --evaluation RESULT.json of production, or by --set NAME=CLASS,CLASS and --clip."
        )
    made = plan.from_evaluations(measured, house) if measured else plan.from_names(args.set, args.clip)
    content = template.text(made, house, args.name or args.folder.resolve().name)
    path = template.write(args.folder, content, again=args.replace)
    _print(path, made)
    return 0


def _print(path: Path, made: plan.Plan) -> None:
    written = load(path)
    sets = "; ".join(f"{name}: {', '.join(labels)}" for name, labels in written.benchmark.sets.items())
    print(f"{path}: {sets}; {len(written.benchmark.clips)} clips")
    print(f"floors: {', '.join(written.floors) or 'none yet, so nothing can be promoted; measure production first'}")
    for one in made.left_out:
        print(f"too few boxes to be compared: {one} of {written.examples}")
    for what, why in written.benchmark.lacks.items():
        print(f"not part of this benchmark: {what}: {why}")
    if made.few:
        print(made.few)
