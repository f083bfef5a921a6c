"""Run a command of the registry: `python -m models.registry add | check | promote | rollback | ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from edge_app.errors import EdgeAppError
from models.common.errors import RegistryError
from models.registry import history, opening, operations, report, template, template_command
from models.registry.collect import gate_input
from models.registry.policy import DEFAULT_POLICY, load
from models.registry.storage import Entry, Registry

COMMAND: Final = "python -m models.registry"
_MEASUREMENTS: Final = ("evaluation", "comparison", "folds", "split")


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _policy(args: argparse.Namespace) -> Path:
    """Return the policy's file: the one named, that of the registry's folder, or that of this repository."""
    if args.policy or _ours(args):
        return args.policy or DEFAULT_POLICY
    path: Path = args.registry / template.FILE
    if not path.exists():
        raise RegistryError(
            f"{path} is not there: write one with `{COMMAND} template {args.registry}`, or name --policy."
        )
    return path


def _opening(registry: Registry, entry: Entry) -> str:
    """Return the first line of a decision. It has to be asked before a promotion, which changes production."""
    succession = history.succession(registry.history(), entry.size)
    return opening.compared(entry.name, gate_input(registry, entry), succession[-1].name if succession else "")


def _add(args: argparse.Namespace, registry: Registry) -> int:
    documents = {f"{name}.json": getattr(args, name) for name in _MEASUREMENTS if getattr(args, name)}
    entry = operations.add(registry, args.model, documents, name=args.name, at=_now())
    known = [f"{name}.json" for name in _MEASUREMENTS if registry.document(entry.name, f"{name}.json") is not None]
    measured = ", ".join(known) or "no measurements yet"
    print(f"{entry.name}: {entry.size}, sha256 {entry.sha256[:12]}, with {measured}")
    return 0


def _list(_args: argparse.Namespace, registry: Registry) -> int:
    report.print_entries(report.console(), registry)
    return 0


def _show(args: argparse.Namespace, registry: Registry) -> int:
    report.print_entry(report.console(), registry, registry.entry(args.name))
    return 0


def _history(_args: argparse.Namespace, registry: Registry) -> int:
    report.print_events(report.console(), registry.history())
    return 0


def _check(args: argparse.Namespace, registry: Registry) -> int:
    path, entry = _policy(args), registry.entry(args.name)
    decision = operations.decide(registry, load(path), entry)
    report.print_opening(report.console(), _opening(registry, entry), path)
    report.print_decision(report.console(), decision)
    failed = any(not result.passed for result in decision)
    print(f"{entry.name} would {'be refused' if failed else 'pass'}: {report.tally(decision)}")
    return int(failed)


def _promote(args: argparse.Namespace, registry: Registry) -> int:
    path, entry = _policy(args), registry.entry(args.name)
    first = _opening(registry, entry)
    decision = operations.promote(registry, load(path), entry, at=_now(), why=args.why)
    report.print_opening(report.console(), first, path)
    report.print_decision(report.console(), decision)
    failed = any(not result.passed for result in decision)
    now = f"is in production for {entry.size}, as {registry.product_files(entry.size)[0]}"
    print(f"{entry.name} {'was refused; nothing was changed' if failed else now}: {report.tally(decision)}")
    return int(failed)


def _adopt(args: argparse.Namespace, registry: Registry) -> int:
    path, entry = _policy(args), registry.entry(args.name)
    decision = operations.adopt(registry, load(path), entry, at=_now(), why=args.why)
    report.print_opening(report.console(), opening.alone(entry.name, gate_input(registry, entry)), path)
    report.print_decision(report.console(), decision)
    refused = any(not result.passed for result in decision)
    now = f"is the first of {entry.size}, as {registry.product_files(entry.size)[0]}"
    print(f"{entry.name} {'was refused; nothing was changed' if refused else now}: {report.tally(decision)}")
    return int(refused)


def _rollback(args: argparse.Namespace, registry: Registry) -> int:
    event = operations.rollback(registry, args.size, at=_now(), why=args.why)
    print(f"{event.name} ({event.sha256[:12]}) is in production for {event.size} again")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Candidates, the gate, and what is in production.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        sub = commands.add_parser(name, help=command.text, description=command.text)
        command.arguments(sub)
        sub.set_defaults(command=command, registry=None, store=None, production=None)
        if name != "template":
            _folders(sub)
    return parser


def _folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry", type=Path, metavar="DIR", help="a city's own registry (default: models/artefacts/registry)"
    )
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="figures of the rules (default: policy.toml in DIR)"
    )
    parser.add_argument("--store", type=Path, metavar="DIR", help="candidates' files (default: DIR/store)")
    parser.add_argument(
        "--production", type=Path, metavar="DIR", help="product's files (default: DIR/production; models/artefacts)"
    )


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL.tflite", help="with its .json beside it")
    parser.add_argument("--name", help="of the entry (default: the manifest's)")
    parser.add_argument("--evaluation", type=Path, metavar="RESULT.json", help="of python -m models.evaluation")
    parser.add_argument("--comparison", type=Path, metavar="COMPARISON.json", help="with the model in production")
    parser.add_argument("--folds", type=Path, metavar="FOLDS.json", help="of models.folds --collect, for its recipe")
    parser.add_argument("--split", type=Path, metavar="SPLIT.json", help="by camera, that its training used")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", help="of the entry, or the first 8 or more digits of its sha256")


def _name_and_why(parser: argparse.ArgumentParser) -> None:
    _name(parser)
    parser.add_argument("--why", default="", metavar="TEXT", help="kept in the history")


def _size_and_why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("size", metavar="WxH", help="input size, such as 512x288")
    parser.add_argument("--why", required=True, metavar="TEXT", help="kept in the history")


def _nothing(_parser: argparse.ArgumentParser) -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Command:
    """One command.

    run: does the work and returns the exit code. arguments: adds the command's own arguments to its parser.
    changes: True when it writes, and so must be the only one. text: its line in the help.
    """

    run: Callable[[argparse.Namespace, Registry], int]
    arguments: Callable[[argparse.ArgumentParser], None]
    changes: bool
    text: str


_COMMANDS: Final = {
    "template": _Command(template_command.run, template_command.arguments, False, "write a city's own policy"),
    "add": _Command(_add, _model, True, "add a model, or new measurements of one that is there"),
    "list": _Command(_list, _nothing, False, "every entry and its status"),
    "show": _Command(_show, _name, False, "lineage, figures and history of one entry"),
    "check": _Command(_check, _name, False, "the gate decision, one line a rule; exit 1 if it would refuse"),
    "promote": _Command(_promote, _name_and_why, True, "into production if every rule passes, else exit 1"),
    "adopt": _Command(_adopt, _name_and_why, True, "the first model of an input size, by a person's decision"),
    "rollback": _Command(_rollback, _size_and_why, True, "put the model before the present one into production again"),
    "history": _Command(_history, _nothing, False, "all events"),
}


def _ours(args: argparse.Namespace) -> bool:
    return args.registry is None or args.registry.resolve() == Registry().root.resolve()


def _registry(args: argparse.Namespace) -> Registry:
    default = Registry()
    if _ours(args):
        return Registry(default.root, args.production or default.production, args.store or default.store)
    root = args.registry
    return Registry(root, args.production or root / "production", args.store or root / "store")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Return 0, or 1 when a rule failed or something is missing; argparse exits with 2."""
    args = _parser().parse_args(arguments)
    registry = _registry(args)
    try:
        if not args.command.changes:
            return int(args.command.run(args, registry))
        with registry.locked():
            return int(args.command.run(args, registry))
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
