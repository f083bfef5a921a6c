"""The registry's commands: `python -m models.registry add | check | promote | rollback | ...`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Final

from edge_app.errors import EdgeAppError
from models.registry import operations, report
from models.registry.policy import DEFAULT_POLICY, load
from models.registry.shelf import Shelf

COMMAND: Final = "python -m models.registry"
_MEASUREMENTS: Final = ("evaluation", "comparison", "split")


def _now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _add(args: argparse.Namespace, shelf: Shelf) -> int:
    given = {f"{name}.json": getattr(args, name) for name in _MEASUREMENTS if getattr(args, name)}
    entry = operations.add(shelf, args.model, given, name=args.name, at=_now())
    print(f"{entry.name}: {entry.size}, sha256 {entry.sha256[:12]}, with {', '.join(given) or 'no measurements yet'}")
    return 0


def _list(_args: argparse.Namespace, shelf: Shelf) -> int:
    report.listing(report.console(), shelf)
    return 0


def _show(args: argparse.Namespace, shelf: Shelf) -> int:
    report.details(report.console(), shelf, shelf.entry(args.name))
    return 0


def _history(_args: argparse.Namespace, shelf: Shelf) -> int:
    report.events_of(report.console(), shelf.history())
    return 0


def _check(args: argparse.Namespace, shelf: Shelf) -> int:
    entry = shelf.entry(args.name)
    found = operations.verdicts(shelf, load(args.policy), entry)
    report.rules(report.console(), found)
    failed = sum(not verdict.passed for verdict in found)
    print(f"{entry.name} " + (f"would be refused: {failed} of {len(found)} checks failed" if failed else "would pass"))
    return int(failed > 0)


def _promote(args: argparse.Namespace, shelf: Shelf) -> int:
    entry = shelf.entry(args.name)
    found = operations.promote(shelf, load(args.policy), entry, at=_now(), why=args.why)
    report.rules(report.console(), found)
    failed = sum(not verdict.passed for verdict in found)
    refused = f"was refused: {failed} of {len(found)} checks failed; nothing was changed"
    print(f"{entry.name} {refused if failed else f'is in production for {entry.size}'}")
    return int(failed > 0)


def _adopt(args: argparse.Namespace, shelf: Shelf) -> int:
    entry = shelf.entry(args.name)
    found = operations.adopt(shelf, load(args.policy), entry, at=_now(), why=args.why)
    report.rules(report.console(), found)
    refused = any(not verdict.passed for verdict in found)
    print(f"{entry.name} {'was refused; nothing was changed' if refused else f'is the first of {entry.size}'}")
    return int(refused)


def _rollback(args: argparse.Namespace, shelf: Shelf) -> int:
    event = operations.rollback(shelf, args.size, at=_now(), why=args.why)
    print(f"{event.name} ({event.sha256[:12]}) is in production for {event.size} again")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Candidates, the gate, and what is in production.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, command in _COMMANDS.items():
        sub = commands.add_parser(name, help=command.text, description=command.text)
        command.arguments(sub)
        sub.add_argument("--store", type=Path, metavar="DIR", help="candidates' files (default: models/registry/store)")
        sub.add_argument("--policy", type=Path, default=DEFAULT_POLICY, metavar="FILE", help="the figures of the rules")
        sub.add_argument("--registry", type=Path, metavar="DIR", help="another registry than models/registry")
        sub.add_argument("--production", type=Path, metavar="DIR", help="the product's files (default: models)")
        sub.set_defaults(command=command)
    return parser


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", type=Path, metavar="MODEL.tflite", help="with its .json beside it")
    parser.add_argument("--name", help="of the entry (default: the manifest's)")
    parser.add_argument("--evaluation", type=Path, metavar="RESULT.json", help="of python -m models.evaluation")
    parser.add_argument("--comparison", type=Path, metavar="COMPARISON.json", help="with the model in production")
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
    """changes: whether it may write, and so needs the registry for itself."""

    run: Callable[[argparse.Namespace, Shelf], int]
    arguments: Callable[[argparse.ArgumentParser], None]
    changes: bool
    text: str


_COMMANDS: Final = {
    "add": _Command(_add, _model, True, "take in a model, or new measurements of one that is there"),
    "list": _Command(_list, _nothing, False, "every entry and what it is now"),
    "show": _Command(_show, _name, False, "lineage, figures and history of one entry"),
    "check": _Command(_check, _name, False, "what the gate would say, one line a rule; exit 1 if it would refuse"),
    "promote": _Command(_promote, _name_and_why, True, "into production if every rule holds, else exit 1"),
    "adopt": _Command(_adopt, _name_and_why, True, "the first model of an input size, by decision"),
    "rollback": _Command(_rollback, _size_and_why, True, "the model before the present one goes into production again"),
    "history": _Command(_history, _nothing, False, "everything that happened"),
}


def _shelf(args: argparse.Namespace) -> Shelf:
    own = Shelf()
    registry = args.registry or own.registry
    store = args.store or (own.store if args.registry is None else registry / "store")
    return Shelf(registry, args.production or own.production, store)


def main(arguments: Sequence[str] | None = None) -> int:
    """0; 1 when a rule failed or something is missing; argparse exits with 2."""
    args = _parser().parse_args(arguments)
    shelf = _shelf(args)
    try:
        if not args.command.changes:
            return int(args.command.run(args, shelf))
        with shelf.held():
            return int(args.command.run(args, shelf))
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
