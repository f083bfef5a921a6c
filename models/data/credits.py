"""Read who made each picture and under which licence, for sets that were put together from many people's pictures.

A CSV file with the columns image (or file), licence, and credit (or source); others are skipped. What it says of a
picture goes before the licence of its whole set.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from models.data.errors import UsageError
from models.data.samples import NO_LICENCE, Sample

_NAMES: Final = (("image", "file"), ("licence", "license"), ("credit", "source"))
_CREATIVE: Final = re.compile(r"CC[ -](BY(?:-(?:NC|ND|SA|NC-SA|NC-ND))?)[ -](\d\.\d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Credit:
    """Licence (SPDX id or NO_LICENCE) and maker of one picture; the maker may be empty."""

    licence: str
    maker: str


def read_credits(path: Path) -> Mapping[str, Credit]:
    """Return name of a picture without suffix -> its credit. Raises UsageError: when the file is no such list."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            columns = [next((name for name in names if name in (rows.fieldnames or ())), None) for names in _NAMES]
            if None in columns[:2]:
                raise ValueError("its first line must name image, licence and credit")
            return {_plain(row, columns[0]): _credit(row, columns) for row in rows}
    except (OSError, ValueError, csv.Error) as error:
        raise UsageError(f"{path} is no list of credits: {error}.") from error


def _plain(row: Mapping[str, str | None], column: str | None) -> str:
    return PurePosixPath((row.get(column or "") or "").replace("\\", "/")).with_suffix("").as_posix()


def _credit(row: Mapping[str, str | None], columns: list[str | None]) -> Credit:
    licence, maker = (" ".join((row.get(name or "") or "").split()) for name in columns[1:])
    return Credit(spdx(licence), maker)


def write_credits(path: Path, samples: Iterable[Sample]) -> None:
    """Write the credits of exported pictures, for a new import; nothing when no picture has one."""
    rows = [(sample.name, sample.licence, sample.credit) for sample in samples if sample.credit]
    if not rows:
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerows([("image", "licence", "credit"), *((f"{name}.jpg", *rest) for name, *rest in rows)])


def spdx(text: str) -> str:
    """Return the SPDX id of a licence as people write it: "CC BY-SA 2.0" is CC-BY-SA-2.0, nothing is "none stated"."""
    found = _CREATIVE.match(text.strip())
    if found:
        return f"CC-{found[1].upper()}-{found[2]}"
    return NO_LICENCE if not text.strip() or text.lower().startswith(("none", "no known", "unknown")) else text.strip()
