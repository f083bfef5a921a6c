"""What the frames of an hour show, and what a camera's watch makes of hours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import cv2
import numpy as np
import pytest

from edge_app.assembly.device import build_device
from edge_app.assembly.watching import build_drift, drift_setting
from edge_app.config.model import Config, DeviceConfig, StoreConfig
from edge_app.drift.collecting import HourCollector
from edge_app.drift.history import Anew, HourHistory
from edge_app.drift.picture import measured
from edge_app.drift.signals import Hour, Setting
from edge_app.drift.watch import DriftWatch, local_time
from edge_app.records import Crossing, Detections, Frame, FrameResult, Image, Tracks
from tests.support.harvest_cases import tracks

BEGIN = 1_795_946_400.0  # 2026-11-29 10:00 UTC, a Sunday
SIZE = (640, 360)
A = Setting("a", "UTC 2 cafe")
OTHER_DETECTOR, OTHER_PICTURE = Setting("b", "UTC 2 cafe"), Setting("b", "UTC 2 beef")
NOTHING, NOBODY = Detections.empty(), Tracks.empty()


def road(noise: float = 1.0, blur: int = 0) -> Image:
    """Return a picture with edges, and the noise of a sensor in grey levels."""
    rng = np.random.default_rng(1)
    sharp = np.kron(rng.uniform(40, 200, (36, 64)), np.ones((20, 20))).astype(np.float32)
    picture = np.asarray(cv2.GaussianBlur(sharp, (0, 0), blur), np.float32) if blur else sharp
    grey = np.clip(picture + rng.normal(0, noise, picture.shape), 0, 255).astype(np.uint8)
    return np.dstack([grey, grey, grey])


def hour_of_frames(
    begin: float, *, seconds: int = 3600, crossings: int = 12, score: float = 0.8, moving: float | None = 0.01
) -> Iterator[FrameResult]:
    """Yield a frame a second: every fifth minute a vehicle drives into the middle of the picture, and is gone there."""
    picture = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    every = max(1, seconds // max(1, crossings))
    for second in range(seconds):
        at = begin + second
        within, number = second % every, second // every
        known = tracks((number, (300.0 + within, 180.0), True)) if within < 10 else NOBODY
        if len(known):
            known = replace(
                known, velocities=np.array([[60.0, 0.0]], np.float32), first_seen=np.array([float(at - within)])
            )
        passed = within == 5 and number < crossings
        crossing = Crossing(at, second, number, "car", "quay", "left_to_right", score)
        frame = Frame(picture, second, at, at)
        yield FrameResult(frame, NOTHING, known, (crossing,) if passed else (), moving=moving)


@pytest.fixture(scope="module")
def two_hours() -> list[FrameResult]:
    """An hour of frames, and the first of the next."""
    return [*hour_of_frames(BEGIN), *hour_of_frames(BEGIN + 3600, seconds=1)]


A, B = Setting("a", "UTC 2 still"), Setting("b", "UTC 2 still")


def collected(*results: Iterable[FrameResult]) -> list[Hour]:
    collector = HourCollector(local_time(timezone.utc))
    found = [collector.observe(result) for one in results for result in one]
    return [hour for hour in found if hour]


def test_an_hour_is_told_at_its_end_with_what_was_seen_of_it(two_hours: list[FrameResult]) -> None:
    (hour,) = collected(two_hours)
    assert (hour.day % 7, hour.slot) == (0, 6 * 24 + 10)
    assert hour.values["vehicles"] == pytest.approx(13.0, rel=0.01)
    assert hour.values["activity"] == pytest.approx(37.0, rel=0.01)
    assert hour.values["score"] == pytest.approx(0.8)
    assert (hour.values["unsure"], hour.values["died"]) == (0.0, 1.0)
    assert hour.values["track_s"] == pytest.approx(9.1)
    assert hour.values["brightness"] == pytest.approx(91.0)
    assert "sharpness" not in hour.values  # nothing is to be seen in it


def test_half_an_hour_is_too_little_and_few_vehicles_say_nothing_of_scores() -> None:
    assert collected(hour_of_frames(BEGIN, seconds=1700), hour_of_frames(BEGIN + 3600, seconds=1)) == []
    (hour,) = collected(hour_of_frames(BEGIN, crossings=3, moving=None), hour_of_frames(BEGIN + 3600, seconds=1))
    assert not {"score", "unsure", "counted", "activity"} & hour.values.keys()
    assert hour.values["vehicles"] == pytest.approx(4.0, rel=0.01)


def test_pictures_tell_noise_and_blur_apart() -> None:
    clean, noisy, blurred = measured(road()), measured(road(noise=4.0)), measured(road(blur=4))
    assert clean["noise"] == pytest.approx(1.0, abs=0.25)
    assert noisy["noise"] == pytest.approx(4.0, abs=0.5)
    assert blurred["sharpness"] < 0.8 * clean["sharpness"]
    assert noisy["sharpness"] == pytest.approx(clean["sharpness"], rel=0.1)


def test_the_hour_of_the_week_is_local() -> None:
    assert local_time(ZoneInfo("Asia/Kolkata"))(BEGIN)[1] == 6 * 24 + 15
    assert local_time(ZoneInfo("America/Los_Angeles"))(BEGIN)[1] == 6 * 24 + 2


def write(folder: Path, days: int, change_from: int) -> None:
    """Write days of hours as a device with the setting A has kept them, up to BEGIN."""
    history, local = HourHistory(folder), local_time(timezone.utc)
    rng = np.random.default_rng(2)
    watch_begin = BEGIN - days * 86_400
    history.add(watch_begin, Anew(str(A)))
    for n in range(days * 24):
        at = watch_begin + 3600 * n
        lens = 0.7 if n >= 24 * change_from else 1.0
        values = {"sharpness": lens * (0.8 + 0.01 * rng.normal()), "brightness": 90.0 + rng.normal()}
        history.add(at, Hour(*local(at), values))


def test_a_restart_knows_what_has_moved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, 60, 45)
    watch = DriftWatch(HourHistory(tmp_path), A, local_time(timezone.utc))
    assert watch.state.kinds == {"data"}
    assert watch.state.sentence.startswith("The picture is not what it used to be since 2026-11-1")
    assert "(less sharp): clean the lens" in watch.state.sentence
    assert watch.state.sentence in caplog.text


@pytest.mark.long
@pytest.mark.parametrize("restarted", [False, True])
def test_another_detector_makes_no_dirty_lens_usual(
    tmp_path: Path, two_hours: list[FrameResult], restarted: bool
) -> None:
    write(tmp_path, 60, 45)
    watch = DriftWatch(HourHistory(tmp_path), B if restarted else A, local_time(timezone.utc))
    if not restarted:
        watch.change(B)
    before = watch.state
    assert before.kinds == {"data"}
    for result in (*two_hours[:-1], *hour_of_frames(BEGIN + 3600), *hour_of_frames(BEGIN + 7200, seconds=1)):
        watch.observe(result)
    assert (watch.state.kinds, watch.state.sentence) == (before.kinds, before.sentence)
    history = HourHistory(tmp_path)
    assert [entry.why for entry in history.read() if isinstance(entry, Anew)] == [str(A), str(B)]
    again = DriftWatch(HourHistory(tmp_path), B, local_time(timezone.utc))
    assert (again.state.sentence, again.problem) == (before.sentence, "")


@pytest.mark.long
@pytest.mark.parametrize("restarted", [False, True])
def test_another_picture_begins_anew(tmp_path: Path, two_hours: list[FrameResult], restarted: bool) -> None:
    write(tmp_path, 60, 45)
    turned = Setting("b", "UTC 2 turned")
    watch = DriftWatch(HourHistory(tmp_path), turned if restarted else A, local_time(timezone.utc))
    if not restarted:
        watch.change(turned)
    for result in (*two_hours[:-1], *hour_of_frames(BEGIN + 3600), *hour_of_frames(BEGIN + 7200, seconds=1)):
        watch.observe(result)
    assert watch.state.kinds == frozenset()
    again = DriftWatch(HourHistory(tmp_path), turned, local_time(timezone.utc))
    assert (again.state.kinds, again.problem) == (frozenset(), "")


def test_what_changes_a_count_and_no_picture_is_told_apart() -> None:
    own = Config()
    model = 64 * "0"
    first = drift_setting(own, build_device(own, model))
    assert drift_setting(own, build_device(own, 64 * "1")).changed(str(first)) == ("model", "traffic")
    for table, value, changed in (
        ("detector", {"score": 0.9}, ("model", "traffic")),
        ("source", {"fps_limit": 9.0}, ("model", "traffic")),
        ("source", {"rotation": 180}, ("data", "model", "traffic")),
        ("privacy", {"masks": [[[0.0, 0.0], [0.5, 0.5]]]}, ("data", "model", "traffic")),
        ("device", {"time_zone": "Asia/Kolkata"}, ("data", "model", "traffic")),
        ("log", {"level": "debug"}, ()),
    ):
        other = Config.model_validate({table: value})
        assert drift_setting(other, build_device(other, model)).changed(str(first)) == changed, value


def test_a_history_of_a_former_version_goes_on_where_nothing_was_changed() -> None:
    now = Setting("c222920fa583", "UTC 2 9f86d081884c")
    assert now.changed("setting c222920fa583 UTC 2") == ()
    assert now.changed("setting 0a222920fa58 UTC 2") == ("data", "model", "traffic")
    assert now.changed("setting c222920fa583 UTC 1") == ("data", "model", "traffic")
    assert now.changed("setting c222920fa583") == ("data", "model", "traffic")
    assert now.changed("") == ("data", "model", "traffic")


@pytest.mark.long
def test_another_time_zone_begins_anew(tmp_path: Path, two_hours: list[FrameResult]) -> None:
    for zone in ("UTC", "Asia/Kolkata", "Asia/Kolkata"):
        config = Config(device=DeviceConfig(time_zone=zone), store=StoreConfig(folder=tmp_path))
        watch = build_drift(config, build_device(config, 64 * "0"), live=True)
        assert watch is not None
        for result in (*two_hours[:1801], two_hours[-1]):
            watch.observe(result)
    kept = [type(entry) for entry in HourHistory(tmp_path / "drift").read()]
    assert kept == [Anew, Hour, Anew, Hour, Hour]


def test_damaged_lines_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, 2, 2)
    (tmp_path / "2026-10.jsonl").write_text("no hour\n" * 3)
    DriftWatch(HourHistory(tmp_path), A, local_time(timezone.utc))
    assert "3 lines of the history of months are damaged" in caplog.text


def test_a_history_that_cannot_be_written_is_told_and_the_hour_judged(
    tmp_path: Path, two_hours: list[FrameResult]
) -> None:
    (tmp_path / "drift").write_text("a file in its place")
    watch = DriftWatch(HourHistory(tmp_path / "drift"), A, local_time(timezone.utc))
    for result in two_hours:
        watch.observe(result)
    assert watch.problem == "the history of months cannot be written (File exists)"
