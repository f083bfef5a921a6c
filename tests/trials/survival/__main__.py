"""`python -m tests.trials.survival [ROW ...] [--short] [--json FILE]`: breaks things, and shows what held.

Real parts: mosquitto, an RTSP server, the installed program. Exit 1 when a promise is broken.
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

from tests.trials.survival import camera, clocks, fuzz, kills, network, outage, power, soaking, storage
from tests.trials.survival.rows import Outcome, Row, Trial

ROWS: dict[str, Row] = {
    row.name: row for row in (m.ROW for m in (outage, network, kills, power, storage, clocks, camera, fuzz, soaking))
}


def tried(row: Row, short: bool) -> Outcome | None:
    """None where this machine lacks what the row needs."""
    with tempfile.TemporaryDirectory(prefix="survival-") as folder:
        try:
            return row.run(Trial(Path(folder), short, lambda text: print(f"{row.name}: {text}", file=sys.stderr)))
        except RuntimeError as lack:
            print(f"{row.name}: not tried, {lack}", file=sys.stderr)
            return None


def show(row: Row, found: Outcome) -> None:
    """The fault, the promise and whether it held, then what was found, in 80 columns."""
    print(fill(f"{row.fault}: {row.promise}", 80))
    for mark, sentence in [
        ("held" if not found.broken else "-", found.figures),
        *(("BROKEN", b) for b in found.broken),
    ]:
        print(fill(f"{mark:8}{sentence}", 80, initial_indent="  ", subsequent_indent=" " * 10))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.survival", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], metavar="ROW", help=f"of {', '.join(ROWS)}; all")
    parser.add_argument("--short", action="store_true", help="at the size of the test suite")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the findings there too")
    args = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)  # faults are made here by the hundred, and each says its sentence
    kept, broken = [], 0
    for name in args.rows or ROWS:
        since = time.monotonic()
        found = tried(ROWS[name], args.short)
        if found is None:
            continue
        broken += len(found.broken)
        show(ROWS[name], found)
        took = round(time.monotonic() - since, 1)
        kept.append({"row": name, "found": found.figures, "broken": found.broken, "short": args.short, "took_s": took})
    if args.json:
        args.json.write_text(json.dumps(kept, indent=1) + "\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
