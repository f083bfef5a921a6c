"""Video files as a source: times, limits, loops, and files that are damaged or absent."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_app.errors import SourceEnded, SourceError
from edge_app.records import Frame
from edge_app.sources import probe
from edge_app.sources.edit_list import shown_share
from edge_app.sources.recording import Recording
from edge_app.sources.recording_series import RecordingSeries
from tests.support.shared import SHARED
from tests.support.videos import cut_off, ffmpeg, needs_ffmpeg, number_of, write_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a video of 50 pictures, 2 s long."""
    return write_video(tmp_path_factory.mktemp("videos") / "road.mp4", range(50))


@pytest.fixture(scope="module")
def h264(video: Path) -> Path:
    """Return the video in H.264 with a single key frame, the first."""
    return ffmpeg(video, "-c:v", "libx264", "-g", "50", to=video.with_name("h264.mp4"))


def read_all(source: Recording | RecordingSeries) -> list[Frame]:
    frames = []
    try:
        while True:
            frame = source.read(1.0)
            assert frame is not None
            frames.append(frame)
    except SourceEnded:
        source.close()
    return frames


def test_every_frame_comes_in_order_on_the_media_clock(video: Path) -> None:
    source = Recording(video, start_at=1000.0)
    frames = read_all(source)
    assert [number_of(frame.image) for frame in frames] == list(range(50))
    assert [frame.index for frame in frames] == list(range(50))
    assert [frame.captured_at for frame in frames] == pytest.approx([1000 + i / 25 for i in range(50)])
    assert [frame.monotonic for frame in frames] == pytest.approx([i / 25 for i in range(50)])
    assert not source.live
    assert (source.frames_expected, source.rate) == (50, 25.0)
    status = source.status
    assert (status.state, status.width, status.height, status.detail) == ("ended", 160, 120, "")


