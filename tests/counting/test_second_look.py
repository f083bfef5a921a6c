"""Second look: which parts are seen, when they pay, and that no vehicle is found twice."""

from __future__ import annotations

import numpy as np
import pytest

from edge_app.counting.motion import Motion
from edge_app.counting.pipeline import Pipeline
from edge_app.counting.second_look import Box, SecondLook, merged, most_parts
from edge_app.counting.stages import Stages
from edge_app.counting.tracker import Tracker
from edge_app.detectors import Outputs
from edge_app.detectors.letterbox import Picture, letterbox
from edge_app.records import LABELS, Detections, FloatArray, Frame, Image, Line
from edge_app.system.threads import Latest
from tests.support.scripted import COUNTED, NOON
from tests.support.trajectories import BAND

SIZE = (1280, 720)
WHOLE: Box = (0, 0, *SIZE)
SHORT = Line("short", (0.4, 0.5), (0.6, 0.5))
ACROSS = Line("across", (0.0, 0.6), (1.0, 0.6))
CAR = LABELS.index("car")


def cars(*found: tuple[float, float, float, float, float]) -> Detections:
    """Return cars: left, top, width and height, px, and score."""
    rows = np.array(found, np.float32).reshape(-1, 5)
    boxes = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
    return Detections(boxes, rows[:, 4], np.full(len(rows), CAR, np.int16))


@pytest.mark.parametrize(
    ("lines", "watched", "expected"),
    [
        ([SHORT], WHOLE, [(320, 180, 960, 540)]),
        ([ACROSS], WHOLE, [(0, 252, 640, 612), (640, 252, 1280, 612)]),
        ([SHORT], (0, 360, 1280, 720), [(320, 360, 960, 540)]),
        ([Line("upper", (0.9, 0.0), (1.0, 0.1))], WHOLE, [(640, 0, 1280, 360)]),
        ([SHORT, Line("beside", (0.42, 0.52), (0.6, 0.52))], WHOLE, [(320, 180, 960, 540)]),
    ],
    ids=["short", "across", "region", "corner", "two lines, one part"],
)
def test_parts_lie_on_the_lines_and_within_what_is_watched(
    lines: list[Line], watched: Box, expected: list[Box]
) -> None:
    assert list(SecondLook(lines).parts(watched, SIZE, known=-1, time=0.0)) == expected


def test_no_more_than_four_parts_are_seen_however_many_lines_there_are() -> None:
    assert most_parts([Line(str(n), (0.0, n / 10), (1.0, n / 10)) for n in range(10)]) == 4
    assert most_parts([SHORT]) == 1


def box_at_line(side: float) -> FloatArray:
    return np.array([[640 - side / 2, 360 - side / 2, 640 + side / 2, 360 + side / 2]], np.float32)


@pytest.mark.parametrize(("side", "pays"), [(40.0, True), (100.0, False)])
def test_parts_are_seen_only_where_vehicles_at_the_lines_are_small(side: float, pays: bool) -> None:
    """At 0.4 px of the input per px of the frame, 40 px are 16 and 100 px are 40."""
    look = SecondLook([SHORT])
    for number in range(20):
        look.note(number, box_at_line(side), SIZE, 0.4)
    assert look.parts(WHOLE, SIZE, known=8, time=0.0)  # nine boxes are not enough yet
    assert bool(look.parts(WHOLE, SIZE, known=9, time=0.0)) is pays


def test_between_small_and_large_it_stays_as_it_is() -> None:
    """28 px of the input: neither the first vehicles nor those after larger ones change anything."""
    look = SecondLook([SHORT])
    sides = [70.0] * 20 + [100.0] * 200 + [70.0] * 200 + [40.0] * 200
    seen = []
    for number, side in enumerate(sides):
        look.note(number, box_at_line(side), SIZE, 0.4)
        seen.append(bool(look.parts(WHOLE, SIZE, known=number, time=0.0)))
    assert [seen[number] for number in (19, 219, 419, 619)] == [True, False, False, True]


def test_where_nothing_drives_at_the_lines_parts_are_seen_for_half_a_minute() -> None:
    look, far = SecondLook([SHORT]), box_at_line(100.0) + np.float32(300)
    seen = []
    for number in range(50):
        look.note(number, far if number < 40 else box_at_line(40.0), SIZE, 0.4)
        seen.append(bool(look.parts(WHOLE, SIZE, known=number, time=float(number))))
    assert (seen.index(False), seen.index(True, 31)) == (31, 49)  # ten small vehicles bring it back


PART: Box = (320, 180, 960, 540)


def test_a_vehicle_that_two_looks_see_is_found_once() -> None:
    whole = cars((500, 300, 60, 40, 0.4), (40, 300, 60, 40, 0.7))
    part = cars((503, 302, 52, 36, 0.9), (800, 300, 24, 16, 0.5))
    found = merged(whole, [part], [PART], WHOLE)
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.5])
    assert found.boxes[0].tolist() == [503, 302, 555, 338]


