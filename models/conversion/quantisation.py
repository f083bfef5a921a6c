"""Make one detector file from the source graph and pictures, by a stated recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from edge_app.records import FloatArray
from models.conversion import gptq, network, pictures, tensorflow_adapter
from models.conversion.anchors import Size, layer_count
from models.conversion.manifest import Manifest, describe
from models.conversion.published_weights import Graph

ROUNDING_PICTURES: Final = 60
"""Enough pictures for the moments of 1,280 inputs at 400 positions a picture."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to quantise. The defaults are what ships.

    `models.studies.quantisation` measures what each choice is worth.
    name: for tables. pictures: number of representative pictures. relight: some of them also brighter and darker.
    biases_first: see network.biases_first. rounding: see gptq.
    per_layer: outputs of each layer with their own scale, or all in one tensor.
    float_heads: the last convolutions stay float32.
    lowest_logit: where the int8 range of the class logits begins; None for where they do. They reach down to -25, and
    without a limit one step is 0.1, nearly all of it spent on scores of 0.
    quantise: False for the float32 file that others are compared with.
    """

    name: str = "int8, per layer, biases first"
    pictures: int = 100
    relight: bool = False
    biases_first: bool = True
    rounding: bool = False
    per_layer: bool = True
    float_heads: bool = False
    lowest_logit: float | None = None
    quantise: bool = True


SHIPPED: Final = Recipe()
FLOAT: Final = Recipe(name="float32", pictures=0, rounding=False, quantise=False)


@dataclass(frozen=True, slots=True)
class Built:
    """A file in memory, its manifest (without scores) and the graph that it was converted from."""

    model: bytes
    manifest: Manifest
    graph: Graph


def base_graph(source: Graph, size: Size, recipe: Recipe) -> Graph:
    """Return the float graph of a recipe before any rounding."""
    graph = network.road_users_only(network.cut(source, size))
    return network.biases_first(graph) if recipe.biases_first else graph


def build(source: Graph, size: Size, recipe: Recipe, paths: Sequence[Path], data: Mapping[str, Any]) -> Built:
    """Make one file.

    paths: pictures to choose the representative ones from. data: what the manifest says of them.
    """
    chosen = pictures.spread(paths, recipe.pictures)
    graph = base_graph(source, size, recipe)
    if recipe.rounding:
        graph = compensated(graph, size, chosen[:ROUNDING_PICTURES])
    ends = network.output_names(layer_count(size))
    samples = list(pictures.calibration(chosen, size, recipe.relight)) if recipe.quantise else []
    model = converted(graph, size, ends, recipe, samples)
    manifest = describe(size, model, statement(recipe, chosen), data)
    if not recipe.per_layer:
        pairs = ((network.BOXES, "boxes"), (network.SCORES, "scores"))
        manifest["outputs"] = [{"name": name, "role": role, "layer": None} for name, role in pairs]
    return Built(model, manifest, graph)


def converted(
    graph: Graph,
    size: Size,
    ends: tuple[list[str], list[str]],
    recipe: Recipe,
    samples: Sequence[FloatArray],
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({}),
) -> bytes:
    """Return the TFLite file of a graph.

    ends: names of the outputs for boxes and for scores.
    samples: representative inputs, float32 (1, H, W, 3) in [-1, 1]; none are needed for a float file.
    ranges: see tensorflow_adapter.convert_int8.
    """
    boxes, scores = ends
    if not recipe.quantise:
        return tensorflow_adapter.convert_float(network.with_raw_input(graph, size), network.RAW_INPUT, boxes + scores)
    outputs = boxes + scores
    if not recipe.per_layer:
        graph, outputs = network.concatenated(graph, layer_count(size)), [network.BOXES, network.SCORES]
    kept = boxes + scores if recipe.float_heads else []
    lowest = {} if recipe.lowest_logit is None else dict.fromkeys(scores, recipe.lowest_logit)
    return tensorflow_adapter.convert_int8(graph, network.INPUT, outputs, samples, kept, lowest, ranges)


def compensated(graph: Graph, size: Size, paths: Sequence[Path]) -> Graph:
    """Return the graph with its weights rounded for the inputs that these pictures give them."""
    names = gptq.input_names(graph)
    return gptq.rounded(graph, gptq.measure(graph, _activations(graph, size, names, paths)))


def statement(recipe: Recipe, chosen: Sequence[Path]) -> dict[str, Any]:
    """Return what the manifest says about the quantisation."""
    return {
        "method": "full int8, weights per output channel, float32 outputs per layer" if recipe.quantise else "none",
        "recipe": asdict(recipe),
        "calibration_pictures": len(chosen),
        "calibration_list_sha256": pictures.fingerprint(chosen),
    }


def _activations(
    graph: Graph, size: Size, names: list[str], paths: Sequence[Path]
) -> Iterator[Mapping[str, FloatArray]]:
    inner = [name for name in names if name != network.INPUT]
    run = tensorflow_adapter.runner(graph, [network.INPUT], inner)
    for sample in pictures.calibration(paths, size, relight=False):
        yield {network.INPUT: sample, **dict(zip(inner, run(sample), strict=True))}
