"""Overlay and video file: any tracks can be drawn, the input stays unchanged, and the file plays."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.drawing import shapes
from edge_app.drawing.overlay import COLOURS, Trails, draw
from edge_app.drawing.video_file import VideoOut
from edge_app.errors import SourceError
from edge_app.records import DIRECTIONS, LABELS, VEHICLES, Image, Line, Tracks

LINE = Line("main", (0.1, 0.6), (0.9, 0.6), {"left_to_right": "to town"})
TOTALS = {"main": {label: dict.fromkeys(DIRECTIONS, 12) for label in VEHICLES[:4]}}
ROAD = (70, 72, 74)


def picture(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), ROAD, np.uint8)


def tracks(*boxes: tuple[float, float, float, float], label: str = "car", seen: bool = True, first: int = 1) -> Tracks:
    m = len(boxes)
    array = np.array(boxes, np.float32).reshape(m, 4)
    centroids = ((array[:, :2] + array[:, 2:]) / 2).astype(np.float32)
    return Tracks(
        ids=np.arange(first, first + m, dtype=np.int64),
        boxes=array,
        centroids=centroids,
        velocities=np.zeros((m, 2), np.float32),
        classes=np.full(m, LABELS.index(label), np.int16),
        scores=np.ones(m, np.float32),
        seen=np.full(m, seen),
        origins=centroids,
        born=np.zeros(m, np.float64),
        first_seen=np.zeros(m, np.float64),
    )


def changed_pixels(before: Image, after: Image) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return bool (H, W), True where the pictures differ."""
    return np.asarray((before != after).any(axis=2))


@settings(deadline=None, max_examples=40)
@given(
    st.tuples(st.integers(16, 800), st.integers(16, 600)),
    st.lists(st.tuples(*[st.floats(-500, 1500, width=32)] * 4), max_size=6),
    st.tuples(*[st.floats(0, 1)] * 4),
    st.sampled_from(LABELS),
    st.booleans(),
    st.floats(-1, 2),
)
def test_any_tracks_and_lines_can_be_drawn_and_the_input_stays_unchanged(
    size: tuple[int, int],
    boxes: list[tuple[float, float, float, float]],
    ends: tuple[float, float, float, float],
    label: str,
    seen: bool,
    glow: float,
) -> None:
    image, trails = picture(*size), Trails()
    before = image.copy()
    image.flags.writeable = False
    now = tracks(*boxes, label=label, seen=seen)
    for time in (0.0, 0.1, 0.2):
        trails.add(now, time)
    lines = [Line("a", ends[:2], ends[2:]), LINE]
    drawn = draw(image, now, lines, TOTALS, trails, clock="12:00:00 UTC", glow={"a": glow})
    assert drawn.shape == before.shape
    assert drawn.dtype == np.uint8
    assert np.array_equal(image, before)


def test_the_same_input_gives_the_same_picture() -> None:
    now = tracks((100, 100, 180, 160))
    one, two = (draw(picture(), now, [LINE], TOTALS, Trails()) for _ in range(2))
    assert np.array_equal(one, two)


@pytest.mark.parametrize("label", VEHICLES)
def test_a_vehicle_is_framed_in_the_colour_of_its_class(label: str) -> None:
    drawn = draw(picture(1280, 720), tracks((600, 300, 800, 420), label=label), [], {}, Trails())
    distance = np.abs(drawn[290:430, 590:810].astype(int) - COLOURS[label]).sum(axis=2)
    assert np.count_nonzero(distance < 12) > 200
    assert not changed_pixels(picture(1280, 720), drawn)[330:390, 640:760].any(), (
        "the vehicle itself is not painted over"
    )


def test_a_predicted_vehicle_is_drawn_thinner() -> None:
    marks = [
        np.count_nonzero(
            changed_pixels(picture(), draw(picture(), tracks((300, 200, 400, 260), seen=seen), [], {}, Trails()))
        )
        for seen in (True, False)
    ]
    assert marks[0] > 2 * marks[1] > 0


def test_the_arrow_of_left_to_right_points_to_the_right_hand_side() -> None:
    """Standing at the left end and looking to the right end of the picture, the right hand is below (y is down)."""
    only = Line("main", (0.1, 0.5), (0.9, 0.5), {"left_to_right": "a long name of a direction"})
    marks = changed_pixels(picture(1280, 720), draw(picture(1280, 720), tracks(), [only], {}, Trails()))
    marks[:200, :400] = False  # the table
    assert marks[380:450, 400:700].sum() > marks[270:340, 600:880].sum() > 0


def test_the_table_grows_with_the_lines_and_does_not_cover_them() -> None:
    """With a line through the top left corner the table is drawn in another corner."""
    corner = Line("main", (0.02, 0.3), (0.3, 0.02))
    drawn = draw(picture(1280, 720), tracks(), [corner], TOTALS, Trails())
    assert changed_pixels(picture(1280, 720), drawn)[600:, 1100:].mean() > 0.3
    alone = np.count_nonzero(
        changed_pixels(picture(1280, 720), draw(picture(1280, 720), tracks(), [LINE], TOTALS, Trails()))
    )
    both = [LINE, Line("side", (0.1, 0.7), (0.9, 0.7))]
    assert (
        np.count_nonzero(changed_pixels(picture(1280, 720), draw(picture(1280, 720), tracks(), both, TOTALS, Trails())))
        > alone
    )


