"""The detector as structure: cut out of the source graph, heads reduced to the road users. Pure, no TensorFlow.

The cut runs from `Preprocessor/sub` (RGB in [-1, 1]) to the last bias of each prediction convolution. What
lies behind them in the source - reshapes that compute their shapes at run time, concatenation, sigmoid, box decoding,
NMS - stays outside: a device does it in float, where it loses nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.anchors import Size, layer_count
from models.source import Graph, Node, Weights

INPUT: Final = "Preprocessor/sub"
SOURCE_CLASSES: Final = 91
"""Columns of the source's class heads: background, then COCO ids 1..90."""
ROAD_USERS: Final = {"person": 1, "bicycle": 2, "car": 3, "motorcycle": 4, "bus": 6, "truck": 8}
"""Label -> COCO id, in the order of the built files' scores."""
SOURCE_ANCHORS: Final = "Postprocessor/ExpandDims"


def box_head(layer: int) -> str:
    """Name of the convolution (without /weights, /biases, /BiasAdd) that predicts the boxes of a layer."""
    return f"BoxPredictor_{layer}/BoxEncodingPredictor"


def class_head(layer: int) -> str:
    """Name of the convolution that predicts the class logits of a layer."""
    return f"BoxPredictor_{layer}/ClassPredictor"


def output_names(layers: int) -> tuple[list[str], list[str]]:
    """Names of the nodes that end the cut graph: of the boxes and of the class logits, both from the finest layer on."""
    heads = range(layers)
    return [f"{box_head(k)}/BiasAdd" for k in heads], [f"{class_head(k)}/BiasAdd" for k in heads]


def cut(source: Graph, size: Size) -> Graph:
    """What lies between INPUT and the outputs, with INPUT turned into a placeholder float32 (1, height, width, 3)."""
    by_name = {node["name"]: node for node in source.nodes}
    keep: set[str] = set()
    pending = [name for names in output_names(layer_count(size)) for name in names]
    while pending:
        name = pending.pop()
        if name not in keep:
            keep.add(name)
            pending += [] if name == INPUT else [_node_name(i) for i in by_name[name]["input"]]
    nodes = tuple(_placeholder(size) if n["name"] == INPUT else n for n in source.nodes if n["name"] in keep)
    return Graph(nodes, {name: array for name, array in source.weights.items() if name in keep})


def biases_first(graph: Graph) -> Graph:
    """Undo an optimisation of the source: (convolution + residual) + bias becomes (convolution + bias) + residual.

    The same sum, but the bias can then be fused into its convolution in int32; the source's order costs two more
    roundings to int8 and one more pass over the activation in each of the 10 residual blocks.
    """
    by_name = {node["name"]: node for node in graph.nodes}
    changed: dict[str, Node] = {}
    for node in graph.nodes:
        bias, inner = (by_name.get(_node_name(name)) for name in node["input"]) if node["op"] == "Add" else (None, None)
        if bias and inner and bias["op"] == "Const" and inner["op"] == "AddN":
            convolution, residual = inner["input"]
            kind = {"op": "Add", "attr": node["attr"]}
            changed[inner["name"]] = {"name": inner["name"], "input": [convolution, bias["name"]], **kind}
            changed[node["name"]] = {"name": node["name"], "input": [inner["name"], residual], **kind}
    return Graph(tuple(changed.get(node["name"], node) for node in graph.nodes), graph.weights)


def road_users_only(graph: Graph) -> Graph:
    """Drop all classes but ROAD_USERS from the class heads; background goes too, since scores are independent sigmoids."""
    weights = dict(graph.weights)
    for name in weights:
        if name.rpartition("/")[0].endswith("/ClassPredictor"):
            weights[name] = keep_classes(weights[name])
    return Graph(graph.nodes, weights)


def keep_classes(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """(..., priors * 91) -> (..., priors * 6): the columns of ROAD_USERS, in their order, prior by prior."""
    per_prior = array.reshape(*array.shape[:-1], -1, SOURCE_CLASSES)[..., list(ROAD_USERS.values())]
    return np.ascontiguousarray(per_prior.reshape(*array.shape[:-1], -1))


def source_anchors(weights: Weights) -> NDArray[np.float32]:
    """The source's own anchors at 300x300, float32 (1917, 4): y0 x0 y1 x1 in 0..1."""
    return np.asarray(weights[SOURCE_ANCHORS], np.float32).reshape(-1, 4)


def _node_name(reference: str) -> str:
    """ "^name:1" -> "name"."""
    return reference.lstrip("^").split(":")[0]


def _placeholder(size: Size) -> Node:
    shape = {"dim": [{"size": str(n)} for n in (1, size.height, size.width, 3)]}
    return {"name": INPUT, "op": "Placeholder", "input": [], "attr": {"dtype": {"type": 1}, "shape": {"shape": shape}}}
