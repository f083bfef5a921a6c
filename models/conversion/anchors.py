"""Compute the anchors of a built detector: where the network really looks, at any input size. Pure.

The source's own generator divides the picture evenly: at 300x300 cells are 300/19 px wide, while the network moves by
16 px, and training at 300x300 has taught the heads the mean difference. At another size SAME padding puts the cells
elsewhere; evenly divided anchors would miss every vehicle by the same 2 to 80 px, and sizes relative to the new shorter
side would be wrong by its ratio to 300. So away from 300x300 an anchor is placed at the centre of its cell's receptive
field minus the mean difference learned at 300x300, and keeps its size in px of 300x300. `python -m
models.studies.anchor_placement` measures what this is worth.
"""

from __future__ import annotations

import argparse
import math
import re
from itertools import pairwise
from typing import Any, Final, NamedTuple

LAYERS: Final = 6
TRAINED_SIDE: Final = 300
"""Width and height of the source's input, px."""
SMALLEST_SIDE, LARGEST_SIDE = 128, 1280
"""Sides in px that an input size may have."""
FINEST_STRIDE: Final = 16
MIN_SCALE: Final = 0.2
MAX_SCALE: Final = 0.95
SMALLEST: Final = 0.1
"""Scale of the extra small square prior of layer 0."""
WIDE_LAYERS: Final = 4
"""Number of layers used away from 300x300: the two coarsest have learned to see one whole square picture and only add
false boxes.
"""


class Size(NamedTuple):
    """An input size in px, always width first."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def model_name(self) -> str:
        """The name of the detector file of this size, without suffix."""
        return f"ssdlite_mobilenet_v2_{self}"

    @property
    def is_trained(self) -> bool:
        """True for 300x300, at which the published weights were trained."""
        return self == (TRAINED_SIDE, TRAINED_SIDE)


def size_of(text: str) -> Size:
    """Return the size that a text such as "512x288" names. Raises argparse.ArgumentTypeError: when it is none."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    size = Size(*map(int, match.groups())) if match else Size(0, 0)
    if not all(SMALLEST_SIDE <= side <= LARGEST_SIDE for side in size):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not WIDTHxHEIGHT with sides of {SMALLEST_SIDE} to {LARGEST_SIDE} px"
        )
    return size


class Axis(NamedTuple):
    """The cells of one layer along one axis: their number, the centre of the first and the distance from
    one centre to the next, in px."""

    cells: int
    first: float
    step: float


def layer_count(size: Size) -> int:
    """Return how many of the source's layers are used at an input size."""
    return LAYERS if size.is_trained else WIDE_LAYERS


def priors() -> list[list[tuple[float, float]]]:
    """Return the priors of the six layers as (scale relative to 300 px, width / height).

    Source: the SSD anchor generator of the TensorFlow Object Detection API (scales linear from 0.2 to 0.95, a reduced
    lowest layer, an interpolated square prior), after Liu et al., "SSD: Single Shot MultiBox Detector" (2016).
    """
    step = (MAX_SCALE - MIN_SCALE) / (LAYERS - 1)
    scales = [MIN_SCALE + step * k for k in range(LAYERS)] + [1.0]
    result = [[(SMALLEST, 1.0), (scales[0], 2.0), (scales[0], 0.5)]]
    for scale, following in pairwise(scales[1:]):
        ratios = (1.0, 2.0, 0.5, 3.0, 1.0 / 3.0)
        result.append([(scale, ratio) for ratio in ratios] + [(math.sqrt(scale * following), 1.0)])
    return result


def even_axis(side: int, layer: int) -> Axis:
    """Return the source's own cells of a layer, which divide `side` px evenly."""
    cells = -(-side // (FINEST_STRIDE << layer))
    return Axis(cells, side / cells / 2, side / cells)


def receptive_axis(side: int, layer: int) -> Axis:
    """Return the centres of the receptive fields of a layer over `side` px.

    Every halving is a convolution of width 3 and stride 2 with SAME padding: over an even number of cells TensorFlow
    pads one at the far end and the first centre is cell 1, over an odd number one at both ends and it is cell 0.
    """
    cells, first, step = side, 0.5, 1
    for _ in range(int(math.log2(FINEST_STRIDE)) + layer):
        first += step if cells % 2 == 0 else 0
        cells, step = -(-cells // 2), step * 2
    return Axis(cells, first, float(step))


def learned_shift(layer: int) -> float:
    """Return the mean distance in px of receptive fields beyond the source's anchors at 300x300, equal on both axes."""
    fields, even = receptive_axis(TRAINED_SIDE, layer), even_axis(TRAINED_SIDE, layer)
    middle = (fields.cells - 1) / 2
    return fields.first - even.first + middle * (fields.step - even.step)


def axis(side: int, layer: int) -> Axis:
    """Return where the anchors of a layer lie along an axis of `side` px, away from 300x300."""
    fields = receptive_axis(side, layer)
    return fields._replace(first=fields.first - learned_shift(layer))


def anchor_layers(size: Size) -> list[dict[str, Any]]:
    """Return the anchor layers as a manifest states them.

    Each has its stride, first and step (x, y) in px, and priors as (side relative to min(W, H), width / height).
    """
    relative = TRAINED_SIDE / min(size)
    place = even_axis if size.is_trained else axis
    result = []
    for layer, shapes in enumerate(priors()[: layer_count(size)]):
        x, y = place(size.width, layer), place(size.height, layer)
        result.append({
            "stride": FINEST_STRIDE << layer,
            "first": [round(x.first, 4), round(y.first, 4)],
            "step": [round(x.step, 6), round(y.step, 6)],
            "priors": [[round(scale * relative, 6), round(ratio, 6)] for scale, ratio in shapes],
        })  # fmt: skip
    return result


def anchor_count(size: Size) -> int:
    """Return the number of anchors at an input size: every cell of a layer's grid holds all priors of that layer."""
    shapes = priors()[: layer_count(size)]
    return sum(even_axis(size.width, k).cells * even_axis(size.height, k).cells * len(p) for k, p in enumerate(shapes))
