"""Train: steps, moving average, validations, and a state from which a killed run continues."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from edge_app.records import FloatArray, Image
from models.common.errors import BuildError
from models.conversion import tensorflow_adapter
from models.data.samples import BICYCLE
from models.evaluation.observations import Observation
from models.lineage.files import note_weights
from models.training import distilling, processor, ranges, scenes, states, validation, weights
from models.training.anchoring import anchors_of
from models.training.architecture import BACKBONE, Plan, plan
from models.training.augment import Augmenter
from models.training.batches import Batch, make_batch, prefetch
from models.training.board import Board
from models.training.folder import RunFolder
from models.training.framing import cut
from models.training.hints import Hints
from models.training.keras_network import keras_network, take, variables
from models.training.losses import Losses, loss_of, mean
from models.training.outcome import DivergedError
from models.training.scenes import Drawer, Parts
from models.training.settings import Settings
from models.training.showing import side_by_side

REPORT_EVERY: Final = 25
"""Steps from one line of progress to the next."""
_PICTURES: Final = 6
"""Number of validation pictures that TensorBoard shows."""


@dataclass(frozen=True, slots=True)
class Progress:
    """State of a run, for a progress display. figures: of the last validation, empty before the first."""

    step: int
    steps: int
    loss: float
    images_per_s: float
    figures: Mapping[str, float]


def plan_of(settings: Settings) -> Plan:
    """Return the network that a training trains."""
    return plan(settings.layers, fine=settings.fine, deep=settings.deep)


def rate_at(settings: Settings, step: int) -> float:
    """Return the learning rate at a step: a linear warm-up, then a cosine (Loshchilov and Hutter, "SGDR", 2017)."""
    if step < settings.warm_up:
        return settings.rate * (step + 1) / settings.warm_up
    done = min(1.0, (step - settings.warm_up) / max(1, settings.steps - settings.warm_up))
    return settings.rate * (settings.last_rate + (1 - settings.last_rate) * (1 + math.cos(math.pi * done)) / 2)


class Training:
    """One run in its folder; it continues where an earlier process of it ended.

    first: weights to begin from. hints: of its pictures.
    published: weights that `settings.pull` pulls to, and the teacher of `settings.loss.distil`.
    The folder's ranges, if it has some, make the training quantisation-aware.
    """

    def __init__(
        self,
        folder: RunFolder,
        settings: Settings,
        parts: Parts,
        first: weights.Weights,
        hints: Hints,
        published: weights.Weights = MappingProxyType({}),
    ) -> None:
        self._folder, self._settings, self._parts, self._hints = folder, settings, parts, hints
        self._tf = tf = tensorflow_adapter.load()
        tf.keras.mixed_precision.set_global_policy(processor.resolved(settings).precision)
        self._plan = plan_of(settings)
        self._anchors = anchors_of(self._plan, settings.size)
        self._network = keras_network(
            self._plan, settings.size, first, settings.frozen_blocks, ranges.read(folder.ranges)
        )
        self._optimiser = tf.keras.optimizers.Adam(settings.rate, global_clipnorm=settings.clip)
        self._optimiser.build(self._network.trainable_variables)
        self._pulled = self._published_pairs(published) if settings.pull else []
        teaches = settings.loss.distil > 0
        self._teacher = distilling.Teacher(self._plan, settings.size, published, self._anchors) if teaches else None
        self._averages = [tf.Variable(v, trainable=False) for v in self._network.trainable_variables]
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._best = tf.Variable(-1.0, trainable=False)
        self._since_best = tf.Variable(0, dtype=tf.int64, trainable=False)
        state = tf.train.Checkpoint(
            network=self._network,
            optimiser=self._optimiser,
            averages=self._averages,
            step=self._step,
            best=self._best,
            since_best=self._since_best,
        )
        self._states = tf.train.CheckpointManager(state, str(folder.state), max_to_keep=2)
        states.restore(folder.state, lambda path: state.restore(path).assert_existing_objects_matched())
        self._board = Board(folder, teaches=teaches, pulls=bool(self._pulled))
        self._learn = tf.function(self._one_step)
        self._predict = tf.function(lambda images: self._network(images, training=False))

    def _published_pairs(self, published: weights.Weights) -> list[tuple[Any, Any]]:
        """Return the variables of the backbone, each with its published value."""
        trained = variables(self._network, self._plan)
        return [
            (trained[name], self._tf.constant(published[name])) for name in trained if name.startswith(f"{BACKBONE}/")
        ]

    @property
    def step(self) -> int:
        """Number of steps done."""
        return int(self._step.numpy())

    def run(
        self,
        on_progress: Callable[[Progress], None],
        stop: Callable[[], bool] = lambda: False,
        on_validation: Callable[[int, Mapping[str, float]], None] = lambda _step, _figures: None,
    ) -> dict[str, float]:
        """Train to the end, or until `stop` returns True. Return the figures of the last validation.

        A stopped run keeps its state and can be continued. The first validation is before the first step.
        on_progress: called every 25 steps. on_validation: called with step and figures after each validation.
        """
        settings, found, losses, since = self._settings, dict[str, float](), list[Losses](), time.monotonic()
        stream = self._stream()
        try:
            if not self.step and float(self._best.numpy()) < 0:
                found = self.validate()  # what it begins with: nothing worse is kept, and a fall is seen as one
                on_validation(0, found)
            while self.step < settings.steps and not stop() and int(self._since_best.numpy()) < settings.patience:
                losses.append(self._take_step(next(stream)))
                step = self.step
                if step % REPORT_EVERY == 0:
                    rate = len(losses) * settings.batch / (time.monotonic() - since)
                    self._board.report(step, mean(losses), self._distance(), rate_at(settings, step), rate)
                    on_progress(Progress(step, settings.steps, mean(losses).total, rate, found))
                    losses, since = [], time.monotonic()
                if step % settings.judge_every == 0 or step == settings.steps:
                    found = self.validate()
                    on_validation(step, found)
                if step % settings.save_every == 0 or step == settings.steps:
                    self._save_state()
        finally:
            stream.close()
            self._board.flush()
        if stop():
            self._save_state()
        return found

    def _save_state(self) -> None:
        """Write a state. Raises BuildError: when it cannot be written; the one before is still there then."""
        try:
            self._states.save()
        except self._tf.errors.OpError as error:
            reason = re.sub(r"\{\{.*?\}\}\s*", "", " ".join(str(error.message).split()))[-120:]
            raise BuildError(
                f"{self._folder.state} cannot be written ({reason}): make room, then repeat the command; it goes on "
                "from the state before."
            ) from error

    def _stream(self) -> Generator[Batch, None, None]:
        """Yield batches from the present step on; each depends on its number and the seed alone."""
        settings, number = self._settings, self.step
        chances = scenes.weights(self._parts.training, settings.balance, settings.origins)
        closer = scenes.close_ups(self._parts.training)
        every_kind = scenes.weights(closer, 1.0, settings.origins)
        known = self._hints, settings.riderless
        rarer = scenes.with_hint(self._parts.training, self._hints, BICYCLE)
        across = scenes.sideways(self._parts.training, settings.riderless)
        as_often = scenes.weights(across, 0.0, settings.origins)
        kept = scenes.Kept()

        def made() -> Batch:
            nonlocal number
            random = np.random.default_rng([settings.seed, number])
            number += 1
            draw = Drawer(self._parts.training, chances, *known, random, kept)
            rare = Drawer(rarer, np.full(len(rarer), 1 / len(rarer)), *known, random, kept) if rarer else None
            close = Drawer(closer, every_kind, *known, random, kept) if closer else None
            side = Drawer(across, as_often, *known, random, kept) if across else None
            show = Augmenter(draw, settings.size, settings.augmentation, random, rare, close, side)
            return make_batch(show, self._anchors, settings.matching, settings.batch)

        return prefetch(made)

    def _take_step(self, batch: Batch) -> Losses:
        tf = self._tf
        rate = tf.constant(rate_at(self._settings, self.step), tf.float32)
        parts = self._learn(tf.constant(batch.images), tf.constant(batch.kinds), tf.constant(batch.boxes), rate)
        losses = Losses(*(float(part) for part in parts))
        if not math.isfinite(losses.total):
            why = f"the loss is {losses.total} at step {self.step}"
            self._board.lose(self.step, why)
            raise DivergedError(f"The training diverged: {why}. Lower the rate (--set rate=...).")
        return losses

    def _one_step(self, images: Any, kinds: Any, boxes: Any, rate: Any) -> tuple[Any, Any, Any]:
        """Take one step. Return the parts of the loss, in the order of Losses."""
        tf, settings = self._tf, self._settings
        values = self._network.trainable_variables
        seen = tf.cast(images, tf.float32) * (2 / 255) - 1
        teacher_logits = self._teacher.logits(seen) if self._teacher else None
        with tf.GradientTape() as tape:
            codes, logits = self._network(seen, training=True)
            of_classes, of_boxes = loss_of(self._anchors, settings.loss)(codes, logits, kinds, boxes)
            of_boxes *= settings.loss.box
            of_teacher = tf.zeros(())
            if self._teacher:
                of_teacher = settings.loss.distil * self._teacher.loss(logits, teacher_logits, kinds, boxes)
            loss = of_classes + of_boxes + of_teacher
        self._optimiser.learning_rate.assign(rate)
        self._optimiser.apply_gradients(zip(tape.gradient(loss, values), values, strict=True))
        for value, target in self._pulled:
            value.assign_sub(settings.pull * rate / settings.rate * (value - target))
        # The average follows faster in the beginning, or it would contain the start for thousands of steps.
        step = tf.cast(self._step.assign_add(1), tf.float32)
        decay = tf.minimum(settings.average, (1 + step) / (10 + step))
        for average, value in zip(self._averages, values, strict=True):
            average.assign(decay * average + (1 - decay) * value)
        return of_classes, of_boxes, of_teacher

    def _distance(self) -> float:
        """Return the penalty whose gradient the pull is: (pull / 2 rate) x the squared distance from what it pulls to.

        It is not part of the loss: the pull is a step of its own, which Adam does not scale.
        """
        settings = self._settings
        squares = sum(float(self._tf.reduce_sum((value - target) ** 2)) for value, target in self._pulled)
        return settings.pull / (2 * settings.rate) * squares

    def validate(self) -> dict[str, float]:
        """Validate the averaged weights and keep them; keep the best ones so far apart. Return the figures."""
        trained = self._network.trainable_variables
        present = [value.numpy() for value in trained]
        for value, average in zip(trained, self._averages, strict=True):
            value.assign(average)
        seen = validation.observe(self._answers, self._parts.validation, self._hints, self._anchors, self._settings)
        found, averaged = validation.figures(seen), take(self._network, self._plan)
        note_weights(self._folder.path, weights.digest(averaged))  # first, so that a kill leaves no weights unknown
        weights.save(self._folder.last, averaged)
        if found["score"] > float(self._best.numpy()):
            self._best.assign(found["score"])
            self._since_best.assign(0)
            weights.save(self._folder.weights, averaged)
        else:
            self._since_best.assign_add(1)
        self._board.judge(self.step, found, self._shown(seen))
        for value, array in zip(trained, present, strict=True):
            value.assign(array)
        return found

    def _answers(self, images: FloatArray) -> tuple[FloatArray, FloatArray]:
        codes, logits = self._predict(self._tf.constant(images))
        return np.asarray(self._tf.cast(codes, "float32")), np.asarray(self._tf.cast(logits, "float32"))

    def _shown(self, seen: list[Observation]) -> list[Image]:
        """Return some of the validation pictures with labels and detections, the same ones each time."""
        pairs = list(zip(self._parts.validation, seen, strict=True))[:: max(1, len(seen) // _PICTURES)]
        size = self._settings.size
        return [side_by_side(cut(scenes.decoded(sample), size).image, one) for sample, one in pairs[:_PICTURES]]
