"""Measure weights while they are in training: average precision on the validation pictures, in float."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from edge_app.detectors.ssd import decode, strongest, suppress
from edge_app.records import FloatArray
from models.common.logits import sigmoid
from models.conversion.network import ROAD_USERS
from models.conversion.pictures import scaled
from models.data.samples import Sample
from models.evaluation.coco import evaluate
from models.evaluation.observations import FAINTEST, Observation
from models.training.framing import Scene, cut
from models.training.hints import Hints
from models.training.losses import SCALES, TRAINED
from models.training.scenes import decoded
from models.training.settings import Settings

IMPORTANCE: Final[Mapping[str, float]] = {"car": 1.0, "motorcycle": 1.0, "bus": 0.25, "truck": 0.25}
"""Weight of each class in the one score by which weights are chosen."""
_SAME_IOU, _ANY_IOU = 0.55, 0.5

Predict = Callable[[FloatArray], tuple[FloatArray, FloatArray]]
"""Images float32 (B, H, W, 3) in [-1, 1] -> codes (B, A, 4), logits (B, A, 6)."""


def observe(
    predict: Predict, samples: Sequence[Sample], hints: Hints, anchors: FloatArray, settings: Settings
) -> list[Observation]:
    """Return an observation of every sample, letterboxed, after suppression. Boxes with a hint are ignored.

    anchors: float32 (A, 4), centre y, centre x, height, width in px.
    """
    seen: list[Observation] = []
    for start in range(0, len(samples), settings.batch):
        shown = [cut(_scene(sample, hints), settings.size) for sample in samples[start : start + settings.batch]]
        # The last batch is filled up, so that TensorFlow builds one function only.
        images = [scaled(s.image[..., ::-1])[0] for s in shown]
        images += [images[-1]] * (settings.batch - len(images))
        codes, logits = predict(np.stack(images))
        for one, box_codes, answers in zip(shown, codes, logits, strict=False):
            boxes, scores, found = found_in(box_codes, answers, anchors)
            truth = np.concatenate([one.boxes, one.regions])
            kinds = np.concatenate([one.kinds, np.zeros(len(one.regions), np.int8)]).astype(np.int16)
            ignored = np.arange(len(truth)) >= len(one.boxes)
            seen.append(Observation(truth, kinds, ignored, boxes, scores, found))
    return seen


def _scene(sample: Sample, hints: Hints) -> Scene:
    scene, hint = decoded(sample), hints.get(sample.sha256)
    return scene if hint is None else hint.excused(scene)


def found_in(codes: FloatArray, logits: FloatArray, anchors: FloatArray) -> tuple[FloatArray, FloatArray, Any]:
    """Return the detections in one picture, by the product's own functions.

    They are boxes float32 (N, 4) px, scores (N,) and classes int16 (N,).
    """
    columns = [list(ROAD_USERS).index(label) for label in TRAINED]
    mine = logits[:, columns]
    rows, kinds = strongest(mine, math.log(FAINTEST / (1 - FAINTEST)))
    scores = sigmoid(mine[rows, kinds])
    boxes = decode(codes[rows], anchors[rows], SCALES)
    kept = suppress(boxes, scores, kinds, _SAME_IOU, _ANY_IOU)
    return boxes[kept], scores[kept], kinds[kept].astype(np.int16)


def figures(seen: Sequence[Observation]) -> dict[str, float]:
    """Return AP50 of each trained class, and `score`, their mean weighted by IMPORTANCE.

    Classes without labelled boxes are left out.
    """
    by_class = evaluate(seen)
    found = {label: by_class[label].ap50 for label in TRAINED}
    known = {label: value for label, value in found.items() if not math.isnan(value)}
    total = sum(IMPORTANCE[label] for label in known)
    return known | {"score": sum(IMPORTANCE[label] * value for label, value in known.items()) / total}
