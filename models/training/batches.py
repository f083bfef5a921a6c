"""Make batches for the network, in advance and in a thread of their own."""

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
    """Examples with their targets.

    images: uint8 (B, H, W, 3) RGB. kinds: int8 (B, A). boxes: float32 (B, A, 4). Both as in matching.Targets.
    """

    images: NDArray[np.uint8]
    kinds: NDArray[np.int8]
    boxes: FloatArray


def make_batch(show: Callable[[], Example], anchors: FloatArray, settings: Matching, count: int) -> Batch:
    """Return a batch of `count` examples with their targets.

    show: gives an example. anchors: float32 (A, 4), centre y, centre x, height, width in px.
    """
    places = corners(anchors)
    images, kinds, boxes = [], [], []
    for _ in range(count):
        shown = ignore_small(show(), settings.smallest)
        targets = match(
            places, shown.boxes, shown.kinds, shown.placed, shown.regions,
            positive=settings.positive, ignored=settings.ignored, best=settings.best,
        )  # fmt: skip
        images.append(shown.image[..., ::-1])
        kinds.append(targets.kinds)
        boxes.append(targets.boxes)
    return Batch(np.stack(images), np.stack(kinds), np.stack(boxes))


def prefetch(made: Callable[[], Batch]) -> Generator[Batch, None, None]:
    """Yield batches without end, a few made in advance.

    An exception while a batch is made is raised here. The thread ends with this iterator.
    """
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
