"""Keep the figures of the last weeks in the state folder: a file a day, a line a quarter of an hour, 5 MB in all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

_DAYS: Final = 35
"""Files that are kept."""
_FILE: Final = re.compile(r"\d{4}-\d{2}-\d{2}\.jsonl")
_MOST_BYTES: Final = 400_000
"""Of a file: three times what a day has; a program that is started for ever fills no disk."""


class FigureHistory:
    """Lines of one device on disk. folder: made when absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, at: float, line: str) -> None:
        """Append a line of JSON under this time, UTC s, and delete files that are too old. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%d}.jsonl"
        with file.open("ab") as opened:
            before = opened.tell()
            if before + len(line) < _MOST_BYTES:
                opened.write(line.encode() + b"\n")
        if not before:
            for old in self.files()[:-_DAYS]:
                old.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        """Return the files, oldest first."""
        return sorted(file for file in self._folder.glob("*.jsonl") if _FILE.fullmatch(file.name))

    def days(self, now: float, many: int) -> Iterator[str]:
        """Yield the lines of the last days, oldest first. now: UTC s. Raises OSError."""
        first = (datetime.fromtimestamp(now, timezone.utc) - timedelta(days=many - 1)).date().isoformat()
        for file in self.files():
            if file.stem >= first:
                with file.open("rb") as opened:
                    yield from opened.read(_MOST_BYTES).decode("utf-8", "replace").splitlines()

    def starts(self, begin: float, end: float) -> list[float]:
        """Return the times, UTC s, between these at which counting has begun, sorted. Raises OSError.

        A line that a power cut has damaged is left out.
        """
        found = []
        for line in self.days(end, 2):
            if '"started"' in line and (at := _started(line)) is not None and begin <= at <= end:
                found.append(at)
        return sorted(found)


def started(at: float) -> str:
    """Return the line that says that counting has begun. at: UTC s."""
    return json.dumps({"started": round(at, 3)})


def _started(line: str) -> float | None:
    try:
        told: Any = json.loads(line)
        return float(told["started"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
