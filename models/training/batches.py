"""Batches for the network, made ahead in a thread of their own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_app.records import FloatArray
from models.training.framing import Example, ignore_small
from models.training.matching import corners, match
from models.training.settings import Matching

_AHEAD: Final = 6
_WAIT_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Batch:
    """images uint8 (B, H, W, 3) RGB; kinds int8 (B, A) and boxes float32 (B, A, 4) as matching.Taught has them."""

    images: NDArray[np.uint8]
    kinds: NDArray[np.int8]
    boxes: FloatArray


def make_batch(show: Callable[[], Example], anchors: FloatArray, settings: Matching, count: int) -> Batch:
    """`count` pictures with what they teach."""
    places = corners(anchors)
    images, kinds, boxes = [], [], []
    for _ in range(count):
        shown = ignore_small(show(), settings.smallest)
        taught = match(
            places, shown.boxes, shown.kinds, shown.placed, shown.regions,
            positive=settings.positive, ignored=settings.ignored, best=settings.best,
        )  # fmt: skip
        images.append(shown.image[..., ::-1])
        kinds.append(taught.kinds)
        boxes.append(taught.boxes)
    return Batch(np.stack(images), np.stack(kinds), np.stack(boxes))


def prefetch(made: Callable[[], Batch]) -> Generator[Batch, None, None]:
    """Batches without end, a few made in advance. What making one raises comes out here; ends with its iterator."""
    slots: queue.Queue[Any] = queue.Queue(_AHEAD)
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            try:
                item: Batch | Exception = made()
            except Exception as fault:
                item = fault
            while not over.is_set():
                try:
                    slots.put(item, timeout=_WAIT_S)
                    break
                except queue.Full:
                    continue

    worker = threading.Thread(target=work, name="batches", daemon=True)
    worker.start()
    try:
        while True:
            item = slots.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        over.set()
        worker.join(5)
