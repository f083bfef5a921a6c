"""Build a plan as a Keras network, and as the graph that the converter takes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from edge_app.records import FloatArray
from models.conversion import tensorflow_adapter
from models.conversion.anchors import Size
from models.conversion.network import FLOAT32, INPUT, INT32, ROAD_USERS, placeholder
from models.conversion.published_weights import Graph, Node
from models.training import simulated
from models.training.architecture import Plan, Unit, block_of, convolutions
from models.training.weights import Weights


def keras_network(
    plan: Plan,
    size: Size,
    weights: Weights,
    frozen_blocks: int = 0,
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> Any:
    """Return a keras.Model from float32 (B, H, W, 3) RGB in [-1, 1] to codes (B, A, 4) and logits (B, A, 6).

    frozen_blocks: the first so many blocks of the backbone keep their weights.
    ranges: see models.training.simulated; with them the network computes as if in int8.
    """
    keras = tensorflow_adapter.load().keras
    image = keras.Input((size.height, size.width, 3), name="image")
    tensors = {INPUT: image}
    if ranges:
        tensors[INPUT] = simulated.quantised(keras, image, (-1.0, 1.0), relu=False, name="image.steps")
    for unit in plan.units:
        tensor = _layer(keras, unit, [tensors[name] for name in unit.inputs], frozen_blocks, bool(ranges))
        if unit.name in ranges:
            name = f"{_keras_name(unit.name)}.steps"
            tensor = simulated.quantised(keras, tensor, ranges[unit.name], relu=unit.relu, name=name)
        tensors[unit.name] = tensor
    boxes, scores = plan.outputs
    flat = [
        keras.layers.Concatenate(axis=1, name=name)(
            [keras.layers.Reshape((-1, columns))(tensors[unit]) for unit in units]
        )
        for name, units, columns in (("codes", boxes, 4), ("logits", scores, len(ROAD_USERS)))
    ]
    network = keras.Model(image, flat)
    put(network, plan, weights)
    return network


def put(network: Any, plan: Plan, weights: Weights) -> None:
    """Set every kernel and bias of a network."""
    for unit in convolutions(plan.units):
        layer = network.get_layer(_keras_name(unit.name))
        layer.set_weights([weights[f"{unit.name}/kernel"], weights[f"{unit.name}/bias"]])


def take(network: Any, plan: Plan) -> dict[str, FloatArray]:
    """Return every kernel and bias of a network."""
    result: dict[str, FloatArray] = {}
    for unit in convolutions(plan.units):
        kernel, bias = network.get_layer(_keras_name(unit.name)).get_weights()
        result |= {f"{unit.name}/kernel": kernel, f"{unit.name}/bias": bias}
    return result


def variables(network: Any, plan: Plan) -> dict[str, Any]:
    """Return the tf.Variable of every kernel and bias that is trained, by the names of `take`."""
    layers = {unit.name: network.get_layer(_keras_name(unit.name)) for unit in convolutions(plan.units)}
    return {
        f"{name}/{part}": value
        for name, layer in layers.items()
        for part, value in zip(("kernel", "bias"), layer.trainable_variables, strict=False)
    }


def _keras_name(name: str) -> str:
    return name.replace("/", ".")


def _layer(keras: Any, unit: Unit, inputs: list[Any], frozen_blocks: int, in_int8: bool) -> Any:
    layers, name = keras.layers, _keras_name(unit.name)
    trained = block_of(unit.name) >= frozen_blocks
    if unit.op == "add":
        tensor = layers.Add(name=name)(inputs)
    elif unit.op == "enlarge":
        _, height, width, _ = inputs[1].shape
        tensor = layers.Resizing(height, width, interpolation="bilinear", name=name)(inputs[0])
    elif in_int8:
        tensor = simulated.convolution(keras, unit, trainable=trained, name=name)(inputs[0])
    else:
        kind = layers.Conv2D if unit.op == "conv" else layers.DepthwiseConv2D
        filters = {"filters": unit.channels} if unit.op == "conv" else {}
        tensor = kind(
            **filters, kernel_size=unit.kernel, strides=unit.stride, padding="same", trainable=trained, name=name
        )(inputs[0])
    return layers.ReLU(6.0, name=f"{name}.relu6")(tensor) if unit.relu else tensor


def graph_of(plan: Plan, size: Size, weights: Weights) -> Graph:
    """Return the same network as a graph from INPUT, float32 (1, H, W, 3) in [-1, 1], to the plan's outputs by name."""
    nodes: list[Node] = [placeholder(INPUT, size, FLOAT32)]
    arrays: dict[str, Any] = {}
    sides = {INPUT: (size.height, size.width)}
    for unit in plan.units:
        height, width = sides[unit.inputs[-1]]
        sides[unit.name] = -(-height // unit.stride), -(-width // unit.stride)
        made, constants = _nodes(unit, weights, sides[unit.name])
        nodes += [{"name": name, "op": "Const", "input": [], "attr": {"dtype": {"type": _kind(array)}}}
                  for name, array in constants.items()] + made  # fmt: skip
        arrays |= constants
    return Graph(tuple(nodes), arrays)


def _kind(array: FloatArray) -> int:
    return INT32 if array.dtype == np.int32 else FLOAT32


def _nodes(unit: Unit, weights: Weights, sides: tuple[int, int]) -> tuple[list[Node], Mapping[str, Any]]:
    """Return the nodes of a unit, the last one with its name, and the constants that they need."""
    kind: Node = {"T": {"type": FLOAT32}}
    last = f"{unit.name}/linear" if unit.relu else unit.name
    constants: dict[str, Any] = {}
    nodes: list[Node]
    if unit.op == "add":
        nodes = [{"name": last, "op": "AddV2", "input": list(unit.inputs), "attr": kind}]
    elif unit.op == "enlarge":
        constants = {f"{unit.name}/size": np.array(sides, np.int32)}
        attributes = kind | {"half_pixel_centers": {"b": True}}
        inputs = [unit.inputs[0], f"{unit.name}/size"]
        nodes = [{"name": last, "op": "ResizeBilinear", "input": inputs, "attr": attributes}]
    else:
        constants = {part: weights[part] for part in (f"{unit.name}/kernel", f"{unit.name}/bias")}
        op = "Conv2D" if unit.op == "conv" else "DepthwiseConv2dNative"
        strides = {"list": {"i": ["1", str(unit.stride), str(unit.stride), "1"]}}
        attributes = kind | {"strides": strides, "padding": {"s": list(b"SAME")}}
        product = f"{unit.name}/product"
        nodes = [
            {"name": product, "op": op, "input": [unit.inputs[0], f"{unit.name}/kernel"], "attr": attributes},
            {"name": last, "op": "BiasAdd", "input": [product, f"{unit.name}/bias"], "attr": kind},
        ]
    if unit.relu:
        nodes.append({"name": unit.name, "op": "Relu6", "input": [last], "attr": kind})
    return nodes, constants
