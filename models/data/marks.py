"""Read and write what this project has marked by eye where data sets lack a label or mean something else.

Pictures are known by their sha256, because the pictures themselves are not in the repository.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from edge_app.records import FloatArray
from models.common.files import replace_file
from models.data.errors import DataError, UsageError

PLACES: Final = "places.json"
"""File in which `models.evaluation --places` lists where detectors see a vehicle without a label."""
PLACES_SCHEMA: Final = "edge-app/places/1"
MARKED: Final = Path(__file__).with_name("marks.json")
What: TypeAlias = Literal["bicycles", "nothing", "cars", "buses", "trucks", "unlabelled", "mislabelled"]
"""Kinds of marks. bicycles: with their riders. nothing: places where a detector saw a vehicle and there is none. cars,
buses, trucks: vehicles whose label and detectors disagree; light vans, pick-ups and passenger vans are cars, dropside,
box and tank bodies are trucks. In pictures that evaluate: unlabelled: vehicles without a label; mislabelled: labels on
nothing or of another class.
"""


@lru_cache
def marks(what: What, path: Path = MARKED) -> dict[str, FloatArray]:
    """Return sha256 of a picture -> marked boxes of one kind, float32 (N, 4), x0 y0 x1 y1 in 0..1."""
    boxes_of = json.loads(path.read_text("utf-8")).get(what, {})
    return {picture: np.array(boxes, np.float32) for picture, boxes in boxes_of.items()}


def add(places: Path, numbers: Collection[int], what: What, path: Path = MARKED) -> int:
    """Mark places that a person has looked at; return how many were not marked before.

    places: folder that `models.evaluation --places` wrote. numbers: of the places. what: the kind of mark.
    Raises DataError: when the list cannot be read. UsageError: when it has no place of a number.
    """
    known = {row["number"]: row for row in _places(places / PLACES)}
    if absent := sorted(set(numbers) - set(known)):
        has = f"it has 1 to {len(known)}" if known else "it has none: the detectors see no vehicle without a label"
        raise UsageError(f"{places / PLACES} has no place {absent[0]}; {has}.")
    content = json.loads(path.read_text("utf-8"))
    boxes_of = content.setdefault(what, {})
    added = 0
    for number in sorted(set(numbers)):
        mine = boxes_of.setdefault(known[number]["picture"], [])
        if known[number]["box"] not in mine:
            mine.append(known[number]["box"])
            added += 1
    replace_file(path, _written(content))
    marks.cache_clear()
    return added


def _places(file: Path) -> list[dict[str, Any]]:
    try:
        content = json.loads(file.read_text("utf-8"))
        if content["schema"] != PLACES_SCHEMA:
            raise ValueError(f"its schema is not {PLACES_SCHEMA}")
        return list(content["places"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file} is no list of places ({error}): `models.evaluation --places` writes one.") from error


def _written(content: dict[str, Any]) -> bytes:
    """Return the file: a line a picture, in the order of their hashes, so that a change can be read."""
    head = {name: value for name, value in content.items() if name not in get_args(What)}
    kinds = []
    for what in (kind for kind in get_args(What) if kind in content):
        lines = ",\n".join(f'  "{picture}": {json.dumps(boxes)}' for picture, boxes in sorted(content[what].items()))
        kinds.append(f' "{what}": {{\n{lines}\n }}')
    first = json.dumps(head, indent=1, ensure_ascii=False).removesuffix("\n}")
    return (",\n".join([first, *kinds]) + "\n}\n").encode()
