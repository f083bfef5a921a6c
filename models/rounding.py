"""Round weights to int8 so that layers keep their outputs, instead of each weight to its nearest step. Pure numpy.

Most of the error of the int8 detector comes from its weights. Here a convolution's weights are rounded one after the
other, and the error of each is made good in those still to come as far as their inputs are correlated; what is left
of the mean goes into the bias. The result is an ordinary float graph whose weights lie on the int8 grid that the
converter will choose, so conversion changes them no more.

Sources: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers" (2023),
after Hassibi and Stork's Optimal Brain Surgeon (1993); Nagel et al., "Data-Free Quantization Through Weight
Equalization and Bias Correction" (2019).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.source import Graph, Node

STEPS: Final = 127
"""Weights are symmetric int8 per output channel: the widest one of a channel is 127 steps."""
DAMPING: Final = 0.01
"""Share of the mean variance that is added to each input's own, so that the inverse exists."""
PER_PICTURE: Final = 400
"""Positions sampled of a layer's input in each picture."""
Float64: type = np.float64


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution: names of its node, input and kernel, of the bias behind it, and of what scales between them.

    scale: for a batch norm (gamma, variance), or (multiplier,), or () where nothing lies between.
    """

    node: str
    op: str
    input: str
    kernel: str
    bias: str
    scale: tuple[str, ...]


def layers(graph: Graph) -> list[Layer]:
    """All convolutions of a graph with the constants that follow them."""
    return [_layer(n, graph.nodes) for n in graph.nodes if n["op"] in ("Conv2D", "DepthwiseConv2dNative")]


def rounded(graph: Graph, moments: Mapping[str, Moments]) -> Graph:
    """The graph with all kernels on their int8 grid and biases corrected; `moments` by node name, see `Moments`."""
    weights = dict(graph.weights)
    for layer in layers(graph):
        kernel = np.asarray(weights[layer.kernel], np.float64)
        depthwise = layer.op != "Conv2D"
        rows = kernel.reshape(-1, kernel.shape[2]).T if depthwise else kernel.reshape(-1, kernel.shape[3]).T
        found = moments[layer.node]
        result = round_depthwise(rows, found) if depthwise else round_rows(rows, found.covariance)
        shift = np.sum((result - rows) * (found.mean.T if depthwise else found.mean), axis=1)
        weights[layer.kernel] = np.asarray(result.T.reshape(kernel.shape), np.float32)
        weights[layer.bias] = np.asarray(weights[layer.bias] - shift * _scale(layer, weights), np.float32)
    return Graph(graph.nodes, weights)


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the inputs under one kernel: Conv2D mean (K,), covariance (K, K); depthwise mean (9, C), covariance (C, 9, 9)."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def round_rows(rows: NDArray[np.float64], covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights (outputs, K) -> the same on each row's int8 grid, with the least error for inputs of this covariance."""
    step = np.maximum(np.abs(rows).max(axis=1), 1e-12) / STEPS
    order = np.argsort(-np.diag(covariance), kind="stable")
    damped = covariance[np.ix_(order, order)] + np.eye(len(order)) * max(np.diag(covariance).mean() * DAMPING, 1e-12)
    # Row k of the upper Cholesky factor of the inverse tells how to spread the error of weight k over those after it.
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, result = rows[:, order].copy(), np.empty_like(rows)
    for k in range(len(order)):
        result[:, k] = np.clip(np.round(left[:, k] / step), -STEPS, STEPS) * step
        error = (left[:, k] - result[:, k]) / spread[k, k]
        left[:, k + 1 :] -= np.outer(error, spread[k, k + 1 :])
    restored = np.empty_like(result)
    restored[:, order] = result
    return _keep_widest(restored, rows, step)


def round_depthwise(rows: NDArray[np.float64], moments: Moments) -> NDArray[np.float64]:
    """The same for a depthwise kernel (C, 9), whose channels each have their own inputs."""
    parts = [round_rows(rows[c : c + 1], moments.covariance[c]) for c in range(len(rows))]
    return np.concatenate(parts)


