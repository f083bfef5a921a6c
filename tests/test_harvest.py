"""Harvested frames: masked for good, for one user, within quota and time, off by default, and what tools can open."""

from __future__ import annotations

import json
import logging
import os
import stat
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app import cli
from edge_app.app import service
from edge_app.broker import HOST, embedded
from edge_app.commands import findings
from edge_app.config import Config, MqttConfig, StoreConfig
from edge_app.config_file import lint, load
from edge_app.config_harvest import HarvestConfig
from edge_app.config_preview import PrivacyConfig
from edge_app.errors import ConfigError, StoreError
from edge_app.harvest.folder import HarvestFolder, Quota, is_harvest
from edge_app.harvest.harvester import Harvester, Moment, prelabelled
from edge_app.harvest.picture import Retouch, jpeg, thumbnail
from edge_app.harvest.selection import Interest
from edge_app.harvest.voc import Label, annotation
from edge_app.records import Detections, Frame, Image, Tracks
from edge_app.sources.masks import Mask, burnt
from edge_app.sources.recording import Recording
from edge_app.throughput import record_street
from tests.test_harvest_selection import CAR, MOTORCYCLE, seen, tracks

ROOMY: Final = Quota(frames=1000, mb=1000, days=30, keep_free_mb=0)
NOON: Final = 1_795_608_000.0  # 2026-11-25 12:00 UTC
DAY: Final = "2026-11-25"
LINE: Final = '[[lines]]\nid = "a"\nstart = [0.1, 0.5]\nend = [0.9, 0.5]\n'


def white(width: int = 640, height: int = 360) -> Image:
    return np.full((height, width, 3), 255, np.uint8)


def noise(seed: int, width: int = 640, height: int = 360) -> Image:
    """A picture like no other, in large blocks."""
    small = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def moment(image: Image, index: int = 0, found: Detections | None = None, known: Tracks | None = None) -> Moment:
    frame = Frame(image, index, NOON + index, float(index))
    return Moment(frame, found or Detections.empty(), known or tracks(), Interest({"missed": 1}, 1.0))


def harvester(folder: Path, quota: Quota = ROOMY, *masks: Mask, now: float = NOON, clip: str = "") -> Harvester:
    retouch = Retouch(masks, None, 4096)
    made = HarvestFolder(folder, quota, clip)
    return Harvester(
        made, retouch, strong=0.2, every_s=1, model="a" * 64, source="here/pole-1", clip=clip, wall=lambda: now
    )


