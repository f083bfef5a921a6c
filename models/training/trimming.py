"""Leave out channels that carry next to nothing, and put their mean into the bias behind them.

Hu et al., "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep Architectures" (2016), here
without training afterwards, because the remaining network computes nearly the same. Weight decay and ReLU6 leave many
such channels in the published network: a third of its widest layers answers 0 to every picture of a road. What a
channel carries is measured as in Luo et al., "ThiNet" (2017): by what the layer behind it makes of it.
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
CARRIED: Final = 1e-3
"""Share of the variance of what a convolution computes that the channels left out may carry together."""
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
    """Lowest, highest and mean value of a tensor's channels over many pictures, and variance, each float32 (C,)."""

    low: FloatArray
    high: FloatArray
    mean: FloatArray
    variance: FloatArray


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
            found.append(Extent(rows.min(axis=0), rows.max(axis=0), rows.mean(axis=0), rows.var(axis=0)))
    return {name: _joined(found) for name, found in zip(names, over, strict=True)}


def _joined(found: Sequence[Extent]) -> Extent:
    """Return the extent over pictures of the same size."""
    means = np.array([one.mean for one in found])
    return Extent(
        np.min([one.low for one in found], axis=0),
        np.max([one.high for one in found], axis=0),
        means.mean(axis=0),
        np.mean([one.variance for one in found], axis=0) + means.var(axis=0),
    )


def trimmed(
    plan: Plan, weights: Weights, seen: Mapping[str, Extent], carried: float = CARRIED
) -> tuple[Plan, dict[str, FloatArray]]:
    """Return the plan with fewer channels, and weights with which it answers nearly as before wherever `seen` holds.

    seen: what `extents` returned. carried: share of the variance behind each group that may be lost.
    """
    result = {name: np.asarray(array) for name, array in weights.items()}
    channels: dict[str, int] = {}
    for group in groups(plan):
        kept = _kept(_worth(group, weights, seen, carried))
        gone = np.setdiff1d(np.arange(group.root.channels), kept)
        if not len(gone):
            continue
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


def _worth(group: Group, weights: Weights, seen: Mapping[str, Extent], carried: float) -> FloatArray:
    """Return what each channel is worth, float32 (C,): below 1 it can be left out, with all that are worth less.

    A channel is worth as much as at the end where it is worth most. What channels carry is added up as if they were
    independent of each other.
    """
    worth = np.zeros(group.root.channels, np.float32)
    for tensor, unit in group.ends:
        extent, kernel = seen[tensor], weights[f"{unit.name}/kernel"][0, 0]
        still = extent.high - extent.low <= STEP
        shares = np.where(still, 0, extent.variance * (kernel**2).sum(axis=1))
        order = np.argsort(shares, kind="stable")
        lost = np.empty(len(shares), np.float64)
        lost[order] = np.cumsum(shares[order]) / max(float(shares.sum()), 1e-12)
        worth = np.maximum(worth, np.where(still, 0, lost / carried if carried else 1)).astype(np.float32)
    return worth


def _kept(worth: FloatArray) -> NDArray[np.intp]:
    """Return the channels that are worth something, and of the rest those worth most, up to a multiple of MULTIPLE."""
    needed = int((worth >= 1).sum())
    count = min(len(worth), max(MULTIPLE, -(-needed // MULTIPLE) * MULTIPLE))
    return np.sort(np.argsort(-worth, kind="stable")[:count])
