"""Measure how wide the outputs of units are: the steps of int8 cover these ranges, in training and in the file.

A range is the mean of each picture's extremes, so that one odd picture does not make all steps coarse. Ranges stay
fixed while the weights adapt to them (models.training.simulated), and the converter writes the same ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from edge_app.records import FloatArray
from models.conversion import tensorflow_adapter
from models.conversion.anchors import Size
from models.conversion.network import INPUT
from models.training.architecture import Plan, Unit
from models.training.keras_network import graph_of
from models.training.weights import Weights, load, save

Ranges: TypeAlias = Mapping[str, tuple[float, float]]
"""Name of a unit -> lowest and highest value of its output; 0 lies within."""


def measured(plan: Plan, size: Size, weights: Weights, images: Iterable[FloatArray]) -> dict[str, tuple[float, float]]:
    """Return the ranges of all units whose output has steps of its own.

    images: float32 (1, H, W, 3) in [-1, 1]. Heads keep their extremes over all images, because their highest values are
    the surest detections.
    """
    names = [unit.name for unit in plan.units if has_steps(unit)]
    ends = {name for outputs in plan.outputs for name in outputs}
    run = tensorflow_adapter.runner(graph_of(plan, size, weights), [INPUT], names)
    seen = np.array([[(float(part.min()), float(part.max())) for part in run(image)] for image in images])
    result = {}
    for index, name in enumerate(names):
        low, high = seen[:, index].T
        pair = (low.min(), high.max()) if name in ends else (low.mean(), high.mean())
        result[name] = (min(0.0, float(pair[0])), max(1e-3, float(pair[1])))
    return result


def has_steps(unit: Unit) -> bool:
    """Return True when the output of a unit has steps of its own; an enlarged input keeps those it came with."""
    return unit.op != "enlarge"


def write(path: Path, ranges: Ranges) -> None:
    """Write ranges as .npz, in one step."""
    save(path, {name: np.array(pair, np.float32) for name, pair in ranges.items()})


def read(path: Path) -> dict[str, tuple[float, float]]:
    """Return what `write` wrote; nothing when the file is absent. Raises BuildError: when it cannot be read."""
    return {name: (float(pair[0]), float(pair[1])) for name, pair in load(path).items()} if path.exists() else {}
