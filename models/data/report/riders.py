"""Estimate whether the box of a motorcycle holds its rider. Pure.

Heuristic: the rider is the person, seen by the trusted model, who is centred over the motorcycle's box and whose feet
are at its height. `rise` is the share of the rider's height above the box: near 0 or below it when the rider was
labelled with the motorcycle, a third to two thirds when only the machine was. Head and shoulders are about the upper
quarter of a sitting person, so from RISEN on they are outside. Motorcycles without a visible person get no rise; the
height / width of their boxes is reported beside it, because it needs no model.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_app.records import FloatArray
from models.common.geometry import covered_share

RISEN: Final = 0.25
ASIDE: Final = 0.25
"""Share of the motorcycle's width: how far beside its box the rider's centre may be."""
FEET: Final = (0.2, 1.15)
"""Share of the motorcycle's height, from its top: the rider's feet are between these."""
TALL: Final = (0.35, 2.5)
"""Rider's height in heights of the motorcycle's box: others are passers-by near or far."""


def rises(motorcycles: FloatArray, people: FloatArray) -> FloatArray:
    """Return the rise of each motorcycle's rider, float32 (N,), NaN where there is none.

    motorcycles: float32 (N, 4). people: float32 (M, 4). Both x0 y0 x1 y1 in px of one picture.
    """
    if not len(people) or not len(motorcycles):
        return np.full(len(motorcycles), np.nan, np.float32)
    left, top, right, bottom = (side[:, None] for side in motorcycles.T)
    width, height = right - left, bottom - top
    centre, feet, tall = (people[:, 0] + people[:, 2]) / 2, people[:, 3], people[:, 3] - people[:, 1]
    fits = (left - ASIDE * width <= centre) & (centre <= right + ASIDE * width)
    fits &= (top + FEET[0] * height <= feet) & (feet <= top + FEET[1] * height)
    fits &= (TALL[0] * height <= tall) & (tall <= TALL[1] * height)
    held = covered_share(people, motorcycles).T
    # A person rides the box that holds most of them: in a queue the feet of the next rider are at this box's height.
    inside = np.where(fits & (held == held.max(axis=0)), held, -1)
    best = inside.argmax(axis=1)
    found = np.take_along_axis(inside, best[:, None], axis=1)[:, 0] > 0
    rise = (motorcycles[:, 1] - people[best, 1]) / np.maximum(tall[best], 1e-6)
    return np.where(found, rise, np.nan).astype(np.float32)
