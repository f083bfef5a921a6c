"""Where the anchors of a plan lie at an input size, as manifests state them. Pure."""

from __future__ import annotations

from typing import Any

from edge_app.detectors.ssd import AnchorLayer, anchors
from edge_app.records import FloatArray
from models.anchors import FINEST_STRIDE, Size, axis, even_axis, receptive_axis
from models.training.architecture import Head, Plan


def manifest_layers(plan: Plan, size: Size) -> list[dict[str, Any]]:
    """stride, first and step (x, y) in px, priors (side relative to the shorter side of the input, width / height).

    Layers of the source at its own size lie as in the source, elsewhere where models.anchors puts them, so that
    published heads are right from the first step; the fine layer lies in the middle of what it sees.
    """
    return [_layer(head, size) for head in plan.heads]


def _layer(head: Head, size: Size) -> dict[str, Any]:
    layer = (head.stride // FINEST_STRIDE).bit_length() - 1
    place = receptive_axis if layer < 0 else even_axis if size.is_trained else axis
    x, y = place(size.width, layer), place(size.height, layer)
    return {
        "stride": head.stride,
        "first": [round(x.first, 4), round(y.first, 4)],
        "step": [round(x.step, 6), round(y.step, 6)],
        "priors": [[round(side / min(size), 6), round(ratio, 6)] for side, ratio in head.priors],
    }


def anchors_of(plan: Plan, size: Size) -> FloatArray:
    """float32 (A, 4) centre y, centre x, height, width in px, computed by the product from what the manifest says."""
    layers = [
        AnchorLayer(la["stride"], tuple((s, r) for s, r in la["priors"]), tuple(la["first"]), tuple(la["step"]))
        for la in manifest_layers(plan, size)
    ]
    return anchors(size.width, size.height, layers)
