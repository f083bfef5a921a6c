"""Cause faults and check what holds: python -m tests.trials.survival [ROW ...] [--short] [--json FILE].

Parts are real: mosquitto, an RTSP server, the installed program. Exit 1 when a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from tests.trials.survival import (
    answers,
    broker,
    camera,
    changes,
    chaos,
    clocks,
    copies,
    fuzz,
    kills,
    network,
    outage,
    power,
    quota,
    soaking,
    storage,
)
from tests.trials.survival.rows import Outcome, Row, Trial

_MODULES = (
    *(outage, network, kills, power, storage, clocks, camera, fuzz, soaking),
    *(broker, copies, changes, quota, chaos, answers),
)
ROWS: dict[str, Row] = {module.ROW.name: module.ROW for module in _MODULES}


def run(row: Row, short: bool) -> Outcome | None:
    """Run a row in an empty folder; return None where this machine lacks what it needs."""
    with tempfile.TemporaryDirectory(prefix="survival-") as folder:
        try:
            return row.run(Trial(Path(folder), short, lambda text: print(f"{row.name}: {text}", file=sys.stderr)))
        except RuntimeError as missing:
            print(f"{row.name}: not tried, {missing}", file=sys.stderr)
            return None


def show(row: Row, outcome: Outcome) -> None:
    """Print fault and promise, the figures, and the broken promises, in 80 columns."""
    print(fill(f"{row.fault}: {row.promise}", 80))
    sentences = [("held" if not outcome.broken else "-", outcome.figures), *(("BROKEN", b) for b in outcome.broken)]
    for mark, sentence in sentences:
        print(fill(f"{mark:8}{sentence}", 80, initial_indent="  ", subsequent_indent=" " * 10))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.survival", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=f"{', '.join(ROWS)}; default: all")
    parser.add_argument("--short", action="store_true", help="run at the size of the test suite")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to this file too")
    args = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # faults are caused by the hundred here, and each one is logged
    results, broken = [], 0
    for name in args.rows or ROWS:
        began = time.monotonic()
        outcome = run(ROWS[name], args.short)
        if outcome is None:
            continue
        broken += len(outcome.broken)
        show(ROWS[name], outcome)
        took = round(time.monotonic() - began, 1)
        result = {"row": name, "found": outcome.figures, "broken": outcome.broken}
        results.append({**result, "short": args.short, "took_s": took})
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