def _keep_widest(
    result: NDArray[np.float64], rows: NDArray[np.float64], step: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Put each row's widest weight back on 127 steps where compensation moved it: it defines the converter's grid."""
    index = np.arange(len(rows))
    widest = np.abs(rows).argmax(axis=1)
    short = np.round(np.abs(result).max(axis=1) / step) < STEPS
    result[index[short], widest[short]] = rows[index[short], widest[short]]
    return result


class MomentsSum:
    """Collects the moments of one layer's inputs over many pictures."""

    def __init__(self, layer: Layer, kernel: FloatArray, seed: int = 0) -> None:
        self._depthwise, self._window = layer.op != "Conv2D", kernel.shape[:2]
        self._random = np.random.default_rng(seed)
        self._count, self._sum, self._square = 0, np.float64(0) * np.zeros(1), np.zeros(1)

    def add(self, tensor: FloatArray) -> None:
        """Sample float32 (1, H, W, C), the layer's input for one picture."""
        patches = _patches(tensor[0], self._window, self._random)
        if self._depthwise:
            square = np.einsum("nkc,nlc->ckl", patches, patches)
        else:
            patches = patches.reshape(len(patches), -1)
            square = patches.T @ patches
        self._count += len(patches)
        self._sum = self._sum + patches.sum(axis=0)
        self._square = self._square + square

    def result(self) -> Moments:
        mean, square = self._sum / self._count, self._square / self._count
        outer = np.einsum("kc,lc->ckl", mean, mean) if self._depthwise else np.outer(mean, mean)
        return Moments(mean, square - outer)


def _patches(image: FloatArray, window: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
    """(n, window cells, C) of (H, W, C), at random places; padded with zeros like SAME."""
    rows, columns = window
    padded = np.pad(image, ((rows // 2, rows // 2), (columns // 2, columns // 2), (0, 0)))
    height, width = image.shape[:2]
    count = min(PER_PICTURE, height * width)
    y, x = random.integers(0, height, count), random.integers(0, width, count)
    cells = [padded[y + dy, x + dx] for dy in range(rows) for dx in range(columns)]
    return np.stack(cells, axis=1).astype(np.float64)


def measure(graph: Graph, run: Callable[[], list[list[FloatArray]]]) -> dict[str, Moments]:
    """Moments of every layer; `run` gives, picture by picture, the inputs of `layers(graph)` in their order."""
    all_layers = layers(graph)
    sums = [MomentsSum(layer, graph.weights[layer.kernel]) for layer in all_layers]
    for tensors in run():
        for total, tensor in zip(sums, tensors, strict=True):
            total.add(tensor)
    return {layer.node: total.result() for layer, total in zip(all_layers, sums, strict=True)}


def _layer(node: Node, nodes: tuple[Node, ...]) -> Layer:
    source, kernel = node["input"]
    name, scale = node["name"], ()
    reader = next(n for n in nodes if name in n["input"])
    if reader["op"] == "Mul":
        scale = (reader["input"][1],)
        name = reader["name"]
        reader = next(n for n in nodes if name in n["input"])
    if reader["op"] == "FusedBatchNorm":
        return Layer(node["name"], node["op"], source, kernel, reader["input"][2], (reader["input"][1], reader["input"][4]))
    bias = next(i for i in reader["input"] if i != name)
    return Layer(node["name"], node["op"], source, kernel, bias, scale)


def _scale(layer: Layer, weights: Mapping[str, FloatArray]) -> FloatArray | float:
    """What a change of the convolution's output is multiplied by before it meets the bias."""
    if len(layer.scale) == 2:
        gamma, variance = (weights[name] for name in layer.scale)
        return np.asarray(gamma / np.sqrt(variance + 1e-3), np.float32)
    return weights[layer.scale[0]] if layer.scale else 1.0
