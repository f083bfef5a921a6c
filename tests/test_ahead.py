"""Detection one frame ahead gives what the plain order gives."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from edge_app.ahead import Ahead
from edge_app.errors import DetectorError
from edge_app.pipeline import Pipeline
from edge_app.records import Detections, Frame, Image, Line
from edge_app.tracker import Tracker

LINE = Line("main", (0.5, 0.0), (0.5, 1.0))


class Marked:
    """Finds one vehicle where the first pixel says, in any thread; the value 255 is a fault of the runtime."""

    def __init__(self) -> None:
        self.inside = threading.BoundedSemaphore(2)

    def detect(self, image: Image) -> Detections:
        if not self.inside.acquire(blocking=False):
            raise AssertionError("more than two at a time")
        try:
            x = float(image[0, 0, 0])
            if x == 255:
                raise DetectorError("inference failed")
            box = np.array([[x - 10, 20, x + 10, 40]], np.float32)
            return Detections(box, np.array([0.9], np.float32), np.zeros(1, np.int16))
        finally:
            self.inside.release()

    def close(self) -> None: ...


def frames(xs: range) -> Iterator[Frame]:
    for i, x in enumerate(xs):
        image = np.full((80, 200, 3), x, np.uint8)
        yield Frame(image, i, 1000.0 + i / 15, i / 15)


def pipeline() -> Pipeline:
    return Pipeline(Marked(), Tracker(), [LINE], ["car"], band=0.15)


def test_all_frames_come_out_in_order_with_the_same_crossings() -> None:
    plain, ahead = pipeline(), Ahead(pipeline())
    expected = [(frame.index, plain.process(frame)) for frame in frames(range(40, 160, 4))]
    coming = frames(range(40, 160, 4))
    got = [(frame.index, found) for frame, found in ahead.through(lambda: next(coming, None))]
    ahead.close()
    assert got == expected
    assert sum(len(found) for _, found in got) == 1


def test_a_frame_is_ended_by_the_next_or_by_draining() -> None:
    ahead = Ahead(pipeline())
    first, second = frames(range(40, 48, 4))
    assert ahead.put(first) == []
    assert [frame for frame, _ in ahead.put(second)] == [first]
    assert len(ahead) == 1
    assert [frame for frame, _ in ahead.drain()] == [second]
    assert (len(ahead), ahead.drain()) == (0, [])
    ahead.close()


def test_a_fault_of_the_detector_comes_out() -> None:
    ahead = Ahead(pipeline())
    ahead.put(next(frames(range(255, 256))))
    with pytest.raises(DetectorError, match="inference failed"):
        ahead.drain()
    ahead.close()
