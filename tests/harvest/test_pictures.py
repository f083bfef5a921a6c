"""Test harvested pictures: masks burnt in, labels from detections and tracks, and files that tools can open."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.drawing.jpeg import jpeg
from edge_app.harvest.harvester import prelabel
from edge_app.harvest.picture import Redaction, thumbnail
from edge_app.harvest.selection import FrameScore
from edge_app.harvest.voc import Label, annotation
from edge_app.sources.masks import mask_image
from tests.support.harvest_cases import (
    CAR,
    DAY,
    MOTORCYCLE,
    ROOMY,
    candidate,
    detections,
    harvester,
    noise,
    pictures,
    tracks,
    white,
)

# --- masks

share = st.floats(0, 1)
corners: st.SearchStrategy[list[tuple[float, float]]] = st.lists(st.tuples(share, share), min_size=2, max_size=6)


def under(mask: Sequence[tuple[float, float]], x: int, y: int, size: tuple[int, int]) -> bool:
    """Return whether the centre of a pixel lies in a mask (ray casting, independent of the code under test)."""
    points = [(px * size[0], py * size[1]) for px, py in mask]
    if len(points) == 2:
        (x0, y0), (x1, y1) = points
        return min(x0, x1) <= x + 0.5 <= max(x0, x1) and min(y0, y1) <= y + 0.5 <= max(y0, y1)
    inside, j = False, len(points) - 1
    for i, (xi, yi) in enumerate(points):
        xj, yj = points[j]
        if (yi > y + 0.5) != (yj > y + 0.5) and x + 0.5 < (xj - xi) * (y + 0.5 - yi) / (yj - yi) + xi:
            inside = not inside
        j = i
    return inside


@given(masks=st.lists(corners, min_size=1, max_size=3))
@settings(deadline=None, max_examples=60)
def test_every_pixel_under_a_mask_is_black(masks: list[list[tuple[float, float]]]) -> None:
    size = (61, 37)
    image = white(*size)
    masked = mask_image(image, masks)
    for y in range(size[1]):
        for x in range(size[0]):
            if any(under(mask, x, y, size) for mask in masks):
                assert not masked[y, x].any()
    assert image.all(), "the frame that is counted must stay as it is"


def test_a_mask_covers_little_more_than_its_outline() -> None:
    masked = mask_image(white(100, 100), [[(0.2, 0.2), (0.5, 0.6)]])
    assert masked[:, :16].all()
    assert masked[:, 55:].all()
    assert masked[:16].all()
    assert masked[65:].all()


def test_masks_are_burnt_into_the_written_file(tmp_path: Path) -> None:
    rectangle, triangle = [(0.5, 0.0), (1.0, 0.5)], [(0.0, 1.0), (0.5, 1.0), (0.0, 0.5)]
    assert harvester(tmp_path, ROOMY, rectangle, triangle).keep(candidate(white()))
    (path,) = pictures(tmp_path)
    kept = cv2.imread(str(path))
    assert kept is not None
    assert kept.shape == (360, 640, 3)
    assert kept[:180, 320:].max() <= 8
    assert kept[300:, :40].max() <= 8
    assert kept[8:170, :310].min() >= 247
    for hidden in (kept[20:160, 340:620], kept[330:350, 10:40]):
        assert hidden.max() <= 2, "away from the edge, where JPEG has nothing to smear"


def test_masks_are_burnt_in_before_scaling() -> None:
    mask = [(0.25, 0.25), (0.75, 0.75)]
    small, _ = Redaction((mask,), None, 64).apply(white(), np.empty((0, 4), np.float32))
    assert small.shape == (36, 64, 3)
    assert small[10:26, 17:47].max() == 0


def test_a_box_under_a_mask_is_not_labelled() -> None:
    found = detections(((100.0, 100.0), 0.9, CAR), ((500.0, 300.0), 0.9, MOTORCYCLE))
    redaction = Redaction(([(0.0, 0.0), (0.5, 0.5)],), None, 4096)
    _, labels = prelabel(candidate(white(), found=found).result, redaction, 0.2)
    assert [label.name for label in labels] == ["motorcycle"]


def test_only_the_region_is_kept_and_boxes_follow() -> None:
    found = detections(((480.0, 270.0), 0.9, CAR), ((60.0, 60.0), 0.9, CAR))
    redaction = Redaction(((((0.5, 0.5), (0.6, 0.6))),), (0.5, 0.5, 1.0, 1.0), 160)
    image, labels = prelabel(candidate(white(), found=found).result, redaction, 0.2)
    assert image.shape == (90, 160, 3)
    (label,) = labels
    assert label.box == pytest.approx((60, 30, 100, 60))
    assert image[3:15, 3:28].max() <= 1


# --- predictions


def test_tracks_decide_classes_and_add_missed_vehicles() -> None:
    found = detections(((100.0, 100.0), 0.5, CAR), ((300.0, 100.0), 0.17, CAR), ((500.0, 100.0), 0.16, CAR))
    known = tracks((1, (100.0, 100.0), True), (2, (300.0, 100.0), True), (3, (300.0, 250.0), False), kind=MOTORCYCLE)
    _, labels = prelabel(candidate(white(), found=found, known=known).result, Redaction((), None, 4096), 0.2)
    assert [(label.name, round(label.score, 2)) for label in labels] == [
        ("motorcycle", 0.5),
        ("motorcycle", 0.17),
        ("motorcycle", 0.0),
    ]
    assert labels[2].box == (260, 220, 340, 280)


def test_the_annotation_is_pascal_voc() -> None:
    labels = [Label("car", (10, 20, 110, 80), 0.9), Label("bus & co", (0, 5, 640, 360), 0.3)]
    root = ElementTree.fromstring(annotation("a.jpg", (640, 360), labels, "pole <1>"))
    assert root.tag == "annotation"
    assert root.findtext("filename") == "a.jpg"
    assert [root.findtext(f"size/{side}") for side in ("width", "height", "depth")] == ["640", "360", "3"]
    first, second = root.findall("object")
    assert [first.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")] == ["10", "20", "110", "80"]
    assert (first.findtext("truncated"), second.findtext("truncated")) == ("0", "1")
    assert second.findtext("name") == "bus & co"


def test_a_day_is_a_pascal_voc_archive(tmp_path: Path) -> None:
    one = harvester(tmp_path)
    for i in range(3):
        one.keep(candidate(noise(i), i, found=detections(((320.0, 180.0), 0.9, CAR))))
    day = tmp_path / DAY
    names = (day / "ImageSets/Main/default.txt").read_text().split()
    assert names == [path.stem for path in pictures(tmp_path)] == [p.stem for p in sorted(day.glob("Annotations/*"))]
    for name in names:
        root = ElementTree.parse(day / "Annotations" / f"{name}.xml").getroot()
        assert (day / "JPEGImages" / str(root.findtext("filename"))).exists()
    lines = [json.loads(line) for line in (day / "harvest.jsonl").read_text().splitlines()]
    assert [line["file"] for line in lines] == [f"{name}.jpg" for name in names]
    assert lines[0]["reasons"] == {"missed": 1}
    assert lines[0]["model"] == "a" * 64
    assert lines[1]["at"] == f"{DAY}T12:00:01Z"


def test_a_picture_has_no_metadata() -> None:
    assert b"Exif" not in jpeg(white())


def test_a_thumbnail_of_any_size() -> None:
    for size in ((64, 48), (640, 360), (1920, 1080), (3840, 2160), (33, 17)):
        assert thumbnail(noise(1, *size)).shape == (18, 32)


def test_while_the_camera_has_drifted_a_frame_without_another_reason_is_kept(tmp_path: Path) -> None:
    keeper = harvester(tmp_path)
    ordinary = [replace(candidate(noise(seed), index=seed), score=FrameScore({}, 0.0)) for seed in range(2)]
    keeper.keep(ordinary[0])  # the usual view of this camera
    blended = ((noise(0).astype(np.int16) + 12).clip(0, 255)).astype(np.uint8)
    again = replace(candidate(blended, index=7), score=FrameScore({}, 0.0))
    assert not keeper.keep(again)
    assert keeper.passed_over["nothing odd"] == 2
    keeper.drifted = lambda: True
    assert keeper.keep(again)
    (written,) = [
        json.loads(line) for file in tmp_path.glob("*/harvest.jsonl") for line in file.read_text().splitlines()
    ]
    assert written["reasons"] == {"drift": 1}
