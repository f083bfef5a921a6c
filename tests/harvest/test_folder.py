"""Test the harvest folder: its quota and time limit, its file modes, and that foreign files are left alone."""

from __future__ import annotations

import logging
import os
import stat
import threading
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from edge_app.drawing.jpeg import jpeg
from edge_app.errors import StoreError
from edge_app.harvest.folder import HarvestFolder
from tests.support.harvest_cases import DAY, NOON, ROOMY, candidate, harvester, noise, pictures, white


def test_no_more_frames_than_the_quota_of_a_day(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = harvester(tmp_path, replace(ROOMY, frames=2))
    kept = [one.keep(candidate(noise(i), i)) for i in range(6)]
    assert kept == [True, True, False, False, False, False]
    assert one.passed_over == {"frames a day": 4}
    assert len(pictures(tmp_path)) == 2
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == [
        "no more frames are kept today: frames a day"
    ]


def test_the_quota_of_a_day_holds_over_restarts_and_clips(tmp_path: Path) -> None:
    quota = replace(ROOMY, frames=2)
    assert harvester(tmp_path, quota).keep(candidate(noise(0), 0))
    assert harvester(tmp_path, quota, clip="road 1").keep(candidate(noise(1), 1))
    third = harvester(tmp_path, quota)
    assert not third.keep(candidate(noise(2), 2))
    assert harvester(tmp_path, quota, now=NOON + 86_400).keep(candidate(noise(2), 2))
    assert {path.parent.parent.name for path in pictures(tmp_path)} == {DAY, f"{DAY}_road-1", "2026-11-26"}


def test_no_more_bytes_than_the_quota_of_a_day(tmp_path: Path) -> None:
    size = len(jpeg(noise(0)))
    one = harvester(tmp_path, replace(ROOMY, mb=2.5 * size / 1e6))
    for i in range(6):
        one.keep(candidate(noise(i), i))
    written = sum(
        path.stat().st_size for part in ("JPEGImages", "Annotations") for path in tmp_path.glob(f"*/{part}/*")
    )
    assert 0 < written <= 2.5 * size
    assert one.passed_over["MB a day"] == 6 - one.kept > 0


def test_space_that_the_counts_need_stays_free(tmp_path: Path) -> None:
    one = harvester(tmp_path, replace(ROOMY, keep_free_mb=1e12))
    assert not one.keep(candidate(white()))
    assert one.passed_over == {"disk is full": 1}
    assert pictures(tmp_path) == []


@pytest.mark.parametrize(("age", "stays"), [(0, True), (3, True), (4, False), (400, False), (-1, True), (-3, False)])
def test_days_that_are_too_old_are_deleted(tmp_path: Path, age: int, stays: bool) -> None:
    """Also days in the future, of a clock that ran ahead."""
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


def test_without_a_time_limit_no_day_is_deleted(tmp_path: Path) -> None:
    folder = HarvestFolder(tmp_path, replace(ROOMY, days=None))
    folder.put("2001-01-01", "a", b"x", b"x", {})
    assert folder.expire(date(2026, 11, 25)) == 0
    assert (tmp_path / "2001-01-01").exists()


def test_the_target_of_a_link_is_not_deleted(tmp_path: Path) -> None:
    folder = HarvestFolder(tmp_path / "harvest", replace(ROOMY, days=3))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "harvest" / "2001-01-01").symlink_to(tmp_path / "elsewhere")
    folder.expire(date(2026, 11, 25))
    assert (tmp_path / "elsewhere").exists()


def test_a_running_harvest_deletes_old_days(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
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
        harvester(tmp_path / "harvest").keep(candidate(white()))
    finally:
        os.umask(before)
    paths = [tmp_path / "harvest", *(tmp_path / "harvest").rglob("*")]
    assert len(paths) > 8
    for path in paths:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_a_folder_with_foreign_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(StoreError, match="holds other files"):
        HarvestFolder(tmp_path, ROOMY)
    with pytest.raises(StoreError, match="is a file"):
        HarvestFolder(tmp_path / "thesis.txt", ROOMY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_same_picture_is_kept_once(tmp_path: Path) -> None:
    one = harvester(tmp_path)
    assert [one.keep(candidate(noise(0), i)) for i in range(3)] == [True, False, False]
    assert one.passed_over == {"seen before": 2}


def test_a_lost_folder_is_logged_once_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = harvester(tmp_path / "harvest")
    (tmp_path / "harvest" / ".edge-app-harvest").unlink()
    (tmp_path / "harvest").rmdir()
    (tmp_path / "harvest").write_text("in the way")
    for i in range(3):
        assert not one.keep(candidate(noise(i), i))
    assert one.passed_over == {"fault": 3}
    assert [record.levelname for record in caplog.records] == ["WARNING"]
