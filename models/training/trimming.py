"""Leave out channels whose value never changes, and put that value into the bias behind them.

Hu et al., "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures" (2016), here
without training afterwards, because the remaining network computes the same. Weight decay and ReLU6 leave many such
channels in the published network: a third of its widest layers answers 0 to every picture of a road.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.conversion import tensorflow_adapter
from models.conversion.network import INPUT
from models.conversion.published_weights import Graph
from models.training.architecture import Plan, Unit
from models.training.weights import Weights

STEP: Final = 6 / 255
"""Smallest difference that an int8 ReLU6 can represent: a channel whose values all lie within it does not change."""
MULTIPLE: Final = 8
"""Channels are kept in multiples of this number, as int8 kernels compute them."""


@dataclass(frozen=True, slots=True)
class Group:
    """Channels that can only be left out together.

    root: the convolution that makes them. through: depthwise convolutions that pass them on.
    ends: convolutions that use them, each with the tensor that it uses.
    """

    root: Unit
    through: tuple[Unit, ...]
    ends: tuple[tuple[str, Unit], ...]


@dataclass(frozen=True, slots=True)
class Extent:
    """Lowest, highest and mean value of a tensor's channels over many pictures, each float32 (C,)."""

    low: FloatArray
    high: FloatArray
    mean: FloatArray


def groups(plan: Plan) -> list[Group]:
    """Return all groups whose channels reach nothing but convolutions; in a sum both inputs would have to agree."""
    roots = (unit for unit in plan.units if unit.op == "conv" and unit.relu)
    found = (_group(unit, plan.units) for unit in roots)
    return [group for group in found if group is not None and group.ends]


def _group(root: Unit, units: Sequence[Unit]) -> Group | None:
    through: list[Unit] = []
    ends: list[tuple[str, Unit]] = []
    for tensor in (source := [root.name]):
        for unit in units:
            if tensor not in unit.inputs:
                continue
            if unit.op == "depthwise":
                through.append(unit)
                source.append(unit.name)
            elif unit.op == "conv" and unit.kernel == 1:
                ends.append((tensor, unit))
            else:
                return None
    return Group(root, tuple(through), tuple(ends))


def extents(graph: Graph, plan: Plan, inputs: Iterable[FloatArray]) -> dict[str, Extent]:
    """Return the extent of every tensor that an end uses. inputs: float32 (1, H, W, 3) in [-1, 1], one at least."""
    names = sorted({tensor for group in groups(plan) for tensor, _ in group.ends})
    run = tensorflow_adapter.runner(graph, [INPUT], names)
    over: list[list[Extent]] = [[] for _ in names]
    for image in inputs:
        for found, array in zip(over, run(image), strict=True):
            rows = array.reshape(-1, array.shape[-1])
            found.append(Extent(rows.min(axis=0), rows.max(axis=0), rows.mean(axis=0)))
    return {name: _joined(found) for name, found in zip(names, over, strict=True)}


def _joined(found: Sequence[Extent]) -> Extent:
    return Extent(
        np.min([one.low for one in found], axis=0),
        np.max([one.high for one in found], axis=0),
        np.mean([one.mean for one in found], axis=0),
    )


def trimmed(plan: Plan, weights: Weights, seen: Mapping[str, Extent]) -> tuple[Plan, dict[str, FloatArray]]:
    """Return the plan with fewer channels, and weights with which it answers as before wherever `seen` holds.

    seen: what `extents` returned.
    """
    result = {name: np.asarray(array) for name, array in weights.items()}
    channels: dict[str, int] = {}
    for group in groups(plan):
        moved = np.max([seen[tensor].high - seen[tensor].low for tensor, _ in group.ends], axis=0)
        kept = _kept(moved)
        if len(kept) == len(moved):
            continue
        gone = np.setdiff1d(np.arange(len(moved)), kept)
        for tensor, unit in group.ends:
            kernel, bias = f"{unit.name}/kernel", f"{unit.name}/bias"
            result[bias] = np.asarray(result[bias] + seen[tensor].mean[gone] @ result[kernel][0, 0, gone], np.float32)
            result[kernel] = result[kernel][:, :, kept]
        for unit in group.through:
            result[f"{unit.name}/kernel"] = result[f"{unit.name}/kernel"][:, :, kept]
        result[f"{group.root.name}/kernel"] = result[f"{group.root.name}/kernel"][..., kept]
        for unit in (group.root, *group.through):
            result[f"{unit.name}/bias"] = result[f"{unit.name}/bias"][kept]
            channels[unit.name] = len(kept)
    units = tuple(replace(unit, channels=channels.get(unit.name, unit.channels)) for unit in plan.units)
    return replace(plan, units=units), {name: np.ascontiguousarray(array) for name, array in result.items()}


def _kept(moved: FloatArray) -> NDArray[np.intp]:
    """Return the channels that change, and of the rest those that change most, up to a multiple of MULTIPLE."""
    moving = int((moved > STEP).sum())
    count = min(len(moved), max(MULTIPLE, -(-moving // MULTIPLE) * MULTIPLE))
    return np.sort(np.argsort(-moved, kind="stable")[:count])
