"""Check what a build has made before its file is kept: each check is a figure, a bound and whether it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from models.common.logits import sigmoid
from models.conversion import network, tensorflow_adapter
from models.conversion.anchors import TRAINED_SIDE, Size, layer_count
from models.conversion.fidelity import THRESHOLDS, Fidelity, fidelity
from models.conversion.manifest import describe
from models.conversion.network import INPUT, ROAD_USERS, SOURCE_BOXES, SOURCE_SCORES
from models.conversion.pictures import letterbox, load, scaled
from models.conversion.published_weights import Graph
from models.conversion.quantisation import FLOAT, Built, base_graph
from models.conversion.raw_model import RawModel, manifest_anchors

ANCHOR_BOUND: Final = 1e-4
"""In picture widths. Not 0, because the source computes its anchors in float32."""
FLOAT_BOUND: Final = 1e-4
"""Largest difference of boxes, in picture widths, and of scores: the effect of another order of float32 sums."""
SCORE_BOUND: Final = 0.03
FLIP_BOUND: Final = 0.25
IOU_BOUND: Final = 0.93
FRAMES: Final = 4
"""Number of real pictures on which the source graph is run: it is slow, and the comparison is exact."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the build's table.

    what: the figure in words. at_least: True when the value must reach the bound, False when it must not exceed it.
    """

    what: str
    value: float
    bound: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """True when the value keeps to the bound."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def against_source(source: Graph, paths: Sequence[Path]) -> list[Check]:
    """Check anchors, boxes and scores of the rebuilt float graph against the source's own.

    The boxes are decoded by the product.
    """
    size = Size(TRAINED_SIDE, TRAINED_SIDE)
    manifest = describe(size, b"", {}, {})
    ours = manifest_anchors(manifest)
    theirs = network.source_anchors(source.weights)
    corners = np.concatenate([ours[:, :2] - ours[:, 2:] / 2, ours[:, :2] + ours[:, 2:] / 2], axis=1) / TRAINED_SIDE
    worst = float(np.abs(corners - theirs).max())
    boxes, scores = _float_differences(source, size, paths[:FRAMES])
    return [
        Check("anchors at 300x300: largest difference to the source's", worst, ANCHOR_BOUND),
        Check("float boxes at 300x300: largest difference to the source's", boxes, FLOAT_BOUND),
        Check("float scores at 300x300: largest difference to the source's", scores, FLOAT_BOUND),
    ]


def _float_differences(source: Graph, size: Size, paths: Sequence[Path]) -> tuple[float, float]:
    """Return the largest difference of decoded boxes (in 0..1) and of scores, rebuilt against source, at 300x300."""
    from edge_app.detectors.ssd import decode

    wanted = [SOURCE_BOXES, SOURCE_SCORES]
    original = tensorflow_adapter.runner(network.cut(source, size, wanted), [INPUT], wanted)
    boxes, logits = network.output_names(layer_count(size))
    rebuilt = tensorflow_adapter.runner(base_graph(source, size, FLOAT), [INPUT], boxes + logits)
    manifest = describe(size, b"", {}, {})
    priors = manifest_anchors(manifest)
    columns = [coco - 1 for coco in ROAD_USERS.values()]
    worst = np.zeros(2)
    for path in paths:
        sample = scaled(letterbox(load(path), size))
        want_boxes, want_scores = original(sample)
        parts = rebuilt(sample)
        codes = np.concatenate([p.reshape(-1, 4) for p in parts[: len(boxes)]])
        raw = np.concatenate([p.reshape(-1, len(ROAD_USERS)) for p in parts[len(boxes) :]])
        found = decode(codes, priors, manifest["box_coding"]["scales"])[:, [1, 0, 3, 2]] / TRAINED_SIDE
        differences = (found - want_boxes.reshape(-1, 4), sigmoid(raw) - want_scores[0][:, columns])
        worst = np.maximum(worst, [np.abs(d).max() for d in differences])
    return float(worst[0]), float(worst[1])


def compare(reference: Built, other: Built, size: Size, paths: Sequence[Path]) -> Fidelity:
    """Return how far a file is from the float file, over pictures."""
    models = RawModel(reference.model, reference.manifest), RawModel(other.model, other.manifest)
    images = (letterbox(load(path), size) for path in paths)
    return fidelity((models[0](image), models[1](image)) for image in images)


def against_float(found: Fidelity, size: Size) -> list[Check]:
    """Return the checks of a quantised file against its bounds."""
    flips = [
        Check(f"int8 {size}: decisions flipped at {t}", flip, FLIP_BOUND)
        for t, flip in zip(THRESHOLDS, found.flips, strict=True)
    ]
    return [
        Check(f"int8 {size}: score error, mean", found.score_mean, SCORE_BOUND),
        Check(f"int8 {size}: score error, 95th percentile", found.score_p95, 3 * SCORE_BOUND),
        *flips,
        Check(f"int8 {size}: box overlap with float, mean IoU", found.box_iou, IOU_BOUND, at_least=True),
    ]