def test_glow_lights_up_a_line() -> None:
    dark, lit = (draw(picture(), tracks(), [LINE], {}, Trails(), glow={"main": part}) for part in (0.0, 1.0))
    assert (dark[216, 200] == shapes.LIGHT).all()
    assert lit[216, 200, 1] > int(lit[216, 200, 2]) + 50


@pytest.mark.parametrize("height", [7, 9, 12, 20])
@pytest.mark.parametrize("bold", [False, True])
def test_capitals_have_the_requested_height(height: int, bold: bool) -> None:
    image = np.zeros((60, 200, 3), np.uint8)
    shapes.write(image, "HH", 10, 50, height, (255, 255, 255), bold=bold)
    rows, columns = np.nonzero(image.max(axis=2) > 100)
    assert abs(int(rows.max() - rows.min()) + 1 - height) <= 1
    assert abs(int(columns.max()) - 10 - shapes.text_width("HH", height, bold=bold)) <= 2 + height / 4


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4)), max_size=60))
def test_trails_are_bounded_and_forgotten(moves: list[tuple[int, int]]) -> None:
    trails, time = Trails(keep_s=1.0, most=5), 0.0
    last_times: dict[int, float] = {}
    for step, track in moves:
        time += step / 16  # exact in binary
        last_times[track] = time
        trails.add(tracks((0, 0, 10, 10), first=track), time)
        points, fresh = trails.of(track)
        assert points.shape == (len(fresh), 2)
        assert 1 <= len(points) <= 5
        assert fresh[-1] == pytest.approx(1)
        assert (fresh >= -1e-6).all()
        assert len(trails) == sum(time - last <= 1.0 for last in last_times.values())


def test_trails_are_cleared_when_a_recording_begins_again() -> None:
    trails = Trails()
    trails.add(tracks((0, 0, 10, 10)), 100.0)
    trails.add(tracks((0, 0, 10, 10)), 0.0)
    assert len(trails.of(1)[0]) == 1


@pytest.mark.parametrize("ffmpeg", ["ffmpeg", None])
def test_a_video_plays_with_its_size_rate_and_pictures(tmp_path: Path, ffmpeg: str | None) -> None:
    if ffmpeg and not shutil.which(ffmpeg):
        pytest.skip("the program ffmpeg is not installed")
    path = tmp_path / "out.mp4"
    with VideoOut(path, 12.5, (321, 180), ffmpeg=ffmpeg) as video:
        for n in range(25):
            video.write(np.full((180, 321, 3), 10 * n, np.uint8))
    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    pictures = []
    while (got := capture.read())[0]:
        pictures.append(got[1])
    assert len(pictures) == 25
    assert pictures[0].shape[1] in (320, 321)
    assert [round(float(image.mean())) for image in pictures] == pytest.approx([10 * n for n in range(25)], abs=6)
    assert video.codec == ("h264" if ffmpeg else "mp4v")


def test_a_video_refuses_a_picture_of_another_size(tmp_path: Path) -> None:
    with VideoOut(tmp_path / "out.mp4", 25, (64, 48), ffmpeg=None) as video, pytest.raises(ValueError, match="64x48"):
        video.write(picture())


def test_a_video_that_cannot_be_written_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file or directory; choose another folder"):
        VideoOut(tmp_path / "nowhere" / "out.mp4", 25, (64, 48))
    with pytest.raises(SourceError, match=r"must end in \.mp4"):
        VideoOut(tmp_path / "out.avi", 25, (64, 48))


def test_an_encoder_that_dies_raises_an_error(tmp_path: Path) -> None:
    fake = tmp_path / "ffmpeg"
    fake.write_text(
        "#!/bin/sh\n[ $1 = -hide_banner ] && echo ' V libx264 ' && exit\necho 'No space left' >&2; exit 1\n"
    )
    fake.chmod(0o755)
    video = VideoOut(tmp_path / "out.mp4", 25, (640, 360), ffmpeg=str(fake))

    def write() -> None:
        for _ in range(50):
            video.write(picture())

    with pytest.raises(SourceError, match="ffmpeg says No space left"):
        write()
    video.close()


def test_an_ffmpeg_without_h264_is_not_used(tmp_path: Path) -> None:
    with VideoOut(tmp_path / "out.mp4", 25, (64, 48), ffmpeg="true") as video:
        assert video.codec == "mp4v"


def test_a_speed_takes_the_place_of_the_number_at_the_box_of_its_vehicle() -> None:
    image, found = picture(), tracks((60, 200, 240, 300), (360, 200, 540, 300))
    without, told = (draw(image, found, [], {}, Trails(), speeds=speeds) for speeds in ({}, {2: 47.4, 9: 30.0}))
    columns = np.flatnonzero(changed_pixels(without, told).any(axis=0))
    assert 355 <= columns.min() <= columns.max() < 640


def test_a_vehicle_without_a_speed_has_no_number_that_looks_like_one() -> None:
    image, found = picture(), tracks((60, 200, 240, 300))
    numbered, without = draw(image, found, [], {}, Trails()), draw(image, found, [], {}, Trails(), speeds={})
    assert changed_pixels(image, without)[:195].sum() == 0
    assert changed_pixels(image, numbered)[:195].sum() > 100
