"""Annotated video and thumbnail of a recording: place of the panel, closing card, what is kept for drawing."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app import cli
from edge_app.drawing.annotated_video import Captions
from edge_app.drawing.overlay import closing_card, emptiest_corner
from edge_app.drawing.panel_place import CORNERS, Corner, TrafficMap, corner_box
from edge_app.drawing.result_log import ResultLog
from edge_app.drawing.shapes import plain_letters
from edge_app.records import DIRECTIONS, VEHICLES, Crossing, Detections, Frame, FrameResult, Line
from tests.drawing.test_overlay import picture, tracks
from tests.support.videos import write_video

LINE = Line("main", (0.1, 0.6), (0.9, 0.6), {"left_to_right": "to town", "right_to_left": "to the port"})
TOTALS = {"main": {label: dict.fromkeys(DIRECTIONS, 12) for label in VEHICLES[:4]}}


@pytest.mark.parametrize("free", CORNERS)
def test_the_panel_goes_where_no_vehicle_is(free: Corner) -> None:
    """Also to a corner in which the line ends, rather than onto the road."""
    traffic = TrafficMap()
    for corner in CORNERS:
        if corner != free:
            traffic.add(np.array([corner_box(corner, (640, 360), (40, 30), 10)], np.float32), (640, 360))
    traffic.add(np.array([[-50, 175, 700, 190], [600, 400, 900, 900]], np.float32), (640, 360))  # through the middle
    assert emptiest_corner((640, 360), [LINE], TOTALS, traffic, title="A", clock="0:00") == free


def test_a_vehicle_that_stands_all_day_is_worth_more_than_one_that_passes() -> None:
    traffic, size = TrafficMap(), (640, 360)
    for n in range(50):
        boxes = [[0, 0, 100, 60]] + [[540, 0, 640, 60]] * (n == 0) + [[0, 300, 640, 360]]
        traffic.add(np.array(boxes, np.float32), size)
    assert emptiest_corner(size, [], {}, traffic, title="A", clock="0:00") == (True, False)


def test_lights_that_no_detector_sees_are_not_hidden_either() -> None:
    """Of corners without a vehicle the panel takes one in which nothing moves, even if the line is nearer."""
    traffic, size = TrafficMap(), (640, 360)
    for n in range(6):
        image = np.full((360, 640, 3), 20, np.uint8)
        image[:, : 20 * n] = 200  # what is passed grows from the left
        image[:40, 600 - 20 * n :] = 200
        traffic.look(image)
    assert emptiest_corner(size, [LINE], {}, traffic, title="A", clock="0:00") == (True, True)


def test_what_is_drawn_of_each_frame_is_kept() -> None:
    image, found = picture(64, 36), tracks((1, 2, 30, 20), (5, 6, 7, 8), label="bus", seen=False, first=2**40)
    crossing = Crossing(1.0, 4, 2**40, "bus", "main", "left_to_right", 0.5)
    log = ResultLog()
    for index, tracked, crossings in ((4, found, (crossing,)), (5, tracks(), ())):
        log.add(FrameResult(Frame(image, index, 0.0, 0.0), Detections.empty(), tracked, crossings))
    (first, kept, crossed), (second, nothing, none) = log
    log.close()
    assert (first, crossed, second, len(nothing), none) == (4, (crossing,), 5, 0, ())
    for name in ("ids", "boxes", "centroids", "classes", "seen"):
        assert np.array_equal(getattr(kept, name), getattr(found, name)), name


@pytest.mark.parametrize("size", [(1280, 720), (352, 288), (64, 36), (360, 640)])
def test_the_closing_card_fits_every_picture(size: tuple[int, int]) -> None:
    image = picture(*size)
    card = closing_card(image, [LINE, LINE], TOTALS, title="Quay road" * 9, clock="7:00 to 9:00")
    assert card.shape == image.shape
    assert (image == picture(*size)).all()
    assert (card != image).any()


def test_the_day_is_said_once() -> None:
    assert Captions("", lambda s: f"2026-05-01 07:00:0{s:.0f}").span(7) == "2026-05-01 07:00:00 to 07:00:07"
    assert Captions("", lambda s: f"0:0{s:.1f}").span(7) == "0:00.0 to 0:07.0"


def test_letters_that_the_font_lacks_are_replaced() -> None:
    assert plain_letters("về trung tâm, Đà Nẵng, Straße nach Süden, año \u2013 東") == (
        "ve trung tam, Da Nang, Strasse nach Suden, ano - ?"
    )


def test_a_video_with_a_closing_card_and_a_thumbnail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    road, video, still = write_video(tmp_path / "road.mp4", range(10)), tmp_path / "out.mp4", tmp_path / "out.png"
    assert cli.main(["count", str(road), "--annotate", str(video), "--thumbnail", str(still), "--title", "Kai"]) == 0
    written = cv2.VideoCapture(str(video))
    assert written.get(cv2.CAP_PROP_FRAME_COUNT) == 10 + 4 * round(written.get(cv2.CAP_PROP_FPS))
    assert still.read_bytes()[:4] == b"\x89PNG"
    assert cv2.imread(str(still)).shape == (120, 160, 3)
    capsys.readouterr()
    assert cli.main(["count", str(road), "--thumbnail", str(tmp_path / "out.gif")]) == 2
    assert "must end in .jpg or .png" in capsys.readouterr().err