def pictures(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/JPEGImages/*.jpg"))


# --- masks

share = st.floats(0, 1)
corners: st.SearchStrategy[list[tuple[float, float]]] = st.lists(st.tuples(share, share), min_size=2, max_size=6)


def under(mask: Sequence[tuple[float, float]], x: int, y: int, size: tuple[int, int]) -> bool:
    """Whether the middle of a pixel lies in a mask, told from the mask's own points."""
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
    made = burnt(image, masks)
    for y in range(size[1]):
        for x in range(size[0]):
            if any(under(mask, x, y, size) for mask in masks):
                assert not made[y, x].any()
    assert image.all(), "the frame that is counted must stay as it is"


def test_a_mask_takes_no_more_than_its_edge() -> None:
    made = burnt(white(100, 100), [[(0.2, 0.2), (0.5, 0.6)]])
    assert made[:, :16].all()
    assert made[:, 55:].all()
    assert made[:16].all()
    assert made[65:].all()


def test_masks_are_burnt_into_what_is_written(tmp_path: Path) -> None:
    rectangle, triangle = [(0.5, 0.0), (1.0, 0.5)], [(0.0, 1.0), (0.5, 1.0), (0.0, 0.5)]
    assert harvester(tmp_path, ROOMY, rectangle, triangle).keep(moment(white()))
    (path,) = pictures(tmp_path)
    kept = cv2.imread(str(path))
    assert kept is not None
    assert kept.shape == (360, 640, 3)
    assert kept[:180, 320:].max() <= 8
    assert kept[300:, :40].max() <= 8
    assert kept[8:170, :310].min() >= 247
    for hidden in (kept[20:160, 340:620], kept[330:350, 10:40]):
        assert hidden.max() <= 2, "away from the edge, where JPEG has nothing to smear"


def test_the_mask_is_there_before_the_picture_is_made_smaller() -> None:
    mask = [(0.25, 0.25), (0.75, 0.75)]
    small, _ = Retouch((mask,), None, 64).apply(white(), np.empty((0, 4), np.float32))
    assert small.shape == (36, 64, 3)
    assert small[10:26, 17:47].max() == 0


def test_what_lies_under_a_mask_is_not_labelled() -> None:
    found = seen(((100.0, 100.0), 0.9, CAR), ((500.0, 300.0), 0.9, MOTORCYCLE))
    retouch = Retouch(([(0.0, 0.0), (0.5, 0.5)],), None, 4096)
    _, labels = prelabelled(moment(white(), found=found), retouch, 0.2)
    assert [label.name for label in labels] == ["motorcycle"]


def test_only_what_the_detector_looks_at_is_kept_and_boxes_follow() -> None:
    found = seen(((480.0, 270.0), 0.9, CAR), ((60.0, 60.0), 0.9, CAR))
    retouch = Retouch(((((0.5, 0.5), (0.6, 0.6))),), (0.5, 0.5, 1.0, 1.0), 160)
    image, labels = prelabelled(moment(white(), found=found), retouch, 0.2)
    assert image.shape == (90, 160, 3)
    (label,) = labels
    assert label.box == pytest.approx((60, 30, 100, 60))
    assert image[3:15, 3:28].max() <= 1


# --- predictions


def test_a_track_has_the_say_over_the_class_and_over_what_is_not_seen() -> None:
    found = seen(((100.0, 100.0), 0.5, CAR), ((300.0, 100.0), 0.17, CAR), ((500.0, 100.0), 0.16, CAR))
    known = tracks((1, (100.0, 100.0), True), (2, (300.0, 100.0), True), (3, (300.0, 250.0), False), kind=MOTORCYCLE)
    _, labels = prelabelled(moment(white(), found=found, known=known), Retouch((), None, 4096), 0.2)
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
        one.keep(moment(noise(i), i, found=seen(((320.0, 180.0), 0.9, CAR))))
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


def test_a_picture_carries_nothing_but_the_picture() -> None:
    assert b"Exif" not in jpeg(white())


def test_a_thumbnail_of_any_size() -> None:
    for size in ((64, 48), (640, 360), (1920, 1080), (3840, 2160), (33, 17)):
        assert thumbnail(noise(1, *size)).shape == (18, 32)


# --- quota, time and place


def test_no_more_frames_than_the_quota_of_a_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = harvester(tmp_path, replace(ROOMY, frames=2))
    kept = [one.keep(moment(noise(i), i)) for i in range(6)]
    assert kept == [True, True, False, False, False, False]
    assert one.passed_over == {"frames a day": 4}
    assert len(pictures(tmp_path)) == 2
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "no more frames are kept today: frames a day"
    ]


def test_a_restart_and_another_clip_are_the_same_day(tmp_path: Path) -> None:
    quota = replace(ROOMY, frames=2)
    assert harvester(tmp_path, quota).keep(moment(noise(0), 0))
    assert harvester(tmp_path, quota, clip="road 1").keep(moment(noise(1), 1))
    third = harvester(tmp_path, quota)
    assert not third.keep(moment(noise(2), 2))
    assert harvester(tmp_path, quota, now=NOON + 86_400).keep(moment(noise(2), 2))
    assert {path.parent.parent.name for path in pictures(tmp_path)} == {DAY, f"{DAY}_road-1", "2026-11-26"}


def test_no_more_bytes_than_the_quota_of_a_day(tmp_path: Path) -> None:
    size = len(jpeg(noise(0)))
    one = harvester(tmp_path, replace(ROOMY, mb=2.5 * size / 1e6))
    for i in range(6):
        one.keep(moment(noise(i), i))
    written = sum(
        path.stat().st_size for part in ("JPEGImages", "Annotations") for path in tmp_path.glob(f"*/{part}/*")
    )
    assert 0 < written <= 2.5 * size
    assert one.passed_over["MB a day"] == 6 - one.kept > 0


def test_a_disk_that_counts_need_is_left_alone(tmp_path: Path) -> None:
    one = harvester(tmp_path, replace(ROOMY, keep_free_mb=1e12))
    assert not one.keep(moment(white()))
    assert one.passed_over == {"disk is full": 1}
    assert pictures(tmp_path) == []


@pytest.mark.parametrize(("age", "stays"), [(0, True), (3, True), (4, False), (400, False), (-1, True), (-3, False)])
def test_days_go_when_they_are_over_their_time(tmp_path: Path, age: int, stays: bool) -> None:
    """Also those of a clock that ran ahead."""
    today = date(2026, 11, 25)
    folder = HarvestFolder(tmp_path, replace(ROOMY, days=3))
    day = (today - timedelta(days=age)).isoformat()
    folder.put(day, "a", b"x", b"x", {})
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "2026-99-99").mkdir()
    (tmp_path / "holiday").mkdir()
    assert folder.expire(today) == (not stays)
    assert (tmp_path / day).exists() == stays
    assert {path.name for path in tmp_path.iterdir()} >= {"notes.txt", "2026-99-99", "holiday"}


def test_without_a_time_nothing_is_deleted(tmp_path: Path) -> None:
    folder = HarvestFolder(tmp_path, replace(ROOMY, days=None))
    folder.put("2001-01-01", "a", b"x", b"x", {})
    assert folder.expire(date(2026, 11, 25)) == 0
    assert (tmp_path / "2001-01-01").exists()


def test_what_a_link_points_to_is_not_deleted(tmp_path: Path) -> None:
    folder = HarvestFolder(tmp_path / "harvest", replace(ROOMY, days=3))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "harvest" / "2001-01-01").symlink_to(tmp_path / "elsewhere")
    folder.expire(date(2026, 11, 25))
    assert (tmp_path / "elsewhere").exists()


def test_a_running_harvest_tidies_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    HarvestFolder(tmp_path, ROOMY).put("2026-01-01", "a", b"x", b"x", {})
    one = harvester(tmp_path)
    one.close()
    one.run(threading.Event())
    assert not (tmp_path / "2026-01-01").exists()
    assert "over their time" in caplog.text
    assert "harvest ended" in caplog.text


def test_folders_and_files_are_for_this_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        (tmp_path / "harvest").mkdir(mode=0o777)
        harvester(tmp_path / "harvest").keep(moment(white()))
    finally:
        os.umask(before)
    made = [tmp_path / "harvest", *(tmp_path / "harvest").rglob("*")]
    assert len(made) > 8
    for path in made:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(StoreError, match="holds other files"):
        HarvestFolder(tmp_path, ROOMY)
    with pytest.raises(StoreError, match="is a file"):
        HarvestFolder(tmp_path / "thesis.txt", ROOMY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_same_sight_is_kept_once(tmp_path: Path) -> None:
    one = harvester(tmp_path)
    assert [one.keep(moment(noise(0), i)) for i in range(3)] == [True, False, False]
    assert one.passed_over == {"seen before": 2}


def test_a_folder_that_went_away_is_a_fault_that_is_told_once_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = harvester(tmp_path / "harvest")
    (tmp_path / "harvest" / ".edge-app-harvest").unlink()
    (tmp_path / "harvest").rmdir()
    (tmp_path / "harvest").write_text("in the way")
    for i in range(3):
        assert not one.keep(moment(noise(i), i))
    assert one.passed_over == {"fault": 3}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


# --- the service


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record_street(tmp_path_factory.mktemp("video") / "street.mp4")


def serve(folder: Path, clip: Path, table: HarvestConfig, *masks: Any) -> int:
    """The whole service on a recording, as fast as it goes; returns how many frames were counted."""
    with ExitStack() as stack:
        port = stack.enter_context(embedded())
        config = Config(
            mqtt=MqttConfig(host=HOST, port=port),
            store=StoreConfig(folder=folder / "state"),
            privacy=PrivacyConfig(masks=masks),
            harvest=table,
        )
        running = stack.enter_context(service(config, Recording(clip, start_at=NOON)))
        running.run(threading.Event())
        return running.frames


def test_off_by_default_and_then_nothing_is_written(
    street: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not Config().harvest.enabled
    assert serve(tmp_path, street, HarvestConfig()) > 100
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".jpg", ".xml", ".jsonl")]


def test_a_service_harvests_with_masks_and_counts_all_the_same(street: Path, tmp_path: Path) -> None:
    mask = ((0.0, 0.0), (0.3, 1.0))
    table = HarvestConfig(enabled=True, folder=tmp_path / "harvest", every_s=1, keep_free_mb=0)
    assert serve(tmp_path, street, table, mask) > 100
    kept = pictures(tmp_path / "harvest")
    assert kept, "ten seconds of a rendered street hold nothing odd"
    for path in kept:
        image = cv2.imread(str(path))
        assert image is not None
        assert image[:, :370].max() <= 4
        assert image[:, 400:].max() > 50
    assert len(kept) <= 11


def test_a_folder_that_cannot_be_used_does_not_stop_the_counting(
    street: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "harvest").write_text("in the way")
    assert serve(tmp_path, street, HarvestConfig(enabled=True, folder=tmp_path / "harvest")) > 100
    assert "no frames are harvested" in caplog.text


def test_what_was_harvested_goes_in_time_also_when_it_is_off(street: Path, tmp_path: Path) -> None:
    HarvestFolder(tmp_path / "harvest", ROOMY).put("2026-01-01", "a", b"x", b"x", {})
    serve(tmp_path, street, HarvestConfig(enabled=False, folder=tmp_path / "harvest"))
    assert is_harvest(tmp_path / "harvest")
    assert not (tmp_path / "harvest" / "2026-01-01").exists()


# --- configuration and check


def configured(folder: Path, text: str, masks: str = "") -> Config:
    path = folder / "edge-app.toml"
    path.write_text(f"[harvest]\n{text}\n[privacy]\n{masks}\n{LINE}")
    return load(path)


def test_masks_as_they_are_written(tmp_path: Path) -> None:
    made = configured(tmp_path, "", "masks = [[[0.0, 0.0], [0.2, 0.3]], [[0.5, 0], [1, 0], [1, 0.5]]]")
    assert made.privacy.masks == (((0.0, 0.0), (0.2, 0.3)), ((0.5, 0.0), (1.0, 0.0), (1.0, 0.5)))
    assert made.harvest.folder == tmp_path / "harvest"


@pytest.mark.parametrize(
    "wrong",
    [
        "every_s = 0",
        "frames_per_day = 0",
        "expire_days = 0",
        "expire = 3",
    ],
)
def test_what_is_wrong_is_said_with_its_key(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, wrong)
    assert all(problem.startswith(f"harvest.{wrong.split()[0]}") for problem in refused.value.problems)


def test_frames_without_masks_are_pointed_out(tmp_path: Path) -> None:
    assert not [one for one in lint(configured(tmp_path, "")) if "masks" in one]
    assert [one for one in lint(configured(tmp_path, "enabled = true")) if one.startswith("privacy.masks: is empty")]
    masked = configured(tmp_path, "enabled = true", "masks = [[[0, 0], [1, 0.2]]]")
    assert not [one for one in lint(masked) if "masks" in one]


def test_check_says_what_is_kept_where_and_makes_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path, "enabled = true", "masks = [[[0, 0], [1, 0.2]]]")
    found = findings.harvest(config)
    assert found.level == "ok"
    assert "100 frames and 50 MB a day" in found.sentence
    assert "30 days, behind 1 mask." in found.sentence
    assert not (tmp_path / "harvest").exists()
    (tmp_path / "harvest").write_text("in the way")
    assert findings.harvest(config).level == "FAIL"


# --- the command


def call(*arguments: str | Path, stop: threading.Event | None = None) -> int:
    parsed: Any = cli._parser().parse_args(["harvest", *map(str, arguments)])
    return int(parsed.main(parsed, stop or threading.Event()))


def test_the_command_keeps_the_same_frames_of_a_recording_each_time(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("one", "two"):
        assert call(street, "--out", tmp_path / folder, "--every", "1") == 0
    one, two = (pictures(tmp_path / folder) for folder in ("one", "two"))
    assert [path.name for path in one] == [path.name for path in two]
    assert one[0].name.startswith("street_000")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    said = capsys.readouterr()
    assert f"{len(one)} of 150 frames kept" in said.out
    assert "privacy.masks in --config" in said.err
    assert call(street, "--out", tmp_path / "one", "--every", "1") == 0
    assert f"{len(one)} kept already" in capsys.readouterr().out
    assert len((tmp_path / "one").glob("*/harvest.jsonl").__next__().read_text().splitlines()) == len(one)


def test_the_command_takes_masks_and_quota_from_a_configuration(
    street: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edge-app.toml"
    path.write_text(
        "[detector]\nscore = 0.8\n[harvest]\nevery_s = 1.0\nframes_per_day = 1\n"
        f"[privacy]\nmasks = [[[0.0, 0.0], [1.0, 0.5]]]\n{LINE}"
    )
    assert call(street, "--out", tmp_path / "out", "--config", path) == 0
    (kept,) = pictures(tmp_path / "out")
    image = cv2.imread(str(kept))
    assert image is not None
    assert image[:350].max() <= 4
    said = capsys.readouterr()
    assert "frames a day" in said.out
    assert "Nothing was masked" not in said.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--every", "0"), "--every"),
        (("--frames", "0"), "--frames"),
        (("--expire-days", "0"), "--expire-days"),
    ],
)
def test_a_wrong_option_is_named(street: Path, tmp_path: Path, arguments: tuple[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        call(street, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out").exists()


def test_a_folder_of_other_things_is_refused_by_the_command(street: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(StoreError, match="holds other files"):
        call(street, "--out", tmp_path)


def test_an_interrupted_one_says_so_by_its_exit_code(street: Path, tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    assert call(street, "--out", tmp_path / "out", stop=stop) == 1
