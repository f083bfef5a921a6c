"""Keep what people corrected, picture by picture, and bring it into a set again after each import.

A folder of corrections holds one JSON file for each labelling that was merged, in their order. Each picture is known by
its sha256, with its labels before and after. It is text without pictures: it can be kept in git beside the set.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from models.common.files import json_rows, replace_file
from models.common.geometry import iou_matrix
from models.data.agreement import matched
from models.data.boxes import Boxes, as_rows, of_rows, of_sample, same, with_boxes
from models.data.errors import DataError
from models.data.samples import Sample

SCHEMA: Final = "edge-app/corrections/1"
MOVED: Final = 0.02
"""Px up to which a side of a box has not moved: labelling programs round to a hundredth."""
State: TypeAlias = Literal["corrected", "already", "untouched", "conflict"]
"""What corrections did to a picture. conflict: its labels are none of those that the corrections know."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Numbers of boxes that a person changed. flagged: those that are ignored now, or no longer."""

    added: int = 0
    removed: int = 0
    moved: int = 0
    reclassed: int = 0
    flagged: int = 0

    def __add__(self, other: Changes) -> Changes:
        return Changes(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    @property
    def text(self) -> str:
        """The numbers in words."""
        return (
            f"{self.added} added, {self.removed} removed, {self.moved} moved, {self.reclassed} of another class, "
            f"{self.flagged} ignored or no longer"
        )


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """Labels of one picture before and after a person looked at it.

    name: the picture's name. by, at: who and when, as the labelling program says it; "" when it does not.
    """

    name: str
    sha256: str
    before: Boxes
    after: Boxes
    by: str = ""
    at: str = ""


def settled(before: Boxes, after: Boxes, size: tuple[int, int]) -> Boxes:
    """Return the labels after a person has looked, in which a box that was not moved is exactly where it was before.

    size: of the picture, px. Labelling programs round, and that must not move boxes.
    """
    side = np.array(size * 2, np.float32)
    distance = np.abs((before.corners[:, None] - after.corners[None]) * side).max(axis=2)
    alike = (before.classes[:, None] == after.classes[None]) & (before.ignored[:, None] == after.ignored[None])
    order: dict[int, int] = {}
    for allowed in ((distance <= MOVED) & alike, distance <= MOVED):  # of two boxes in one place the one that is alike
        for i, j in np.argwhere(allowed).tolist():
            if i not in order and j not in order.values():
                order[i] = j
    kept = np.array(sorted(order), np.intp)
    rest = np.array([j for j in range(len(after.classes)) if j not in order.values()], np.intp)
    places = np.concatenate([np.array([order[i] for i in kept], np.intp), rest])
    corners = np.concatenate([before.corners[kept], after.corners[rest]])
    return Boxes(corners, after.classes[places], after.ignored[places])


def alike(first: Boxes, second: Boxes, size: tuple[int, int]) -> bool:
    """Return True when two labellings of a picture are the same but for rounding. size: of the picture, px."""
    return same(settled(first, second, size), first)


def changes(before: Boxes, after: Boxes) -> Changes:
    """Return how many boxes were changed. Boxes that overlap by half are one vehicle, the most alike first."""
    table = iou_matrix(before.corners, after.corners)
    same_class = before.classes[:, None] == after.classes[None, :]
    pairs = matched(table, same_class)
    for i, j in pairs:
        table[i, :] = table[:, j] = 0
    reclassed = matched(table, ~same_class)
    found = Counter[str]()
    for i, j in pairs:
        found["moved"] += int((before.corners[i] != after.corners[j]).any())
        found["flagged"] += int(before.ignored[i] != after.ignored[j])
    paired = len(pairs) + len(reclassed)
    return Changes(
        added=len(after.corners) - paired,
        removed=len(before.corners) - paired,
        moved=found["moved"],
        reclassed=len(reclassed),
        flagged=found["flagged"],
    )


def repeats(one: Correction, known: Sequence[Correction]) -> bool:
    """Return True when a correction is the last of those known of its picture: a merge that was cut off is repeated."""
    return bool(known) and same(known[-1].before, one.before) and same(known[-1].after, one.after)


def corrected(sample: Sample, known: Sequence[Correction]) -> tuple[Sample, State]:
    """Return a sample with the corrections of its picture, oldest first, and what they did."""
    if not known:
        return sample, "untouched"
    states = [known[0].before, *(one.after for one in known)]
    present, size = of_sample(sample), (sample.width, sample.height)
    connected = all(alike(one.after, two.before, size) for one, two in pairwise(known))
    if not connected or not any(alike(present, state, size) for state in states):
        return sample, "conflict"
    if alike(present, states[-1], size):
        return sample, "already"
    return with_boxes(sample, states[-1]), "corrected"


def write(folder: Path, source: str, found: Sequence[Correction]) -> Path:
    """Write corrections as the next file of a folder. Return its path.

    source: file name of what came back. Raises OSError: when it cannot be written.
    """
    last = max((int(path.name[:4]) for path in _files(folder)), default=0)
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).stem)[:60] or "corrections"
    path = folder / f"{last + 1:04d}-{plain}.json"
    pictures = [_as_json(one) for one in found]
    total = sum((changes(one.before, one.after) for one in found), Changes())
    replace_file(path, json_rows({"schema": SCHEMA, "from": source, "total": asdict(total)}, "pictures", pictures))
    return path


def _as_json(one: Correction) -> dict[str, Any]:
    known = {"name": one.name, "sha256": one.sha256, "by": one.by, "at": one.at}
    counts = asdict(changes(one.before, one.after))
    return known | {"changes": counts, "before": as_rows(one.before), "after": as_rows(one.after)}


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9][0-9][0-9][0-9]-*.json"))


def read(folder: Path) -> Mapping[str, Sequence[Correction]]:
    """Return sha256 of a picture -> its corrections, oldest first. Raises DataError: when a file is none of ours."""
    found: dict[str, list[Correction]] = {}
    for path in _files(folder):
        try:
            content = json.loads(path.read_text("utf-8"))
            if content["schema"] != SCHEMA:
                raise ValueError(f"its schema is not {SCHEMA}")
            for row in content["pictures"]:
                marks = {name: str(row[name]) for name in ("name", "sha256", "by", "at")}
                one = Correction(**marks, before=of_rows(row["before"]), after=of_rows(row["after"]))
                found.setdefault(one.sha256, []).append(one)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DataError(f"{path} is no file of corrections: {error}.") from error
    return found
