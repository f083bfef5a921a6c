"""Read and write CSV with one box a line.

The columns are filename, class, xmin, ymin, xmax, ymax in px, and if wanted width, height (of the picture that the
corners are measured in) and ignored (0 or 1). A header names the columns, in any order; others are skipped. A line with
a filename and nothing else says that the picture has no vehicles.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from models.data.errors import UsageError
from models.data.formats import Labelled, Pictures, Row, in_pixels, number, save, without_suffix
from models.data.problems import Problems
from models.data.samples import CLASSES, Sample

CORNERS: Final = ("xmin", "ymin", "xmax", "ymax")
NEEDED: Final = ("filename", "class", *CORNERS)
COLUMNS: Final = (*NEEDED, "width", "height", "ignored")


@dataclass(slots=True)
class Gathered:
    """The content of the lines of one picture, and the number of the first one."""

    line: int
    size: tuple[int, int] | None
    rows: list[Row] = field(default_factory=list)


def read(root: Path, pictures_in: Path, problems: Problems) -> Iterator[Labelled]:
    """Yield the pictures of a CSV file, or of all CSV files in a folder. Raises UsageError: when it holds none."""
    files = [root] if root.is_file() else sorted(root.glob("*.csv"))
    if not files:
        raise UsageError(f"{root} holds no CSV file.")
    pictures = Pictures(pictures_in)
    for path in files:
        for name, found in _gathered(path, problems).items():
            picture = pictures.find(name)
            if picture is None:
                problems.add("missing picture", path, f"{name} is not there", found.line)
            else:
                yield Labelled(without_suffix(name), picture, path, tuple(found.rows), pixels=True, size=found.size)
    for picture in pictures.not_asked():
        problems.add("picture without label", picture, "no line names it; its filename alone would say: no vehicles")


def _gathered(path: Path, problems: Problems) -> dict[str, Gathered]:
    """Return file name -> its rows."""
    found: dict[str, Gathered] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (lines.fieldnames or ())]
            if missing:
                raise ValueError(f"its first line lacks {', '.join(missing)}; it must name {', '.join(NEEDED)}")
            for fields in lines:
                _add(found, fields, path, lines.line_num, problems)
    except (OSError, ValueError, csv.Error) as error:
        problems.add("unreadable label", path, str(error))
    return found


def _add(found: dict[str, Gathered], fields: dict[str, str], path: Path, line: int, problems: Problems) -> None:
    try:
        if None in fields or None in fields.values():
            raise ValueError("it has not as many fields as the first line")
        name, label = fields["filename"].strip(), fields["class"].strip()
        empty = not any(fields[side].strip() for side in CORNERS)
        if not name or (not label and not empty):
            raise ValueError(f"it names no {'class' if name else 'picture'}")
        corners = None if not label and empty else [number(fields[side]) for side in CORNERS]
        size = _size(fields)
    except ValueError as error:
        problems.add("malformed line", path, str(error), line)
        return
    mine = found.setdefault(name, Gathered(line, size))
    if corners:
        x0, y0, x1, y1 = corners
        mine.rows.append(Row(label, (x0, y0, x1, y1), line, ignored=fields.get("ignored", "").strip() == "1"))


def _size(fields: dict[str, str]) -> tuple[int, int] | None:
    width, height = fields.get("width", "").strip(), fields.get("height", "").strip()
    return (int(width), int(height)) if width and height else None


def write(folder: Path, samples: Iterable[Sample]) -> None:
    """Write images/ and annotations.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "annotations.csv").open("w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(COLUMNS)
        for sample in samples:
            lines.writerows(_lines(sample, save(folder / "images", sample)))


def _lines(sample: Sample, name: str) -> Iterator[tuple[object, ...]]:
    size = (sample.width, sample.height)
    if not len(sample.boxes):
        yield (name, "", "", "", "", "", *size, "")
    for corners, kind, ignored in zip(in_pixels(sample), sample.classes, sample.ignored, strict=True):
        yield (name, CLASSES[kind], *corners, *size, int(ignored))
