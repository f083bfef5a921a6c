"""Archive days, and kill oneself at the n-th step with a file or the database: a program for tests.

python -m tests.support.kill_archiving NOW: for each line of input, a folder with city.sqlite3 and the archive, and n, a
child of its own does so, and it is printed how that ended.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any

import sqlalchemy

from edge_app.city.archive import Archive
from edge_app.city.archiving import Archiving
from edge_app.city.database.engine import open_database

_STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "shutil.rmtree"}


def _archive(folder: Path, now: float, at: int) -> None:
    steps = count(1)

    def step(*_: Any) -> None:
        if next(steps) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    database = open_database(f"sqlite:///{folder / 'city.sqlite3'}")
    sys.addaudithook(lambda event, _: step() if event in _STEPS else None)
    sqlalchemy.event.listen(sqlalchemy.Engine, "after_cursor_execute", step)
    sqlalchemy.event.listen(sqlalchemy.Engine, "commit", step)
    for _ in Archiving(database, Archive(folder / "archive"), 90, utc=lambda: now).move():
        pass


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        folder, at = line.split()
        child = os.fork()
        if not child:
            _archive(Path(folder), float(sys.argv[1]), int(at))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print("killed" if os.WIFSIGNALED(status) else "ended" if status == 0 else "failed", flush=True)


if __name__ == "__main__":
    main()
