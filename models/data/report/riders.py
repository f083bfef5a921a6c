"""Does the box of a motorcycle hold its rider? Pure.

Heuristic: the rider is the person, seen by the trusted model, who is centred over the motorcycle's box and whose feet
are at its height. `rise` is the share of the rider's height that stands out above the box: near 0 or below it where
the rider was labelled with the motorcycle, a third to two thirds where only the machine was. Head and shoulders are
about the upper quarter of a sitting person, so from RISEN on they are outside. Motorcycles on which no person is found
are not judged; that the box alone is taller than wide is shown beside it, since it needs no model.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge_app.records import FloatArray
from models.common.geometry import covered_share

RISEN: Final = 0.25
ASIDE: Final = 0.25
"""Of the motorcycle's width: how far beside its box the rider's centre may be."""
FEET: Final = (0.2, 1.15)
"""Of the motorcycle's height, from its top: between these are the rider's feet."""
TALL: Final = (0.35, 2.5)
"""Rider's height in heights of the motorcycle's box: others are passers-by near or far."""


def rises(motorcycles: FloatArray, people: FloatArray) -> FloatArray:
    """float32 (N,): the rise of each motorcycle's rider, NaN where there is none.

    motorcycles: float32 (N, 4), people: float32 (M, 4), x0 y0 x1 y1 in px of one picture.
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
    # Who is held better by another box rides that one: in a queue the feet of the next are at this one's height.
    inside = np.where(fits & (held == held.max(axis=0)), held, -1)
    best = inside.argmax(axis=1)
    found = np.take_along_axis(inside, best[:, None], axis=1)[:, 0] > 0
    rise = (motorcycles[:, 1] - people[best, 1]) / np.maximum(tall[best], 1e-6)
    return np.where(found, rise, np.nan).astype(np.float32)
