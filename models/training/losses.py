"""Compute the losses of the network's answer: focal loss on classes, GIoU on boxes. TensorFlow.

Lin et al., "Focal Loss for Dense Object Detection" (2017); Rezatofighi et al., "Generalized Intersection over Union"
(2019).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_app.records import FloatArray
from models.conversion import tensorflow_adapter
from models.conversion.network import ROAD_USERS
from models.data.samples import BICYCLE
from models.training.matching import IGNORED
from models.training.settings import Loss

TRAINED: Final = ("car", "motorcycle", "bus", "truck")
"""Trained classes in the order of a label's number; these are validated. Bicycles are trained beside them, to separate
them from motorcycles; the column of persons stays as it is.
"""
SCALES: Final = (10.0, 10.0, 5.0, 5.0)
LARGEST_CODE: Final = 20.0


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts of a loss with their weights, so that they add up to the whole.

    classes, boxes: see loss_of. distil: what the published network says of car and truck, 0 where it does not teach.
    """

    classes: float
    boxes: float
    distil: float = 0.0

    @property
    def total(self) -> float:
        """The loss that is made smaller."""
        return self.classes + self.boxes + self.distil


def mean(seen: Sequence[Losses]) -> Losses:
    """Return the mean of each part. seen: one at least."""
    count = len(seen)
    return Losses(
        sum(one.classes for one in seen) / count,
        sum(one.boxes for one in seen) / count,
        sum(one.distil for one in seen) / count,
    )


def loss_of(anchors: FloatArray, settings: Loss) -> Callable[[Any, Any, Any, Any], tuple[Any, Any]]:
    """Return the loss function for these anchors.

    It maps codes (B, A, 4), logits (B, A, 6), kinds int8 (B, A) and boxes (B, A, 4) to (class loss, box loss). Both are
    sums divided by the number of positives; a positive with an empty box has no box loss.
    anchors: float32 (A, 4), centre y, centre x, height, width in px.
    """
    tf = tensorflow_adapter.load()
    columns = [list(ROAD_USERS).index(label) for label in (*TRAINED, "bicycle")]
    priors = tf.constant(anchors)

    def focal(logits: Any, wanted: Any) -> Any:
        cross = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
        sure = tf.sigmoid(logits)
        wrong = wanted * (1 - sure) + (1 - wanted) * sure
        weight = wanted * settings.alpha + (1 - wanted) * (1 - settings.alpha)
        return weight * wrong**settings.gamma * cross

    def call(codes: Any, logits: Any, kinds: Any, boxes: Any) -> tuple[Any, Any]:
        codes, logits = tf.cast(codes, tf.float32), tf.cast(logits, tf.float32)
        kinds = tf.cast(kinds, tf.int32)
        kinds = tf.where(kinds == BICYCLE, len(TRAINED), kinds)
        anchor_weight = tf.where(kinds == len(TRAINED), settings.bicycle, tf.cast(kinds != IGNORED, tf.float32))
        anchor_weight = anchor_weight[..., None]
        positive = tf.cast(kinds >= 0, tf.float32)
        count = tf.maximum(tf.reduce_sum(positive), 1.0)
        wanted = tf.one_hot(kinds, len(columns))
        anchor_weight *= 1 + (settings.rival - 1) * positive[..., None] * (1 - wanted)
        of_classes = tf.reduce_sum(anchor_weight * focal(tf.gather(logits, columns, axis=-1), wanted))
        placed = positive * tf.cast(boxes[..., 2] > boxes[..., 0], tf.float32)
        of_boxes = tf.reduce_sum(placed * (1 - giou(tf, decoded(tf, codes, priors), boxes)))
        return of_classes / count, of_boxes / count

    return call


def decoded(tf: Any, codes: Any, priors: Any) -> Any:
    """Return the boxes (B, A, 4), x0 y0 x1 y1 in px, of codes, as edge_app.detectors.ssd.decode computes them."""
    y = codes[..., 0] / SCALES[0] * priors[:, 2] + priors[:, 0]
    x = codes[..., 1] / SCALES[1] * priors[:, 3] + priors[:, 1]
    height = tf.exp(tf.minimum(codes[..., 2], LARGEST_CODE) / SCALES[2]) * priors[:, 2]
    width = tf.exp(tf.minimum(codes[..., 3], LARGEST_CODE) / SCALES[3]) * priors[:, 3]
    return tf.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], axis=-1)


def giou(tf: Any, a: Any, b: Any) -> Any:
    """Return the generalised IoU (B, A) in -1..1 of boxes in the same place."""

    both, union = overlap(tf, a, b)
    around = _size(tf, tf.minimum(a[..., :2], b[..., :2]), tf.maximum(a[..., 2:], b[..., 2:]))
    return both / (union + 1e-6) - (around - union) / (around + 1e-6)


def overlap(tf: Any, a: Any, b: Any) -> tuple[Any, Any]:
    """Return intersection and union in px² of boxes x0 y0 x1 y1 along the last axis; the axes before it broadcast."""
    both = _size(tf, tf.maximum(a[..., :2], b[..., :2]), tf.minimum(a[..., 2:], b[..., 2:]))
    return both, _size(tf, a[..., :2], a[..., 2:]) + _size(tf, b[..., :2], b[..., 2:]) - both


def _size(tf: Any, low: Any, high: Any) -> Any:
    side = tf.maximum(high - low, 0.0)
    return side[..., 0] * side[..., 1]