def test_what_the_edge_of_a_part_cuts_is_left_to_the_whole_picture() -> None:
    whole = cars((300, 300, 60, 40, 0.4))
    part = cars((320, 300, 40, 40, 0.9))
    assert merged(whole, [part], [PART], WHOLE).boxes.tolist() == whole.boxes.tolist()


def test_where_the_picture_ends_nothing_is_cut() -> None:
    part: Box = (0, 180, 640, 540)
    found = cars((0, 300, 40, 40, 0.9))
    assert len(merged(cars(), [found], [part], WHOLE)) == 1


def test_a_piece_of_a_vehicle_that_a_part_shows_is_no_vehicle() -> None:
    part = cars((400, 200, 200, 150, 0.9), (405, 260, 60, 80, 0.6), (700, 200, 200, 150, 0.8))
    assert merged(cars(), [part], [PART], WHOLE).scores.tolist() == pytest.approx([0.9, 0.8])


def test_vehicles_beside_each_other_stay_apart() -> None:
    whole = cars((400, 200, 60, 40, 0.9), (430, 215, 60, 40, 0.6))
    part = cars((402, 201, 58, 39, 0.8), (431, 216, 58, 39, 0.7))
    assert merged(whole, [part], [PART], WHOLE).scores.tolist() == pytest.approx([0.9, 0.7])


class SpotEngine:
    """Engine that finds a bright spot when it is at least eight px wide in its input."""

    loaded = True

    def __init__(self) -> None:
        self.calls = 0

    def load(self) -> None:
        raise AssertionError("is loaded")

    def infer(self, picture: Picture) -> Outputs:
        self.calls += 1
        rows, columns = np.nonzero(picture.pixels[0, :, :, 1] > 200)
        n = int(len(columns) > 0 and np.ptp(columns) >= 7)
        box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] if n else [0] * 4
        codes = np.array([box] * n, np.float32).reshape(n, 4)
        return Outputs(np.zeros(n, np.intp), np.zeros(n, np.intp), np.full(n, 0.8, np.float32), codes)


class SpotDetector:
    def __init__(self) -> None:
        self.engine = SpotEngine()
        self.engines = (self.engine,)

    def prepare(self, image: Image) -> Picture:
        return letterbox(image, 160, 90, 114)

    def decode(self, picture: Picture, outputs: Outputs) -> Detections:
        boxes = picture.to_original(outputs.codes)
        return Detections(boxes, outputs.scores, np.full(len(boxes), CAR, np.int16))

    def close(self) -> None:
        pass


@pytest.mark.parametrize(("second", "counted"), [(True, 1), (False, 0)])
def test_a_vehicle_that_is_too_small_for_the_network_is_counted_by_its_second_look(second: bool, counted: int) -> None:
    """A spot of 24 px of 640 is 6 px of an input of 160, and 12 of a part's."""
    detector, line = SpotDetector(), Line("main", (0.5, 0.7), (0.5, 0.3))
    look = SecondLook([line]) if second else None
    pipeline = Pipeline(detector, Tracker(), [line], COUNTED, band=BAND, second_look=look)
    crossings = 0
    for index in range(60):
        image, x = np.zeros((360, 640, 3), np.uint8), 180 + 5 * index
        image[170:190, x : x + 24] = 255
        crossings += len(pipeline.process(Frame(image, index, NOON + index / 15, index / 15)).crossings)
    assert crossings == counted
    assert detector.engine.calls == 60 * (1 + second)


def test_an_empty_road_is_seen_once_every_two_seconds_without_parts() -> None:
    line = Line("main", (0.5, 0.7), (0.5, 0.3))
    detector, look = SpotDetector(), SecondLook([line])
    pipeline = Pipeline(detector, Tracker(), [line], COUNTED, band=BAND, motion=Motion(), second_look=look)
    for number in range(10):
        look.note(-10 + number, box_at_line(20.0), (1280, 720), 0.4)  # small vehicles were here before
    image, calls = np.full((360, 640, 3), 90, np.uint8), []
    for index in range(15 * 12):
        pipeline.process(Frame(image, index, NOON + index / 15, index / 15))
        calls.append(detector.engine.calls)
    assert calls[-1] - calls[15 * 6] == 3


@pytest.mark.parametrize(("recording", "inferences"), [(False, [2, 1]), (True, [2, 2])], ids=["live", "recording"])
def test_a_live_frame_that_finds_the_engine_at_work_goes_without_its_parts(
    recording: bool, inferences: list[int]
) -> None:
    """Neither engine thread runs here, so that the first frame stays at work."""
    slot, line = Latest[Frame](), Line("main", (0.5, 0.7), (0.5, 0.3))
    pipeline = Pipeline(SpotDetector(), Tracker(), [line], COUNTED, band=BAND, second_look=SecondLook([line]))
    stages = Stages(slot, pipeline, lambda name, fault: pytest.fail(f"{name}: {fault!r}"), load_all=recording)
    for index in range(2):
        slot.put(Frame(np.zeros((360, 640, 3), np.uint8), index, NOON + index / 15, index / 15))
        assert stages.next(0) is None
    assert [len(job.prepared.pictures) for job in stages._in_progress] == inferences
