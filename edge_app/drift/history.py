"""Keep the hours of the last thirteen months in the state folder: a file a month, a line an hour, 2 MB in all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from edge_app.drift.signals import SIGNALS, Hour

_MONTHS: Final = 14
"""Files that are kept: of thirteen whole months and the present one."""
_FILE: Final = re.compile(r"\d{4}-\d{2}\.jsonl")
_DIGITS: Final = 5


@dataclass(frozen=True, slots=True)
class Anew:
    """From here on everything is learnt anew. why: sentence."""

    why: str


class HourHistory:
    """Hours of one camera on disk. Damaged lines are skipped, and counted in `skipped`.

    folder: made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.skipped = 0

    def read(self) -> Iterator[Hour | Anew]:
        """Yield everything that is kept, in order of time. Raises OSError."""
        for file in self._files():
            for line in file.read_text("utf-8", "replace").splitlines():
                try:
                    yield _parsed(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.skipped += 1

    def add(self, at: float, entry: Hour | Anew) -> None:
        """Append an entry of this time, UTC s, and delete files that are too old. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m}.jsonl"
        new = not file.exists()
        with file.open("ab") as opened:
            if opened.tell() and not _ends_whole(file):
                opened.write(b"\n")  # a power cut has left half a line
            opened.write((_text(entry) + "\n").encode())
        if new:
            for old in self._files()[:-_MONTHS]:
                old.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        return sorted(file for file in self._folder.glob("*.jsonl") if _FILE.fullmatch(file.name))


def _ends_whole(file: Path) -> bool:
    with file.open("rb") as opened:
        opened.seek(-1, 2)
        return opened.read() == b"\n"


def _text(entry: Hour | Anew) -> str:
    if isinstance(entry, Anew):
        return json.dumps({"anew": entry.why}, ensure_ascii=False)
    values = {name: float(f"{value:.{_DIGITS}g}") for name, value in entry.values.items()}
    weights = {name: float(f"{value:.{_DIGITS}g}") for name, value in entry.weights.items()}
    return json.dumps({"day": entry.day, "slot": entry.slot, "values": values, "weights": weights})


def _parsed(line: Any) -> Hour | Anew:
    if "anew" in line:
        return Anew(str(line["anew"]))
    values, weights = (
        {str(name): float(value) for name, value in line[key].items() if name in SIGNALS}
        for key in ("values", "weights")
    )
    slot = int(line["slot"])
    if not 0 <= slot < 168:
        raise ValueError("slot")
    return Hour(int(line["day"]), slot, values, weights)
