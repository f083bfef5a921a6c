"""Make weights for the tests of models/training."""

from __future__ import annotations

import numpy as np

from edge_app.records import FloatArray
from models.conversion.network import INPUT
from models.training.architecture import Plan, convolutions


def random_weights(network: Plan, seed: int = 0) -> dict[str, FloatArray]:
    """Return small random weights for all units of a plan."""
    random = np.random.default_rng(seed)
    channels = {INPUT: 3} | {unit.name: unit.channels for unit in network.units}
    found = {}
    for unit in convolutions(network.units):
        columns = 1 if unit.op == "depthwise" else unit.channels
        shape = (unit.kernel, unit.kernel, channels[unit.inputs[0]], columns)
        found[f"{unit.name}/kernel"] = (random.normal(0, 1, shape) * (2 / np.prod(shape[:3])) ** 0.5).astype(np.float32)
        found[f"{unit.name}/bias"] = random.normal(0, 0.1, unit.channels).astype(np.float32)
    return found
