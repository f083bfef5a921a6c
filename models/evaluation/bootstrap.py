"""Resample blocks of pictures to find how far chance alone moves a figure. The draws are the same for every model.

The pictures are a few fixed views with nearly the same frame again and again; drawing single pictures would count one
vehicle as ten. So consecutive frames of a camera are drawn in blocks, and each camera keeps its share (a stratified
block bootstrap: Davison and Hinkley, "Bootstrap Methods and Their Application", 1997, chapters 3 and 8). The interval
says what other frames of these cameras would give; other cameras differ by more. Because all models share the draws,
differences are paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.evaluation.labelled import Picture

Interval: TypeAlias = tuple[float, float]
ROUNDS: Final = 1000
SEED: Final = 20261
LEVEL: Final = 0.95
LONGEST: Final = 10
"""Pictures in one block at most."""
FEWEST: Final = 5
"""Blocks of one camera at least: one block alone has nothing to vary."""
GAP: Final = 5
"""A step between frame numbers this many times the camera's usual one begins a new block."""


def blocks(shown: Sequence[Picture]) -> list[list[NDArray[np.intp]]]:
    """Return for each camera the rows of its pictures in blocks; cameras with few pictures together, each a block.

    shown: pictures, those of a camera in the order of time.
    """
    cameras: dict[str, list[int]] = {}
    for row, picture in enumerate(shown):
        cameras.setdefault(picture.camera, []).append(row)
    many = [rows for rows in cameras.values() if len(rows) >= FEWEST]
    few = [np.array(rows, np.intp) for rows in cameras.values() if len(rows) < FEWEST]
    cut = [_cut([shown[row].number for row in rows], np.array(rows, np.intp)) for rows in many]
    return [*cut, few] if few else cut


def _cut(numbers: Sequence[int | None], rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    order = np.array([i if n is None else n for i, n in enumerate(numbers)], np.int64)
    steps = np.diff(order)
    usual = float(np.median(steps)) if len(steps) else 1.0
    longest = min(LONGEST, max(1, len(rows) // FEWEST))
    starts = [0]
    for i, step in enumerate(steps, 1):
        if step > GAP * max(usual, 1) or i - starts[-1] >= longest:
            starts.append(i)
    return np.split(rows, starts[1:])


def resampled(
    cameras: Sequence[Sequence[NDArray[np.intp]]], rounds: int = ROUNDS, seed: int = SEED
) -> NDArray[np.int64]:
    """Return how many times each picture occurs in sets drawn block by block within each camera, int64 (rounds, P).

    cameras: what `blocks` returned.
    """
    chance = np.random.default_rng(seed)
    pictures = sum(len(block) for camera in cameras for block in camera)
    weights = np.zeros((rounds, pictures), np.int64)
    for camera in cameras:
        drawn = chance.integers(len(camera), size=(rounds, len(camera)))
        for i, block in enumerate(camera):
            weights[:, block] += (drawn == i).sum(axis=1)[:, None]
    return weights


def interval(values: NDArray[np.float64]) -> Interval | None:
    """Return the middle LEVEL of resampled values (percentile method); None when most of them are undefined."""
    known = values[np.isfinite(values)]
    if len(known) < len(values) / 2 or not len(known):
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
