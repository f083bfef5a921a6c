"""Read what this project has marked by eye where data sets lack a label or mean something else.

Pictures are known by their sha256, because the pictures themselves are not in the repository.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np

from edge_app.records import FloatArray

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
