"""Several recordings in a row: one time, one numbering, gaps where a recording was cut off."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import SourceError
from edge_app.sources.recording import Recording
from edge_app.sources.recording_series import RecordingSeries
from tests.sources.test_recording import read_all
from tests.support.videos import cut_off, ffmpeg, needs_ffmpeg, number_of, write_video


def test_frames_and_times_count_on_through_all_recordings(tmp_path: Path) -> None:
    paths = [
        write_video(tmp_path / "a.mp4", range(50), rate=25.0),
        write_video(tmp_path / "b.mp4", range(50, 60), rate=10.0),
        write_video(tmp_path / "c.mp4", range(60, 80), rate=25.0),
    ]
    series = RecordingSeries(Recording, paths)
    assert series.frames_expected == 80
    frames = read_all(series)
    assert [number_of(frame.image) for frame in frames] == list(range(80))
    assert [frame.index for frame in frames] == list(range(80))
    times = [*(i / 25 for i in range(50)), *(2 + i / 10 for i in range(10)), *(3 + i / 25 for i in range(20))]
    assert [frame.monotonic for frame in frames] == pytest.approx(times, abs=0.002)
    assert [(p.path, p.frames, p.fps) for p in series.parts] == [
        (paths[0], 50, 25),
        (paths[1], 10, 10),
        (paths[2], 20, 25),
    ]
    assert [p.start_s for p in series.parts] == pytest.approx([0, 2, 3], abs=0.002)
    assert (series.status.state, series.status.detail) == ("ended", "")


@needs_ffmpeg
def test_what_is_missing_of_one_recording_is_a_gap_in_time(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "whole.mp4", range(50))
    even = ("-g", "1", "-q:v", "6", "-vf", "noise=alls=30:allf=t", "-movflags", "+faststart")
    half = cut_off(ffmpeg(whole, *even, to=tmp_path / "even.mp4"), 0.5, tmp_path / "half.mp4")
    series = RecordingSeries(Recording, [whole, half, whole])
    frames = read_all(series)
    assert 115 < len(frames) < 135
    assert [part.start_s for part in series.parts] == pytest.approx([0, 2, 4], abs=0.002)
    assert frames[-1].monotonic == pytest.approx(4 + 49 / 25, abs=0.002)
    assert series.status.detail.count("breaks off") == 1


def test_the_limit_of_the_rate_keeps_the_numbers_of_the_frames(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{i}.mp4", range(50)) for i in range(2)]
    frames = read_all(RecordingSeries(lambda path: Recording(path, fps_limit=5.0), paths))
    assert len(frames) == 20
    assert [frame.index % 50 for frame in frames] == [number_of(frame.image) for frame in frames]
    assert frames[-1].index > 90


def test_another_size_or_a_missing_recording_is_told_before_anything_is_counted(tmp_path: Path) -> None:
    first = write_video(tmp_path / "a.mp4", range(10))
    writer = cv2.VideoWriter(str(tmp_path / "b.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 25.0, (320, 240))
    writer.write(np.zeros((240, 320, 3), np.uint8))
    writer.release()
    with pytest.raises(SourceError, match=r"b\.mp4 is 320x240 px, .*a\.mp4 is 160x120 px"):
        RecordingSeries(Recording, [first, tmp_path / "b.mp4"])
    with pytest.raises(SourceError, match="There is no video"):
        RecordingSeries(Recording, [first, tmp_path / "c.mp4"])


def test_closing_ends_a_reading_in_the_middle(tmp_path: Path) -> None:
    series = RecordingSeries(Recording, [write_video(tmp_path / f"{i}.mp4", range(5)) for i in range(2)])
    assert series.read(1.0) is not None
    series.close()
    assert read_all(series) == []
    assert series.parts == []


def test_a_recording_that_vanishes_meanwhile_loses_nothing_of_those_before(tmp_path: Path) -> None:
    paths = [write_video(tmp_path / f"{i}.mp4", range(5)) for i in range(3)]
    series = RecordingSeries(Recording, paths)
    paths[1].unlink()
    assert len(read_all(series)) == 5
    assert [part.path for part in series.parts] == paths[:1]
    assert "There is no video" in series.status.detail
    assert "Neither it nor what follows was counted" in series.status.detail
