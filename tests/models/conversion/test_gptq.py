"""Test rounding with compensation: on the grid, and better than the nearest step when inputs are correlated."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from models.conversion.gptq import STEPS, layers, measure, round_rows, rounded
from models.conversion.published_weights import Graph, Node


def nearest(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights rounded to the nearest step of each row."""
    step = np.abs(rows).max(axis=-1, keepdims=True) / STEPS
    return np.asarray(np.round(rows / step) * step)


@pytest.fixture
def inputs() -> NDArray[np.float64]:
    """Return inputs (2000, 40) that are as strongly correlated as the channels of a network."""
    random = np.random.default_rng(1)
    shared, own = random.normal(size=(2000, 8)) @ random.normal(size=(8, 40)), random.normal(size=(2000, 40))
    return np.asarray(shared + 0.1 * own)


def test_weights_lie_on_their_grid_with_the_widest_at_its_end(inputs: NDArray[np.float64]) -> None:
    rows = np.random.default_rng(2).normal(size=(1, 30, 40))
    found = round_rows(rows, np.cov(inputs.T)[None])
    steps = found / (np.abs(rows).max(axis=2, keepdims=True) / STEPS)
    assert np.abs(steps - np.round(steps)).max() < 1e-6
    assert np.abs(steps).max(axis=2) == pytest.approx(np.full((1, 30), STEPS))


def test_outputs_are_closer_than_with_the_nearest_step(inputs: NDArray[np.float64]) -> None:
    rows = np.random.default_rng(2).normal(size=(1, 30, 40))
    ours = ((round_rows(rows, np.cov(inputs.T)[None]) - rows)[0] @ inputs.T).std()
    theirs = ((nearest(rows) - rows)[0] @ inputs.T).std()
    assert ours < 0.7 * theirs


def test_dead_inputs_do_no_harm() -> None:
    rows = np.random.default_rng(3).normal(size=(5, 1, 9))
    assert round_rows(rows, np.zeros((5, 9, 9))) == pytest.approx(nearest(rows), abs=1e-6)
    assert not round_rows(np.zeros((1, 2, 9)), np.zeros((1, 9, 9))).any()


def node(name: str, op: str, *inputs: str) -> Node:
    """Return a graph node."""
    return {"name": name, "op": op, "input": list(inputs), "attr": {}}


def small_graph() -> Graph:
    """Return a graph of a depthwise convolution with a multiplier and a 1x1 convolution, both with biases."""
    random = np.random.default_rng(4)
    nodes = (
        node("x", "Placeholder"),
        node("deep", "DepthwiseConv2dNative", "x", "deep/kernel"),
        node("deep/mul", "Mul", "deep", "deep/factor"),
        node("deep/add", "Add", "deep/mul", "deep/bias"),
        node("wide", "Conv2D", "deep/add", "wide/kernel"),
        node("wide/add", "BiasAdd", "wide", "wide/bias"),
    )
    shapes = {"deep/kernel": (3, 3, 4, 1), "deep/factor": (4,), "deep/bias": (4,)}
    shapes |= {"wide/kernel": (1, 1, 4, 7), "wide/bias": (7,)}
    return Graph(nodes, {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()})


def test_layers_know_their_bias_and_multiplier() -> None:
    deep, wide = layers(small_graph())
    assert (deep.input, deep.kernel, deep.bias, deep.scale) == ("x", "deep/kernel", "deep/bias", ("deep/factor",))
    assert (wide.input, wide.kernel, wide.bias, wide.scale) == ("deep/add", "wide/kernel", "wide/bias", ())


def test_the_bias_takes_up_the_mean() -> None:
    """Constant inputs have nothing but a mean, so every output must stay as it was."""
    graph = small_graph()
    tensors = {"x": np.full((1, 5, 6, 4), 0.7, np.float32), "deep/add": np.full((1, 5, 6, 4), -1.3, np.float32)}
    found = rounded(graph, measure(graph, [tensors]))
    before, after = (g.weights["wide/kernel"][0, 0].sum(axis=0) * -1.3 + g.weights["wide/bias"] for g in (graph, found))
    assert after == pytest.approx(before, abs=1e-5)
    assert not np.array_equal(found.weights["wide/kernel"], graph.weights["wide/kernel"])
    assert graph.nodes == found.nodes
