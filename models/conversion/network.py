"""Cut the detector out of the source graph and reduce its heads to the road users. Pure, no TensorFlow.

The cut runs from `Preprocessor/sub` (RGB in [-1, 1]) to the last bias of each prediction convolution. What follows in
the source - reshapes that compute their shapes at run time, concatenation, sigmoid, box decoding, suppression - stays
outside: a device computes it in float, where it loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.conversion.anchors import Size, layer_count
from models.conversion.published_weights import Graph, Node, Weights

INPUT: Final = "Preprocessor/sub"
RAW_INPUT: Final = "image"
BOXES: Final = "boxes"
SCORES: Final = "scores"
SOURCE_BOXES: Final = "Postprocessor/ExpandDims_1"
"""The source's own decoded boxes, (1, 1917, 1, 4), y0 x0 y1 x1 in 0..1."""
SOURCE_SCORES: Final = "Postprocessor/Slice"
"""The source's own scores after the sigmoid, (1, 1917, 90), COCO ids 1..90."""
FLOAT32, INT32, UINT8 = 1, 3, 4
"""TensorFlow's numbers of data types in a GraphDef."""
SOURCE_CLASSES: Final = 91
"""Columns of the source's class heads: background, then COCO ids 1..90."""
ROAD_USERS: Final = {"person": 1, "bicycle": 2, "car": 3, "motorcycle": 4, "bus": 6, "truck": 8}
"""Label -> COCO id, in the order of the built files' scores."""
SOURCE_ANCHORS: Final = "Postprocessor/ExpandDims"


def box_head(layer: int | str) -> str:
    """Return the name of the convolution (without /weights, /biases, /BiasAdd) that predicts the boxes of a layer."""
    return f"BoxPredictor_{layer}/BoxEncodingPredictor"


def class_head(layer: int | str) -> str:
    """Return the name of the convolution that predicts the class logits of a layer."""
    return f"BoxPredictor_{layer}/ClassPredictor"


def output_names(layers: int) -> tuple[list[str], list[str]]:
    """Return the nodes that end the cut graph: those of the boxes and those of the class logits, finest layer first."""
    heads = range(layers)
    return [f"{box_head(k)}/BiasAdd" for k in heads], [f"{class_head(k)}/BiasAdd" for k in heads]


def cut(source: Graph, size: Size, outputs: Sequence[str] = ()) -> Graph:
    """Return what lies between INPUT and the outputs, with INPUT as a placeholder float32 (1, height, width, 3).

    outputs: names of nodes; by default `output_names` of all layers used at this size.
    """
    by_name = {node["name"]: node for node in source.nodes}
    keep: set[str] = set()
    pending = list(outputs) or [name for names in output_names(layer_count(size)) for name in names]
    while pending:
        name = pending.pop()
        if name not in keep:
            keep.add(name)
            pending += [] if name == INPUT else [_node_name(i) for i in by_name[name]["input"]]
    start = placeholder(INPUT, size, FLOAT32)
    nodes = tuple(start if n["name"] == INPUT else n for n in source.nodes if n["name"] in keep)
    return Graph(nodes, {name: array for name, array in source.weights.items() if name in keep})


def biases_first(graph: Graph) -> Graph:
    """Return the graph with (convolution + residual) + bias changed to (convolution + bias) + residual.

    The sum is the same, but now the bias can be fused into its convolution in int32. The source's order, an
    optimisation for floats, costs two more roundings to int8 and one more pass over the activation in each of the 10
    residual blocks.
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
    """Return the graph with ROAD_USERS alone in the class heads.

    Background goes too, because scores are independent sigmoids.
    """
    weights = dict(graph.weights)
    for name in weights:
        if name.rpartition("/")[0].endswith("/ClassPredictor"):
            weights[name] = keep_classes(weights[name])
    return Graph(graph.nodes, weights)


def keep_classes(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the columns of ROAD_USERS, in their order, prior by prior: (..., priors * 91) -> (..., priors * 6)."""
    per_prior = array.reshape(*array.shape[:-1], -1, SOURCE_CLASSES)[..., list(ROAD_USERS.values())]
    return np.ascontiguousarray(per_prior.reshape(*array.shape[:-1], -1))


def source_anchors(weights: Weights) -> NDArray[np.float32]:
    """Return the source's own anchors at 300x300, float32 (1917, 4), y0 x0 y1 x1 in 0..1."""
    return np.asarray(weights[SOURCE_ANCHORS], np.float32).reshape(-1, 4)


def _node_name(reference: str) -> str:
    """Return the name of the node in a reference: "^name:1" -> "name"."""
    return reference.lstrip("^").split(":")[0]


def with_raw_input(graph: Graph, size: Size) -> Graph:
    """Return the graph behind a uint8 placeholder RAW_INPUT and the source's scaling to [-1, 1], for a float file."""
    kind = {"T": {"type": FLOAT32}}
    cast = {"SrcT": {"type": UINT8}, "DstT": {"type": FLOAT32}}
    front: tuple[Node, ...] = (
        placeholder(RAW_INPUT, size, UINT8),
        {"name": "raw/float", "op": "Cast", "input": [RAW_INPUT], "attr": cast},
        _constant("raw/range", FLOAT32),
        _constant("raw/one", FLOAT32),
        {"name": "raw/scaled", "op": "Mul", "input": ["raw/float", "raw/range"], "attr": kind},
        {"name": INPUT, "op": "Sub", "input": ["raw/scaled", "raw/one"], "attr": kind},
    )
    weights = {"raw/range": np.array(2 / 255, np.float32), "raw/one": np.array(1, np.float32)}
    return Graph(front + tuple(n for n in graph.nodes if n["name"] != INPUT), graph.weights | weights)


def concatenated(graph: Graph, layers: int) -> Graph:
    """Return the graph with its outputs joined to BOXES (1, A, 4) and SCORES (1, A, 6): one scale for all layers."""
    nodes, weights = list(graph.nodes), dict(graph.weights)
    for joined, names, columns in zip((BOXES, SCORES), output_names(layers), (4, len(ROAD_USERS)), strict=True):
        nodes += [_constant(f"{joined}/shape", INT32), _constant(f"{joined}/axis", INT32)]
        weights |= {f"{joined}/shape": np.array([1, -1, columns], np.int32), f"{joined}/axis": np.array(1, np.int32)}
        flat = [f"{name}/flat" for name in names]
        shape = {"T": {"type": FLOAT32}, "Tshape": {"type": INT32}}
        nodes += [
            {"name": to, "op": "Reshape", "input": [name, f"{joined}/shape"], "attr": shape}
            for to, name in zip(flat, names, strict=True)
        ]
        join = {"T": {"type": FLOAT32}, "N": {"i": str(layers)}, "Tidx": {"type": INT32}}
        nodes.append({"name": joined, "op": "ConcatV2", "input": [*flat, f"{joined}/axis"], "attr": join})
    return Graph(tuple(nodes), weights)


def placeholder(name: str, size: Size, kind: int) -> Node:
    """Return an input node of this name and TensorFlow type, (1, height, width, 3)."""
    shape = {"dim": [{"size": str(n)} for n in (1, size.height, size.width, 3)]}
    attributes = {"dtype": {"type": kind}, "shape": {"shape": shape}}
    return {"name": name, "op": "Placeholder", "input": [], "attr": attributes}


def _constant(name: str, kind: int) -> Node:
    return {"name": name, "op": "Const", "input": [], "attr": {"dtype": {"type": kind}}}
