"""`edge-app`: arguments in, exit codes out. Each command is one file in commands/, loaded with little; results go to
stdout, diagnostics to stderr, and a user's mistake is one sentence, never a traceback.

Exit codes: 0 done, 1 a fault or a failed check, 2 wrong usage or configuration, 130 interrupted twice.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Final

from edge_app import __version__
from edge_app.commands import bench, check, config, count, demo, evaluate, harvest, lines, run, setup, snapshot, watch
from edge_app.errors import ConfigError, DetectorError, EdgeAppError
from edge_app.system.redaction import redacted

COMMANDS: Final = {
    "run": run,
    "demo": demo,
    "count": count,
    "evaluate": evaluate,
    "harvest": harvest,
    "setup": setup,
    "check": check,
    "bench": bench,
    "watch": watch,
    "snapshot": snapshot,
    "lines": lines,
    "config": config,
}
STOP: Final = threading.Event()
"""Set by the first SIGTERM or SIGINT; every command that goes on for long looks at it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of one call of the program."""
    # Before anything slow: a stop during start-up must be a clean one too.
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    parsed = _parser().parse_args(arguments)
    try:
        return int(parsed.main(parsed, STOP))
    except ConfigError as error:
        return _explain(error.problems, 2)
    except DetectorError as error:
        return _explain([str(error)], 2)
    except EdgeAppError as error:
        return _explain([str(error)], 1)
    except BrokenPipeError:
        # `edge-app ... | head` is no fault; Python would complain once more when it flushes stdout at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge-app", description="Counts vehicles by direction, told over MQTT.")
    parser.add_argument("--version", action="version", version=f"edge-app {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.set_defaults(main=module.main)
    return parser


def _explain(problems: Sequence[str], code: int) -> int:
    for problem in problems:
        print(f"edge-app: {redacted(problem)}", file=sys.stderr)
    return code


def _stop(_signal: int, _frame: FrameType | None) -> None:
    if STOP.is_set():
        # Every counted crossing is on disk already: nothing is lost by not waiting for the broker.
        os.write(2, b"edge-app: stopped at once\n")
        os._exit(130)
    STOP.set()


if __name__ == "__main__":
    sys.exit(main())
