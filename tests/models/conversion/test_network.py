"""Test changes of the graph on small graphs whose result is known."""

from __future__ import annotations

import numpy as np
import pytest

from models.conversion.anchors import Size
from models.conversion.network import (
    INPUT,
    ROAD_USERS,
    SOURCE_CLASSES,
    biases_first,
    cut,
    keep_classes,
    output_names,
    road_users_only,
)
from models.conversion.published_weights import Graph, Node


def node(name: str, op: str, *inputs: str) -> Node:
    """Return a graph node."""
    return {"name": name, "op": op, "input": list(inputs), "attr": {}}


def test_keep_classes_takes_the_same_columns_of_every_prior() -> None:
    names = np.arange(3 * SOURCE_CLASSES, dtype=np.float32)  # 3 priors
    found = keep_classes(np.stack([names, names + 1000]))
    assert found.shape == (2, 3 * len(ROAD_USERS))
    assert found[0, :6].tolist() == [1, 2, 3, 4, 6, 8]
    assert found[0, 6:12].tolist() == [91 + c for c in (1, 2, 3, 4, 6, 8)]
    assert found[1, 17] == 1000 + 2 * 91 + 8


def test_cut_keeps_what_the_outputs_need_and_nothing_before_the_input() -> None:
    nodes = (
        node("camera", "Placeholder"),
        node(INPUT, "Sub", "camera"),
        node("w", "Const"),
        node("out", "Conv2D", INPUT, "w"),
        node("after", "Sigmoid", "out"),
    )
    graph = Graph(nodes, {"w": np.ones(1), "unused": np.ones(1)})
    found = cut(graph, Size(512, 288), ["out"])
    assert [n["name"] for n in found.nodes] == [INPUT, "w", "out"]
    assert found.nodes[0]["op"] == "Placeholder"
    dims = [d["size"] for d in found.nodes[0]["attr"]["shape"]["shape"]["dim"]]
    assert dims == ["1", "288", "512", "3"]
    assert list(found.weights) == ["w"]


def test_biases_come_before_the_residual() -> None:
    nodes = (
        node("x", "Placeholder"),
        node("b", "Const"),
        node("conv", "Conv2D", "x", "w"),
        node("leaf", "AddN", "conv", "x"),
        node("sum", "Add", "b", "leaf"),
        node("other", "Add", "conv", "x"),
    )
    found = {n["name"]: n for n in biases_first(Graph(nodes, {})).nodes}
    assert found["leaf"]["input"] == ["conv", "b"]
    assert found["sum"]["input"] == ["leaf", "x"]
    assert {found["leaf"]["op"], found["sum"]["op"]} == {"Add"}
    assert found["other"] == nodes[5]


def test_only_class_heads_are_reduced() -> None:
    weights = {
        "BoxPredictor_0/ClassPredictor/biases": np.zeros(91, np.float32),
        "BoxPredictor_0/BoxEncodingPredictor/biases": np.zeros(12, np.float32),
        "BoxPredictor_0/ClassPredictor_depthwise/depthwise_weights": np.zeros((3, 3, 576, 1), np.float32),
    }
    found = road_users_only(Graph((), weights)).weights
    assert [array.size for array in found.values()] == [6, 12, 5184]


@pytest.mark.parametrize("layers", [4, 6])
def test_outputs_are_ordered_by_layer(layers: int) -> None:
    boxes, scores = output_names(layers)
    assert [name[13] for name in boxes] == [name[13] for name in scores] == [str(k) for k in range(layers)]
