"""Run `edge-app` with a clock that is off by the seconds in a file: stepped_program.py FILE ARGUMENT ...

Everything that counts takes the time from `time.time`, so replacing it steps the clock of this one process. libfaketime
would do it for the C library as well, but its clock_nanosleep() fails while the clock that never steps stays true.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path


def stepped(file: Path, right: Callable[[], float]) -> Callable[[], float]:
    """Return a clock that is off by what the file says at that moment, s."""
    return lambda: right() + float(file.read_text())


if __name__ == "__main__":
    time.time = stepped(Path(sys.argv[1]), time.time)
    from edge_app.cli import main  # after that: constructors name the clock in their defaults

    sys.exit(main(sys.argv[2:]))
