"""Run the model cycle: `python -m models.cycle CYCLE.toml [--plan] [--from STEP]`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from edge_app.errors import EdgeAppError
from models.common.errors import system_sentence
from models.cycle import running
from models.cycle.description import TEMPLATE
from models.cycle.plan import Decision
from models.cycle.running import Cycle, Stopped
from models.training.pace import words

COMMAND: Final = "python -m models.cycle"
_WIDE: Final = 200
"""Columns when the output is a file or a pipe: a table there must not be cut."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="Labelled pictures in, a detector out that the gate has decided on: import, check, split, train, "
        "export, evaluate, gate, register. A step is skipped while nothing that it depends on has changed; a cycle "
        "that was stopped or killed goes on with the same command.",
    )
    parser.add_argument("file", type=Path, nargs="?", metavar="CYCLE.toml", help="says what the cycle is made of")
    parser.add_argument("--plan", action="store_true", help="show what would run and why, and run nothing")
    parser.add_argument("--from", dest="begin", default="", metavar="STEP", help="run this step in any case")
    parser.add_argument("--template", action="store_true", help="print a CYCLE.toml to fill in")
    return parser


def table(decisions: Sequence[Decision], cycle: Cycle) -> Table:
    """Return the plan and the state of a cycle, a row for each step."""
    shown = Table("step", "plan", "why", "last", "took", "at", box=None, pad_edge=False)
    for decision in decisions:
        name = decision.step.name
        record = cycle.state.steps.get(name)
        last = (record.outcome, words(record.seconds), record.at) if record else ("-", "", "")
        shown.add_row(name, "run" if decision.runs else "skip", decision.why, *last)
    return shown


def _run(args: argparse.Namespace) -> None:
    cycle = running.opened(args.file)
    made = Console(highlight=False, markup=False)
    out = made if made.is_terminal else Console(highlight=False, markup=False, width=_WIDE)
    out.print(table(cycle.plan(args.begin), cycle))
    if args.plan:
        return
    running.run(cycle, lambda line: out.print(line, soft_wrap=True), args.begin)
    out.print(table(cycle.plan(), cycle))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return 0, 1 when a step failed or something is wrong, 130 when stopped, 2 for wrong usage."""
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.template:
        print(TEMPLATE.read_text("utf-8"), end="")
        return 0
    if args.file is None:
        parser.error("name a CYCLE.toml, or print one with --template")
    try:
        _run(args)
    except EdgeAppError as error:
        print(error, file=sys.stderr)
        return 1
    except (Stopped, KeyboardInterrupt):
        print("Stopped: the same command goes on.", file=sys.stderr)
        return 130
    except OSError as error:
        print(system_sentence(error, args.file.parent), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
