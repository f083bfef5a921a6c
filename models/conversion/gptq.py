"""Round weights to int8 so that layers keep their outputs, instead of each weight to its nearest step. Pure numpy.

Most of the error of the int8 detector comes from its weights. Here a convolution's weights are rounded one after the
other, and the error of each is compensated in those still to come, as far as their inputs are correlated; the mean of
the remaining error goes into the bias. The result is an ordinary float graph whose weights lie on the int8 grid that
the converter will choose, so conversion does not change them again.

Sources: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2023),
after Hassibi and Stork's Optimal Brain Surgeon (1993); Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction" (2019).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.conversion.published_weights import Graph, Node

STEPS: Final = 127
"""Weights are symmetric int8 per output channel: the largest weight of a channel is 127 steps."""
DAMPING: Final = 0.01
"""Share of the mean variance that is added to each input's own variance, so that the inverse exists."""
BATCH_NORM_EPSILON: Final = 1e-3
PER_PICTURE: Final = 400
"""Positions sampled of a layer's input in each picture."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution with the constants that follow it, all as names of graph nodes.

    node, op, input, kernel: the convolution itself. bias: the constant added behind it.
    scale: what multiplies in between: (gamma, variance) of a batch norm, (multiplier,), or () for nothing.
    """

    node: str
    op: str
    input: str
    kernel: str
    bias: str
    scale: tuple[str, ...]


def layers(graph: Graph) -> list[Layer]:
    """Return all convolutions of a graph with the constants that follow them."""
    return [_layer(n, graph.nodes) for n in graph.nodes if n["op"] in ("Conv2D", "DepthwiseConv2dNative")]


@dataclass(frozen=True, slots=True)
class Moments:
    """Mean and covariance of the inputs under one kernel.

    mean: (1, K) for a Conv2D, (C, K) for a depthwise kernel. covariance: (1, K, K) or (C, K, K).
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def rounded(graph: Graph, moments: Mapping[str, Moments]) -> Graph:
    """Return the graph with all kernels on their int8 grid and corrected biases.

    moments: node name -> moments of the convolution's inputs.
    """
    weights = dict(graph.weights)
    for layer in layers(graph):
        kernel, found = np.asarray(weights[layer.kernel], np.float64), moments[layer.node]
        before = _as_rows(kernel, layer)
        after = round_rows(before, found.covariance)
        shift = np.einsum("grk,gk->gr", after - before, found.mean).ravel()
        weights[layer.kernel] = _as_kernel(after, kernel.shape)
        weights[layer.bias] = np.asarray(weights[layer.bias] - shift * _scale(layer, weights), np.float32)
    return Graph(graph.nodes, weights)


def round_rows(rows: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights (G, R, K) on each row's int8 grid, with the least output error for their inputs.

    covariance: (G, K, K), of the K inputs that all R rows of a group share.
    """
    step = np.maximum(np.abs(rows).max(axis=2), 1e-12) / STEPS
    variance = np.einsum("gkk->gk", covariance)
    order = np.argsort(-variance, axis=1, kind="stable")
    damping = np.maximum(variance.mean(axis=1) * DAMPING, 1e-12)[:, None, None] * np.eye(rows.shape[2])
    damped = np.take_along_axis(np.take_along_axis(covariance, order[:, :, None], 1), order[:, None, :], 2) + damping
    # Row k of the upper Cholesky factor of the inverse says how to spread the error of weight k over those after it.
    spread = np.linalg.cholesky(np.linalg.inv(damped)).swapaxes(1, 2)
    left = np.take_along_axis(rows, order[:, None, :], 2)
    result = np.empty_like(left)
    for k in range(rows.shape[2]):
        result[..., k] = np.clip(np.round(left[..., k] / step), -STEPS, STEPS) * step
        error = (left[..., k] - result[..., k]) / spread[:, k, k, None]
        left[..., k + 1 :] -= error[..., None] * spread[:, None, k, k + 1 :]
    back = np.argsort(order, axis=1)
    return _keep_widest(np.take_along_axis(result, back[:, None, :], 2), rows, step)


