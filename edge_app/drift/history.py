"""Keep the hours of the last thirteen months in the state folder: a file a month, a line an hour, 4 MB in all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, Final

from edge_app.drift.baseline import WEEK
from edge_app.drift.signals import SIGNALS, Hour

_MONTHS: Final = 14
"""Files that are kept: of thirteen whole months and the present one."""
_FILE: Final = re.compile(r"\d{4}-\d{2}\.jsonl")
_DIGITS: Final = 5
_MOST_BYTES: Final = 2_000_000
"""Of a file that is read, so that damage delays no start: six times what a month has."""
_LARGEST: Final = 1e9
"""Value or weight that no hour has."""


@dataclass(frozen=True, slots=True)
class Anew:
    """From here on is learnt anew what depends on why. why: a `Setting`, as text."""

    why: str


class HourHistory:
    """Hours of one camera on disk. Damaged lines are skipped, and counted in `skipped`.

    folder: made when absent.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._anew: Anew | None = None
        self._anew_kept = True
        self.skipped = 0

    def read(self) -> Iterator[Hour | Anew]:
        """Yield everything that is kept, in order of time. Raises OSError."""
        for file in self._files():
            with file.open("rb") as opened:
                text = opened.read(_MOST_BYTES).decode("utf-8", "replace")
            for line in text.splitlines():
                try:
                    entry = _parsed(json.loads(line))
                except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
                    self.skipped += 1
                    continue
                if isinstance(entry, Anew):
                    if entry == self._anew:  # the head of a file
                        continue
                    self._anew = entry
                yield entry

    def add(self, at: float, entry: Hour | Anew) -> None:
        """Append an entry of this time, UTC s, and delete files that are too old. Raises OSError.

        Every file begins with the newest `Anew`: the file in which it was said goes before the hours that it is about.
        """
        if isinstance(entry, Anew):
            self._anew, self._anew_kept = entry, False
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m}.jsonl"
        with file.open("ab") as opened:
            new = opened.tell() == 0
            if not new and not _ends_whole(file):
                opened.write(b"\n")  # a power cut has left half a line
            if self._anew and entry != self._anew and (new or not self._anew_kept):
                opened.write((_text(self._anew) + "\n").encode())
            opened.write((_text(entry) + "\n").encode())
        if not self._anew_kept:  # files of later months are of a clock that was wrong, and would be read last
            for later in [one for one in self._files() if one.name > file.name]:
                later.unlink(missing_ok=True)
        self._anew_kept = True
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
    day, slot = int(line["day"]), int(line["slot"])
    # no comparison holds for what is no number
    if not (
        1 <= day <= date.max.toordinal()
        and 0 <= slot < WEEK
        and all(0 <= value < _LARGEST for value in values.values())
        and all(0 < weight < _LARGEST for weight in weights.values())
    ):
        raise ValueError("no hour")
    return Hour(day, slot, values, weights)
