"""Fill a state folder with delivered intervals, as a device has them after some days.

By hand: python -m tests.support.histories FOLDER
"""

from __future__ import annotations

import json
import math
import random
import sqlite3
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from edge_app.records import DIRECTIONS
from edge_app.storage.sqlite import FILE
from edge_app.system.clock import rfc3339
from tests.support.ledger_cases import open_ledger

SHARES = {"car": 0.7, "motorcycle": 0.16, "bus": 0.04, "truck": 0.1}


def payload(line: str, start: float, counts: Mapping[str, Sequence[int]], **more: Any) -> dict[str, Any]:
    """Return a counts message, as far as the page reads it."""
    by_class = {label: dict(zip(DIRECTIONS, n, strict=True)) for label, n in counts.items()}
    times = {"start": rfc3339(start), "end": rfc3339(start + more.pop("interval_s", 60))}
    return {"line": line, **times, "counts": by_class, "coverage": 1.0, "quality": [], **more}


def archive(folder: Path, rows: Sequence[dict[str, Any]], *, installation: str = "0123abcd", now: float) -> None:
    """Put delivered intervals, oldest first, into the archive of a state folder, which is made if there is none."""
    if not (folder / FILE).exists():
        open_ledger(folder).close(now)
    db = sqlite3.connect(folder / FILE)
    with db:
        db.execute("UPDATE about SET value = 90 * 86400 WHERE name = 'running_s'")
        for number, row in enumerate(rows):
            ago = now - _seconds(row["end"])
            sql = "INSERT INTO archive (installation, line, seq, config, running_s, payload) VALUES (?, ?, ?, '', ?, ?)"
            given = row.get("installation", installation)
            packed = zlib.compress(json.dumps(row).encode())
            db.execute(sql, (given, row["line"], number + 1, int(90 * 86_400 - ago), packed))
    db.close()


def week(line: str, now: float, *, days: float = 8.0, seed: int = 3) -> list[dict[str, Any]]:
    """Return the minutes of some days with a rush in the morning and in the evening, and an hour without a camera."""
    chance, rows = random.Random(seed), []
    begin = int(now // 60) * 60 - int(days * 1440) * 60
    for start in range(begin, int(now // 60) * 60 - 60, 60):
        hour = start / 3600 % 24
        rush = 9 * math.exp(-((hour - 7.5) ** 2) / 3) + 7 * math.exp(-((hour - 16.5) ** 2) / 5)
        flow = 1 + rush + 2 * (6 < hour < 21)
        lost = 2 * 86_400 < now - start < 2 * 86_400 + 5 * 3600
        counts = {
            label: [0 if lost else int(chance.random() * 2 * flow * part + chance.random()) for _ in range(2)]
            for label, part in SHARES.items()
        }
        more: dict[str, Any] = {"coverage": 0.0, "quality": ["blind"]} if lost else {}
        rows.append(payload(line, start, counts, **more))
    return rows


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


if __name__ == "__main__":
    archive(Path(sys.argv[1]), week("main-road", time.time()), now=time.time())
