"""Place the anchors of a plan at an input size, as manifests state them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edge_app.detectors.ssd import AnchorLayer, anchors
from edge_app.records import FloatArray
from models.conversion.anchors import FINEST_STRIDE, Axis, Size, axis, even_axis, receptive_axis
from models.training.architecture import Head, Plan


def manifest_layers(plan: Plan, size: Size) -> list[dict[str, Any]]:
    """Return the anchor layers as a manifest states them.

    Each has its stride, first and step (x, y) in px, and priors as (side relative to the shorter side of the input,
    width / height). The source's own network at its own size is placed as in the source; all others are placed by
    models.conversion.anchors, at every size alike, so that published heads are right from the first step and one set of
    weights serves several sizes. The fine layer lies at the centres of its receptive fields.
    """
    even = size.is_trained and all(head.stride >= FINEST_STRIDE for head in plan.heads)
    return [_layer(head, size, even_axis if even else axis) for head in plan.heads]


def _layer(head: Head, size: Size, place: Callable[[int, int], Axis]) -> dict[str, Any]:
    layer = (head.stride // FINEST_STRIDE).bit_length() - 1
    place = receptive_axis if layer < 0 else place
    x, y = place(size.width, layer), place(size.height, layer)
    return {
        "stride": head.stride,
        "first": [round(x.first, 4), round(y.first, 4)],
        "step": [round(x.step, 6), round(y.step, 6)],
        "priors": [[round(side / min(size), 6), round(ratio, 6)] for side, ratio in head.priors],
    }


def anchors_of(plan: Plan, size: Size) -> FloatArray:
    """Return the anchors as the product computes them from the manifest.

    They are float32 (A, 4): centre y, centre x, height, width in px.
    """
    layers = [
        AnchorLayer(la["stride"], tuple((s, r) for s, r in la["priors"]), tuple(la["first"]), tuple(la["step"]))
        for la in manifest_layers(plan, size)
    ]
    return anchors(size.width, size.height, layers)