def test_two_readings_give_the_same_frames(video: Path) -> None:
    first, second = read_all(Recording(video)), read_all(Recording(video))
    assert [f.captured_at for f in first] == [f.captured_at for f in second]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(("rotation", "back"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_rotation_is_clockwise(video: Path, rotation: int, back: int) -> None:
    frames = read_all(Recording(video, rotation=rotation))
    assert frames[0].size == ((160, 120) if back % 2 == 0 else (120, 160))
    assert [number_of(np.rot90(frame.image, back)) for frame in frames[:20]] == list(range(20))


def test_limit_skips_evenly_and_keeps_the_numbers_of_the_file(video: Path) -> None:
    source = Recording(video, fps_limit=5.0)
    frames = read_all(source)
    assert [frame.index for frame in frames] == list(range(0, 50, 5))
    assert [number_of(frame.image) for frame in frames] == list(range(0, 50, 5))
    assert source.status.skipped == 40
    assert source.status.dropped == 0


def test_a_limit_above_the_rate_changes_nothing(video: Path) -> None:
    assert len(read_all(Recording(video, fps_limit=60.0))) == 50


def test_in_a_loop_times_and_numbers_go_on(video: Path) -> None:
    source = Recording(video, loop=True)
    frames = [source.read(1.0) for _ in range(120)]
    source.close()
    assert [frame.index for frame in frames if frame] == list(range(120))
    assert [number_of(frame.image) for frame in frames if frame] == [i % 50 for i in range(120)]
    assert [frame.monotonic for frame in frames if frame] == pytest.approx([i / 25 for i in range(120)])


def test_repeated_pictures_are_counted_and_delivered(tmp_path: Path) -> None:
    numbers = [0] * 60 + list(range(1, 40))
    source = Recording(write_video(tmp_path / "still.avi", numbers, codec="MJPG"))
    assert len(read_all(source)) == 99
    assert source.status.repeated == 59


class Clock:
    """Clock that the test sets."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


def test_real_pace_gives_frames_when_they_are_due_with_the_time_of_the_clocks(video: Path) -> None:
    clock = Clock()
    source = Recording(video, pace="real", clock=clock, wall=lambda: clock.now + 1e6)
    assert source.live
    first = source.read(0.0)
    assert first is not None
    assert (first.monotonic, first.captured_at) == (5000.0, 1005000.0)
    assert source.read(0.001) is None
    clock.now += 0.05
    second = source.read(0.0)
    assert second is not None
    assert (second.index, second.monotonic) == (1, 5000.05)
    clock.now += 10
    late = [source.read(0.0) for _ in range(48)]
    assert [frame.index for frame in late if frame] == list(range(2, 50))
    with pytest.raises(SourceEnded):
        source.read(0.0)


@needs_ffmpeg
def test_variable_frame_times_are_kept(video: Path, tmp_path: Path) -> None:
    uneven = ffmpeg(video, "-vf", "select='lt(n,10)+gte(n,40)'", "-vsync", "vfr", to=tmp_path / "vfr.mp4")
    frames = read_all(Recording(uneven))
    expected = [number / 25 for number in (*range(10), *range(40, 50))]
    assert [frame.monotonic for frame in frames] == pytest.approx(expected, abs=0.002)


@needs_ffmpeg
def test_a_file_without_time_stamps_counts_frames(video: Path, tmp_path: Path) -> None:
    raw = ffmpeg(video, "-c:v", "mpeg4", "-f", "m4v", to=tmp_path / "raw.m4v")
    frames = read_all(Recording(raw))
    steps = np.diff([frame.monotonic for frame in frames])
    assert len(frames) == 50
    assert steps == pytest.approx([0.04] * 49, abs=0.001)


@needs_ffmpeg
@pytest.mark.parametrize("hidden", [5, 20, 45])
@pytest.mark.parametrize("name", ["edit.mp4", "edit.mov"])
def test_frames_hidden_by_an_edit_list_do_not_count_as_cut_off(
    h264: Path, tmp_path: Path, name: str, hidden: int
) -> None:
    """What cutting without encoding again leaves: all pictures from the key frame before the cut on."""
    trimmed = ffmpeg(h264, "-c", "copy", to=tmp_path / name, start=hidden / 25)
    source = Recording(trimmed)
    frames = read_all(source)
    assert frames[0].monotonic == 0.0
    assert number_of(frames[0].image) == hidden
    assert len(frames) == 50 - hidden
    assert source.frames_expected == pytest.approx(50 - hidden, abs=1)
    assert source.status.detail == ""


@needs_ffmpeg
def test_a_file_with_an_edit_list_that_was_cut_off_is_still_reported(video: Path, tmp_path: Path) -> None:
    even = ("-c:v", "libx264", "-g", "50", "-vf", "noise=alls=30:allf=t")
    h264 = ffmpeg(video, *even, to=tmp_path / "h264.mp4")
    trimmed = ffmpeg(h264, "-c", "copy", "-movflags", "+faststart", to=tmp_path / "edit.mp4", start=0.4)
    source = Recording(cut_off(trimmed, 0.6, tmp_path / "half.mp4"))
    assert len(read_all(source)) < 35
    assert "of 1.6 s: only that part was read" in source.status.detail


@needs_ffmpeg
def test_boxes_that_are_damaged_end_nothing(video: Path, tmp_path: Path) -> None:
    trimmed = ffmpeg(video, "-c:v", "libx264", "-movflags", "+faststart", to=tmp_path / "h264.mp4")
    whole = ffmpeg(trimmed, "-c", "copy", "-movflags", "+faststart", to=tmp_path / "edit.mp4", start=1.0).read_bytes()
    assert shown_share(tmp_path / "edit.mp4") == pytest.approx(0.5, abs=0.03)
    rng, damaged = np.random.default_rng(4), tmp_path / "damaged.mp4"
    for _ in range(40):
        for kind in (b"moov", b"mvhd", b"hdlr", b"mdhd", b"elst"):
            at = whole.index(kind) + rng.choice([-4, 4, 12, 20])
            data = whole[:at] + rng.bytes(int(rng.integers(1, 5))) + whole[at + 4 :]
            damaged.write_bytes(data[: rng.integers(0, len(data))] if rng.random() < 0.3 else data)
            assert 0.0 <= shown_share(damaged) <= 1.0


@needs_ffmpeg
@pytest.mark.parametrize("name", ["whole.mp4", "whole.mkv", "whole.avi", "whole.ts"])
def test_a_file_that_was_cut_off_delivers_its_frames_and_reports_it(video: Path, tmp_path: Path, name: str) -> None:
    even = ("-g", "1", "-q:v", "6", "-vf", "noise=alls=30:allf=t")  # every picture takes its share of the bytes
    complete = ffmpeg(video, *even, "-movflags", "+faststart", to=tmp_path / name)
    source = Recording(cut_off(complete, 0.5, tmp_path / f"half_{name}"))
    frames = read_all(source)
    assert 15 < len(frames) < 35
    assert source.status.state == "ended"
    if not name.endswith(".ts"):  # a transport stream promises no length
        assert "breaks off after 1." in source.status.detail or "breaks off after 0." in source.status.detail
        assert "of 2.0 s" in source.status.detail


def error_of(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        Recording(path)
    assert isinstance(caught.value, OSError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_an_absent_file_is_explained(tmp_path: Path) -> None:
    assert error_of(tmp_path / "none.mp4").startswith(f"There is no video {tmp_path}/none.mp4")


def test_a_folder_is_explained(tmp_path: Path) -> None:
    assert "is not a file" in error_of(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello, this is no video\n" * 100, os.urandom(5000)])
def test_a_file_that_is_no_video_is_explained(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.mp4"
    path.write_bytes(content)
    assert "is no video" in error_of(path)


def test_an_mp4_without_its_end_is_explained_as_cut_off(video: Path, tmp_path: Path) -> None:
    assert "cut off" in error_of(cut_off(video, 0.5, tmp_path / "half.mp4"))


def test_a_video_without_frames_is_explained(tmp_path: Path) -> None:
    assert "no picture" in error_of(write_video(tmp_path / "empty.avi", [], codec="MJPG"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_explained(video: Path, tmp_path: Path) -> None:
    path = cut_off(video, 1.0, tmp_path / "private.mp4")
    path.chmod(0)
    assert "permissions" in error_of(path)


def test_a_colon_in_the_name_is_not_taken_for_a_protocol(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(cut_off(video, 1.0, tmp_path / "cam:12:30.mp4").parent)
    assert len(read_all(Recording("cam:12:30.mp4"))) == 50


def test_opencv_and_ffmpeg_write_nothing_to_stderr(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"no video at all" * 50)
    error_of(tmp_path / "bad.mp4")
    assert capfd.readouterr() == ("", "")


def test_probe_measures_the_rate_on_the_media_clock(video: Path) -> None:
    source = Recording(video)
    status = probe(source, seconds=1.0)
    source.close()
    assert (status.width, status.height) == (160, 120)
    assert status.rate == pytest.approx(25.0, rel=0.01)


def test_a_real_clip_gives_as_many_frames_as_opencv_reads() -> None:
    clip = "it_autostrada_tunnelligure.mp4"
    path = SHARED / "clips" / clip
    if not path.exists():
        pytest.skip(f"needs the shared clip {clip} (EDGE_APP_SHARED names its folder)")
    plain = cv2.VideoCapture(str(path))
    frames = read_all(Recording(path))
    count = 0
    while plain.grab():
        count += 1
    assert len(frames) == count


@pytest.mark.parametrize("url", ["rtsp://admin:tops3cret@192.0.2.1/ch1", "http://192.0.2.1/admin/tops3cret"])
def test_a_stream_given_as_a_file_is_told_without_its_password(url: str) -> None:
    with pytest.raises(SourceError, match=r"is a stream, not a file: give it as source.url") as caught:
        Recording(Path(url))
    assert "tops3cret" not in str(caught.value)


# --- what recorders and converters make of a recording


@needs_ffmpeg
@pytest.mark.parametrize(
    ("codec", "name"),
    [
        (("libx264", "-x264-params", "tff=1"), "field.mp4"),
        (("libx264", "-x264-params", "bff=1"), "field.mkv"),
        (("mpeg2video", "-flags", "+ilme+ildct"), "field.ts"),
        (("mpeg2video", "-flags", "+ilme+ildct"), "field.mpg"),
        (("mpeg4", "-flags", "+ilme+ildct"), "field.avi"),
    ],
)
def test_an_interlaced_stream_gives_its_pictures(
    video: Path, tmp_path: Path, codec: tuple[str, ...], name: str
) -> None:
    interlaced = ffmpeg(video, "-vf", "setfield=tff", "-c:v", *codec, "-q:v", "3", to=tmp_path / name)
    source = Recording(interlaced)
    frames = read_all(source)
    assert [number_of(frame.image) for frame in frames][-49:] == list(range(1, 50))
    assert source.status.detail == ""


def test_pictures_that_are_all_the_same_are_reported(tmp_path: Path) -> None:
    source = Recording(write_video(tmp_path / "still.avi", [7] * 50, codec="MJPG"))
    assert len(read_all(source)) == 50
    assert "All pictures" in source.status.detail
    assert "yadif" in source.status.detail


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "codec"),
    [("raw.h264", "libx264"), ("raw.h265", "libx265"), ("raw.mjpeg", "mjpeg"), ("raw.m2v", "mpeg2video")],
)
def test_a_raw_stream_is_told_to_hold_no_times_unless_its_rate_is_given(
    video: Path, tmp_path: Path, name: str, codec: str
) -> None:
    log = ("-x265-params", "log-level=none") if codec == "libx265" else ()
    raw = ffmpeg(video, "-c:v", codec, *log, "-bf", "0", to=tmp_path / name)
    source = Recording(raw)
    assert len(read_all(source)) == 50
    if not name.endswith(".m2v"):  # some versions of FFmpeg take the time code of MPEG-2
        assert "holds no times" in source.status.detail
    source = Recording(raw, fps=10.0)
    frames = read_all(source)
    assert [frame.monotonic for frame in frames] == pytest.approx([i / 10 for i in range(50)])
    assert (source.rate, source.status.detail) == (10.0, "")


@pytest.mark.parametrize(("rate", "told"), [(600.0, True), (121.0, True), (60.0, False), (5.0, False), (0.5, True)])
def test_an_absurd_rate_of_the_header_is_reported(tmp_path: Path, rate: float, told: bool) -> None:
    source = Recording(write_video(tmp_path / "rate.avi", range(30), rate=rate, codec="MJPG"))
    read_all(source)
    assert ("--fps" in source.status.detail) is told
    given = Recording(tmp_path / "rate.avi", fps=25.0)
    frames = read_all(given)
    assert frames[-1].monotonic == pytest.approx(29 / 25)
    assert given.status.detail == ""


@needs_ffmpeg
@pytest.mark.parametrize("leap_s", [30_000.0, -5_000.0])
def test_a_leap_of_the_clock_loses_no_frame_and_is_told(video: Path, tmp_path: Path, leap_s: float) -> None:
    begins = 10_000.0, 10_002.0 + leap_s
    parts = [
        ffmpeg(video, "-c:v", "mpeg2video", "-output_ts_offset", str(at), to=tmp_path / f"{at}.ts") for at in begins
    ]
    whole = tmp_path / "leap.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    source = Recording(whole)
    frames = read_all(source)
    assert len(frames) == 100
    assert frames[-1].monotonic == pytest.approx(99 / 25, abs=0.1)
    around = leap_s + 2**33 / 90_000  # the clock of a transport stream begins anew after 26.5 h
    assert any(f"leaps by {leap:+.0f} s" in source.status.detail for leap in (leap_s, around))
    assert "breaks off" not in source.status.detail


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_a_picture_with_the_name_of_a_video_is_explained(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture{suffix}"
    cv2.imwrite(str(path), np.zeros((120, 160, 3), np.uint8))
    error = error_of(path.rename(tmp_path / "road.mp4"))
    assert "is a picture, not a video" in error or "is no video" in error


@needs_ffmpeg
def test_a_codec_that_this_build_lacks_is_named_with_a_remedy(video: Path, tmp_path: Path) -> None:
    av1 = ffmpeg(video, "-frames:v", "5", "-c:v", "libaom-av1", "-cpu-used", "8", to=tmp_path / "av1.mp4")
    if cv2.getBuildInformation().find("dav1d") >= 0:
        pytest.skip("this build of OpenCV decodes AV1")
    error = error_of(av1)
    assert "is AV1, which this build of OpenCV" in error
    assert f"ffmpeg -i {av1} " in error


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"\xff\xfe.mp4", b"road.\xe9", "straße \u202e.mp4".encode()])
def test_a_name_that_is_no_utf8_is_opened(video: Path, tmp_path: Path, name: bytes) -> None:
    path = cut_off(video, 1.0, Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name))))  # noqa: PTH118  # bytes
    assert len(read_all(Recording(path, loop=False))) == 50
    folder = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"d\xe9")))  # noqa: PTH118  # bytes
    folder.mkdir()
    assert len(read_all(Recording(path.rename(folder / "road.mp4")))) == 50
