"""Use the published network as a teacher, so that a training keeps what it knows of cars and trucks. TensorFlow.

Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), with the network before training as the teacher as
in Li and Hoiem, "Learning without Forgetting" (2016). A label says truck; the teacher says how similar it is to a car.
Without it a few cameras move the border between the two for all others: vans far down other streets become trucks.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from edge_app.records import FloatArray
from models.conversion import tensorflow_adapter
from models.conversion.anchors import Size
from models.conversion.network import ROAD_USERS
from models.training.architecture import FINE, Plan
from models.training.keras_network import keras_network
from models.training.losses import TRAINED, overlap
from models.training.matching import corners
from models.training.weights import Weights

KNOWN: Final = ("car", "truck")
"""Classes that the teacher can separate. It does not know motorcycles from above, nor the buses of these streets."""
_LABELS: Final = [TRAINED.index(label) for label in KNOWN]


class Teacher:
    """The published network at the plan's anchors, except those of the fine layer, which it does not have.

    anchors: float32 (A, 4) of the plan, centre y, centre x, height, width in px.
    """

    def __init__(self, plan: Plan, size: Size, published: Weights, anchors: FloatArray) -> None:
        self._tf = tensorflow_adapter.load()
        coarse = replace(
            plan,
            units=tuple(unit for unit in plan.units if FINE not in unit.name),
            heads=tuple(head for head in plan.heads if FINE not in head.boxes),
        )
        self._network = keras_network(coarse, size, published)
        self._network.trainable = False
        self._places = self._tf.constant(corners(anchors[-self._network.outputs[1].shape[1] :]))

    def logits(self, images: Any) -> Any:
        """Return the teacher's logits (B, T, 6) at the last T anchors of the plan.

        images: float32 (B, H, W, 3) in [-1, 1].
        """
        return self._network(images, training=False)[1]

    def loss(self, logits: Any, teacher_logits: Any, kinds: Any, boxes: Any) -> Any:
        """Return the distillation loss.

        logits: (B, A, 6), of the network in training. teacher_logits: what `logits` returned.
        kinds: int8 (B, A), and boxes: (B, A, 4), as in matching.Targets.
        For each anchor that answers for one of KNOWN, the teacher's own anchor that fits the box best gives the shares
        of KNOWN, also where it contradicts the label: used only where it agrees it changed little. The cross entropy
        with them is weighted by how sure the teacher is that one of them is there. The sum is divided by the number of
        positives, as in losses.loss_of.
        """
        tf = self._tf
        kinds = tf.cast(kinds, tf.int32)
        at = tf.where(tf.reduce_any(kinds[..., None] == _LABELS, axis=-1) & (boxes[..., 2] > boxes[..., 0]))
        both, union = overlap(tf, tf.gather_nd(boxes, at)[:, None], self._places[None])
        best = tf.argmax(both / union, axis=1)
        known_logits = _known(tf, tf.gather_nd(teacher_logits, tf.stack([at[:, 0], best], axis=1)))
        cross = tf.nn.softmax_cross_entropy_with_logits(
            labels=tf.nn.softmax(known_logits), logits=_known(tf, tf.gather_nd(logits, at))
        )
        weight = tf.sigmoid(tf.reduce_max(known_logits, axis=1))
        count = tf.maximum(tf.reduce_sum(tf.cast(kinds >= 0, tf.float32)), 1.0)
        return tf.reduce_sum(weight * cross) / count


def _known(tf: Any, logits: Any) -> Any:
    """Return the columns of KNOWN, float32 (P, 2)."""
    return tf.gather(tf.cast(logits, tf.float32), [list(ROAD_USERS).index(label) for label in KNOWN], axis=1)
