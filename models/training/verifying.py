"""Prove that the Keras network and the graph to convert are the published network: compare their answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edge_app.records import FloatArray
from models.conversion import tensorflow_adapter
from models.conversion.anchors import Size, layer_count
from models.conversion.network import INPUT, ROAD_USERS, cut, output_names, road_users_only
from models.conversion.published_weights import Graph
from models.training import weights
from models.training.architecture import plan
from models.training.keras_network import graph_of, keras_network

LIMIT: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Difference:
    """Largest absolute differences from the source at one input size: codes and logits, in Keras and in the graph."""

    size: Size
    pictures: int
    keras_codes: float
    keras_logits: float
    graph_codes: float
    graph_logits: float

    @property
    def largest(self) -> float:
        """The largest of the four."""
        return max(self.keras_codes, self.keras_logits, self.graph_codes, self.graph_logits)


def difference(source: Graph, size: Size, images: Sequence[FloatArray]) -> Difference:
    """Return how far our network is from the source on images, float32 (1, H, W, 3) RGB in [-1, 1].

    Raises BuildError: when the source is not the pinned network.
    """
    tensorflow_adapter.load().keras.mixed_precision.set_global_policy("float32")
    layers = layer_count(size)
    network = plan(layers, fine=False)
    ours = weights.of_source(source.weights, network, seed=0)
    boxes, scores = output_names(layers)
    wanted = tensorflow_adapter.runner(road_users_only(cut(source, size)), [INPUT], boxes + scores)
    ends = network.outputs[0] + network.outputs[1]
    as_graph = tensorflow_adapter.runner(graph_of(network, size, ours), [INPUT], ends)
    keras = keras_network(network, size, ours)
    found = np.zeros(4)
    for image in images:
        right = _joined(wanted(image), layers)
        answers = [np.asarray(part)[0] for part in keras(image)] + _joined(as_graph(image), layers)
        found = np.maximum(found, [np.abs(a - b).max() for a, b in zip(answers, right * 2, strict=True)])
    return Difference(size, len(images), *map(float, found))


def _joined(parts: Sequence[FloatArray], layers: int) -> list[FloatArray]:
    codes = np.concatenate([part.reshape(-1, 4) for part in parts[:layers]])
    return [codes, np.concatenate([part.reshape(-1, len(ROAD_USERS)) for part in parts[layers:]])]
