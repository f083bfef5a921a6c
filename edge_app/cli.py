"""Run the command line `edge-app`: parse the arguments, call the command and return its exit code.

Each command is one file in commands/ that imports little at the top, so that `--help` answers fast. Results go to
stdout, diagnostics to stderr, and a user's mistake is one sentence, never a traceback.

Exit codes: 0 done, 1 a fault or a failed check, 2 wrong usage or configuration, 130 interrupted twice.
"""

from __future__ import annotations

import argparse
import errno
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from edge_app import __version__
from edge_app.commands import (
    bench,
    camera,
    check,
    city,
    config,
    count,
    demo,
    evaluate,
    fleet,
    harvest,
    lines,
    page,
    predict,
    run,
    serve,
    setup,
    snapshot,
    status,
    watch,
)
from edge_app.errors import ConfigError, DetectorError, EdgeAppError, reason_of
from edge_app.system.names import clean
from edge_app.system.redaction import redacted
from edge_app.system.threads import is_passing_cause

COMMANDS: Final = {
    "run": run,
    "demo": demo,
    "count": count,
    "evaluate": evaluate,
    "predict": predict,
    "serve": serve,
    "harvest": harvest,
    "setup": setup,
    "camera": camera,
    "check": check,
    "status": status,
    "city": city,
    "fleet": fleet,
    "bench": bench,
    "watch": watch,
    "snapshot": snapshot,
    "lines": lines,
    "page": page,
    "config": config,
}
_WRONG_PATH: Final = {
    **dict.fromkeys((errno.ENAMETOOLONG, errno.ELOOP), 2),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR), 1),
}
"""Errors of a path that somebody has given, and the exit code: 2 for a name that no file can have."""
STOP: Final = threading.Event()
"""Set by the first SIGTERM, SIGINT or SIGHUP; every command that may run for long ends when it is set."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program with these arguments, by default those of the process, and return its exit code."""
    _open_standard_streams()
    # Before anything slow: a stop during start-up must end cleanly too.
    signal.signal(signal.SIGTERM, _on_signal)
    signal.signal(signal.SIGINT, _on_signal)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # nohup has it ignored
        signal.signal(signal.SIGHUP, _on_hangup)
    _show_any_character()
    parsed = _parser().parse_args(arguments)
    try:
        code = int(parsed.main(parsed, STOP))
        sys.stdout.flush()
        return code
    except (ConfigError, DetectorError) as error:
        # A file that a failing disk does not give now is no mistake of the user: the unit tries again after 1, not 2.
        problems = error.problems if isinstance(error, ConfigError) else [str(error)]
        return _print_problems(problems, 1 if is_passing_cause(error.__cause__) else 2)
    except EdgeAppError as error:
        return _print_problems([str(error)], 1)
    except BrokenPipeError:
        # `edge-app ... | head` is no fault; Python would complain once more when it flushes stdout at the end.
        _discard_output()
        return 0
    except OSError as error:
        if error.filename is not None and error.errno in _WRONG_PATH:
            problem = f"{error.filename} cannot be used ({reason_of(error)})"
            return _print_problems([problem], _WRONG_PATH[error.errno])
        if error.errno not in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EBADF):
            raise
        _discard_output()
        return _print_problems([f"the output cannot be written ({reason_of(error)})"], 1)


def _open_standard_streams() -> None:
    """Connect stdin, stdout and stderr to /dev/null where they are closed: a file or socket would get their number."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115  # lives as long as the program
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115


def _discard_output() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _show_any_character() -> None:
    """Print a character that the terminal's encoding lacks as \\xNN or \\uNNNN: it must not cost a result."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _parser() -> argparse.ArgumentParser:
    description = "Count vehicles by direction and publish the counts over MQTT."
    parser = argparse.ArgumentParser(prog="edge-app", description=description)
    parser.add_argument("--version", action="version", version=f"edge-app {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        sub = commands.add_parser(name, help=module.HELP, description=module.HELP)
        module.add_arguments(sub)
        sub.set_defaults(main=module.main)
    return parser


def _print_problems(problems: Sequence[str], code: int) -> int:
    from edge_app.system.logging import print_line  # loads its library, so only when it is used

    for problem in problems:
        print_line(f"edge-app: {clean(redacted(problem))}")
    return code


def _on_signal(_signal: int, _frame: FrameType | None) -> None:
    if STOP.is_set():
        # Every counted crossing is on disk already: nothing is lost by not waiting for the broker.
        if select.select([], [2], [], 0)[1]:  # else nobody reads it, and writing would wait for ever
            os.write(2, b"edge-app: stopped at once\n")
        os._exit(130)
    STOP.set()


def _on_hangup(_signal: int, _frame: FrameType | None) -> None:
    """Ask the program to stop. A terminal that is closed says so more than once: the second one forces nothing."""
    STOP.set()


if __name__ == "__main__":
    sys.exit(main())
