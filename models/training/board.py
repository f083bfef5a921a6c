"""Write how a training goes: lines of metrics.jsonl, and curves and pictures for TensorBoard. TensorFlow."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_app.records import Image
from models.conversion import tensorflow_adapter
from models.training.folder import RunFolder
from models.training.losses import Losses


class Board:
    """The progress of one run.

    teaches: whether the loss has a part of the published network's. pulls: whether the backbone is pulled.
    """

    def __init__(self, folder: RunFolder, *, teaches: bool, pulls: bool) -> None:
        self._folder, self._teaches, self._pulls = folder, teaches, pulls
        self._tf = tensorflow_adapter.load()
        self._writer = self._tf.summary.create_file_writer(str(folder.board))
        self._since = time.monotonic()

    def report(self, step: int, losses: Losses, pull: float, rate: float, images_per_s: float) -> None:
        """Keep what was measured since the last report.

        losses: means. pull: see Training. rate: of learning. images_per_s: trained.
        """
        parts = {"class": losses.classes, "box": losses.boxes}
        parts |= {"distil": losses.distil} if self._teaches else {}
        parts |= {"pull": pull} if self._pulls else {}
        row = {"loss": losses.total, "losses": parts, "images_per_s": images_per_s, "rate": rate}
        self._append(step, row)
        with self._writer.as_default(step=step):
            for name, value in {"total": losses.total, **parts}.items():
                self._tf.summary.scalar(f"loss/{name}", value)
            self._tf.summary.scalar("rate", rate)
            self._tf.summary.scalar("images_per_s", images_per_s)

    def judge(self, step: int, figures: Mapping[str, float], pictures: Sequence[Image]) -> None:
        """Keep a judgement. pictures: uint8 (H, W, 3) RGB, all of one size."""
        self._append(step, {"validation": dict(figures)})
        with self._writer.as_default(step=step):
            for name, value in figures.items():
                self._tf.summary.scalar(f"validation/{name}", value)
            self._tf.summary.image("validation", np.stack(pictures), max_outputs=len(pictures))

    def lose(self, step: int, why: str) -> None:
        """Keep that the training diverged at a step, and why, in words."""
        self._append(step, {"diverged": why})

    def flush(self) -> None:
        """Write what TensorBoard has not got yet."""
        self._writer.flush()

    def _append(self, step: int, row: Mapping[str, Any]) -> None:
        """Add a line with the time (s since 1970) and the seconds of this process since the line before."""
        now = time.monotonic()
        seconds, self._since = round(now - self._since, 3), now
        self._folder.append_metrics({"step": step, **row, "seconds": seconds, "at": round(time.time(), 3)})