def _keep_widest(
    result: NDArray[np.float64], rows: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put each row's largest weight back on 127 steps where compensation moved it: it defines the converter's grid."""
    widest = np.abs(rows).argmax(axis=2)[..., None]
    short = np.round(np.abs(result).max(axis=2) / step) < STEPS
    kept = np.where(short[..., None], np.take_along_axis(rows, widest, 2), np.take_along_axis(result, widest, 2))
    np.put_along_axis(result, widest, kept, 2)
    return result


class MomentsSum:
    """Sum of the moments of one layer's inputs over many pictures."""

    def __init__(self, layer: Layer, kernel: FloatArray) -> None:
        self._depthwise, self._window = layer.op != "Conv2D", kernel.shape[:2]
        self._random = np.random.default_rng(0)
        groups, inputs = _groups(kernel, layer)
        self._count = 0
        self._sum, self._square = np.zeros((groups, inputs)), np.zeros((groups, inputs, inputs))

    def add(self, tensor: FloatArray) -> None:
        """Add samples of the layer's input for one picture, float32 (1, H, W, C)."""
        patches = _patches(tensor[0], self._window, self._random)
        grouped = patches.transpose(2, 0, 1) if self._depthwise else patches.reshape(1, len(patches), -1)
        self._count += len(patches)
        self._sum += grouped.sum(axis=1)
        self._square += grouped.swapaxes(1, 2) @ grouped

    def result(self) -> Moments:
        """Return the moments over all pictures so far."""
        mean = self._sum / self._count
        return Moments(mean, self._square / self._count - mean[:, :, None] * mean[:, None, :])


def _groups(kernel: NDArray[Any], layer: Layer) -> tuple[int, int]:
    """Return the number of groups and of inputs in each: one group for a Conv2D, one for each depthwise channel."""
    height, width, channels = kernel.shape[:3]
    return (1, height * width * channels) if layer.op == "Conv2D" else (channels, height * width)


def _as_rows(kernel: NDArray[np.float64], layer: Layer) -> NDArray[np.float64]:
    """Return a kernel (h, w, C, R) as (groups, rows of each, inputs)."""
    groups, inputs = _groups(kernel, layer)
    return np.asarray(kernel.reshape(inputs, -1).T.reshape(groups, -1, inputs), np.float64)


def _as_kernel(rows: NDArray[np.float64], shape: tuple[int, ...]) -> FloatArray:
    return np.asarray(rows.reshape(-1, rows.shape[2]).T.reshape(shape), np.float32)


def _patches(image: FloatArray, window: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """Return inputs (n, window cells, C) of an image (H, W, C) at random places, padded with zeros as SAME does."""
    rows, columns = window
    padded = np.pad(image, ((rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0)))
    height, width = image.shape[:2]
    count = min(PER_PICTURE, height * width)
    y, x = random.integers(0, height, count), random.integers(0, width, count)
    cells = [padded[y + dy, x + dx] for dy in range(rows) for dx in range(columns)]
    return np.asarray(np.stack(cells, axis=1), np.float64)


def input_names(graph: Graph) -> list[str]:
    """Return the names of the tensors that `measure` needs, each once."""
    return list(dict.fromkeys(layer.input for layer in layers(graph)))


def measure(graph: Graph, pictures: Iterable[Mapping[str, FloatArray]]) -> dict[str, Moments]:
    """Return the moments of every layer by node name.

    pictures: for each picture the tensors of `input_names` by name.
    """
    sums = [(layer, MomentsSum(layer, graph.weights[layer.kernel])) for layer in layers(graph)]
    for tensors in pictures:
        for layer, total in sums:
            total.add(tensors[layer.input])
    return {layer.node: total.result() for layer, total in sums}


def _layer(node: Node, nodes: tuple[Node, ...]) -> Layer:
    name, (source, kernel) = node["name"], node["input"]
    reader, scale = _reader(name, nodes), tuple[str, ...]()
    if reader["op"] == "FusedBatchNorm":
        _, gamma, beta, _, variance = reader["input"]
        return Layer(name, node["op"], source, kernel, beta, (gamma, variance))
    before = name
    if reader["op"] == "Mul":
        before, scale = reader["name"], (reader["input"][1],)
        reader = _reader(before, nodes)
    bias = next(i for i in reader["input"] if i != before)
    return Layer(name, node["op"], source, kernel, bias, scale)


def _reader(name: str, nodes: tuple[Node, ...]) -> Node:
    return next(node for node in nodes if name in node["input"])


def _scale(layer: Layer, weights: Mapping[str, FloatArray]) -> FloatArray | float:
    """Return the factor by which a change of the convolution's output is multiplied before it meets the bias."""
    if len(layer.scale) == 2:
        gamma, variance = (weights[name] for name in layer.scale)
        return np.asarray(gamma / np.sqrt(variance + BATCH_NORM_EPSILON), np.float32)
    return weights[layer.scale[0]] if layer.scale else 1.0
