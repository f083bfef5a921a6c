"""Test that channels that never change are found and left out, and that the network answers as before."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from edge_app.records import FloatArray
from models.conversion.anchors import Size
from models.training.architecture import BACKBONE, FINE, Plan, convolutions, plan
from models.training.trimming import MULTIPLE, STEP, Extent, groups, trimmed
from tests.support.weights import random_weights

SIZE = Size(160, 96)
PLAN = plan(4, fine=True, deep=True)
LAST = f"{BACKBONE}/Conv_1"
WIDE = f"{BACKBONE}/expanded_conv_13/expand"


def changing(network: Plan) -> dict[str, Extent]:
    """Return extents in which every channel changes."""
    size = {unit.name: unit.channels for unit in network.units}
    names = {tensor for group in groups(network) for tensor, _ in group.ends}
    return {n: Extent(*(np.full(size[n], v, np.float32) for v in (0.0, 1.0, 0.5, 0.1))) for n in names}


def constant(extent: Extent, channels: list[int], value: float) -> None:
    """Let these channels have one value."""
    for part in (extent.low, extent.high, extent.mean):
        part[channels] = value


def test_a_group_holds_what_goes_together_and_no_sums() -> None:
    found = {group.root.name: group for group in groups(PLAN)}
    assert not any(name.endswith("/project") or name == f"{FINE}/sum" for name in found)
    assert len(found[WIDE].through) == 3  # one of its block, and one of each head of stride 16
    assert {unit.name for _, unit in found[LAST].ends} == {
        "BoxPredictor_1/BoxEncodingPredictor",
        "BoxPredictor_1/ClassPredictor",
        f"{BACKBONE}/layer_19_1_Conv2d_2_1x1_256",
    }


def test_changing_channels_and_outputs_stay() -> None:
    known = random_weights(PLAN)
    network, found = trimmed(PLAN, known, changing(PLAN))
    assert network == PLAN
    assert all((found[name] == known[name]).all() for name in known)


def test_channels_are_dropped_in_multiples_and_only_if_constant_at_every_end() -> None:
    seen = changing(PLAN)
    constant(seen[LAST], list(range(20)), 0)
    for name in seen:
        if name.startswith("BoxPredictor_1/"):
            constant(seen[name], list(range(3, 40)), 0.25)
    network, found = trimmed(PLAN, random_weights(PLAN), seen)
    channels = {unit.name: unit.channels for unit in network.units}
    assert channels[LAST] == 1280 - 17 + 1  # the next multiple of 8
    assert channels[LAST] % MULTIPLE == 0
    for unit in convolutions(network.units):
        assert found[f"{unit.name}/bias"].shape == (unit.channels,)
        assert found[f"{unit.name}/kernel"].shape[2 if unit.op == "depthwise" else 3] == unit.channels
    before = {unit.name: unit.channels for unit in PLAN.units}
    assert {name for name in channels if channels[name] != before[name]} == {
        LAST,
        "BoxPredictor_1/BoxEncodingPredictor_depthwise",
        "BoxPredictor_1/ClassPredictor_depthwise",
    }


def test_a_change_within_one_int8_step_counts_as_none() -> None:
    seen = changing(PLAN)
    for name in seen:
        if name.startswith(("BoxPredictor_0/", f"{BACKBONE}/expanded_conv_13/")):
            seen[name].low[:16], seen[name].high[:8], seen[name].high[8:16] = 1, 1 + 0.9 * STEP, 1 + 1.1 * STEP
    network, _ = trimmed(PLAN, random_weights(PLAN), seen)
    assert {unit.channels for unit in network.units if unit.name == WIDE} == {576 - 8}


def test_channels_that_carry_next_to_nothing_are_left_out_and_their_mean_stays() -> None:
    seen, known = changing(PLAN), random_weights(PLAN)
    faint = np.arange(24)
    for name in seen:
        if name == LAST or name.startswith("BoxPredictor_1/"):
            seen[name].variance[faint] = 1e-6
            seen[name].mean[faint] = 0.25
    network, found = trimmed(PLAN, known, seen)
    assert {unit.channels for unit in network.units if unit.name == LAST} == {1280 - 24}
    end = f"{BACKBONE}/layer_19_1_Conv2d_2_1x1_256"
    moved = 0.25 * known[f"{end}/kernel"][0, 0, :24].sum(axis=0)
    np.testing.assert_allclose(found[f"{end}/bias"] - known[f"{end}/bias"], moved, atol=1e-5)
    seen[LAST].variance[faint] = 0.1  # one end that hears them is enough to keep them
    network, _ = trimmed(PLAN, known, seen)
    assert {unit.channels for unit in network.units if unit.name == LAST} == {1280}
    assert trimmed(PLAN, known, changing(PLAN), carried=0)[0] == PLAN


@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow is not installed (make smoke)")
def test_a_network_with_still_channels_answers_the_same_without_them() -> None:
    from models.conversion import tensorflow_adapter
    from models.conversion.network import INPUT
    from models.training.keras_network import graph_of
    from models.training.trimming import extents

    known, random = random_weights(PLAN), np.random.default_rng(3)
    for unit in convolutions(PLAN.units):  # a third of all channels constant, some at another value than 0
        if unit.relu:
            bias, gone = known[f"{unit.name}/bias"], random.random(unit.channels) < 0.3
            bias[gone] = -50
            if unit.op == "depthwise":
                known[f"{unit.name}/kernel"][:, :, gone] = 0
                bias[gone] = random.uniform(-1, 5, gone.sum())
    pictures: list[FloatArray] = [random.uniform(-1, 1, (1, *SIZE[::-1], 3)).astype(np.float32) for _ in range(4)]
    graph = graph_of(PLAN, SIZE, known)
    network, fewer = trimmed(PLAN, known, extents(graph, PLAN, pictures))
    smaller = graph_of(network, SIZE, fewer)
    assert sum(map(np.size, smaller.weights.values())) < 0.9 * sum(map(np.size, graph.weights.values()))
    names = [*PLAN.outputs[0], *PLAN.outputs[1]]
    before, after = (tensorflow_adapter.runner(one, [INPUT], names) for one in (graph, smaller))
    for image in pictures:
        for one, other in zip(before(image), after(image), strict=True):
            np.testing.assert_allclose(other, one, atol=0.01)
