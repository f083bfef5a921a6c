"""Pipelines through real GStreamer."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_app.errors import SourceError
from edge_app.records import Frame
from edge_app.sources import Source, SourceStatus, gstreamer, open_source
from edge_app.sources.gstreamer import PRESETS, describe
from tests.support import rtsp_server
from tests.support.rtsp_server import RtspServer
from tests.support.videos import number_of, write_video

try:
    import gi

    gi.require_version("GstApp", "1.0")
except (ImportError, ValueError):
    pytest.skip("needs gi and GStreamer (apt install python3-gi gir1.2-gst-plugins-base-1.0)", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore:DynamicImporter")  # Debian's gi on Python 3.11
BALL = "videotestsrc is-live=true pattern=ball ! video/x-raw,width={width},height={height},framerate=25/1"


@contextmanager
def pipeline(text: str, **options: object) -> Iterator[Source]:
    quick = {"open_timeout_s": 3.0, "read_timeout_s": 0.6, "retry_s": (0.1, 0.3)}
    with closing(open_source("gstreamer", pipeline=text, **{**quick, **options})) as source:
        yield source


def frames_of(source: Source, count: int, within: float = 8.0) -> list[Frame]:
    deadline = time.monotonic() + within
    frames: list[Frame] = []
    while len(frames) < count:
        assert time.monotonic() < deadline, source.status
        frame = source.read(0.2)
        frames += [frame] if frame else []
    return frames


def lost(source: Source, wanted: Callable[[SourceStatus], bool] = lambda status: status.state == "lost") -> str:
    deadline = time.monotonic() + 8
    while not wanted(source.status):
        assert time.monotonic() < deadline, source.status
        source.read(0.05)
    return source.status.detail


@pytest.mark.parametrize("size", [(320, 240), (322, 180), (321, 181)], ids=str)
def test_frames_of_any_width_arrive_whole(size: tuple[int, int]) -> None:
    red = "videotestsrc is-live=true pattern=solid-color foreground-color=0xffff0000 ! "
    red += "video/x-raw,width={width},height={height}"
    with pipeline(red, width=size[0], height=size[1]) as source:
        frame = frames_of(source, 1)[0]
    assert frame.size == size
    assert np.abs(frame.image.astype(int) - (0, 0, 255)).max() < 12


def test_a_picture_is_turned() -> None:
    with pipeline(BALL, width=320, height=240, rotation=90) as source:
        assert frames_of(source, 2)[0].size == (240, 320)


def test_a_file_is_decoded_and_opened_again_at_its_end(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.avi", range(30), codec="MJPG")
    with pipeline(f"filesrc location={video} ! decodebin") as source:
        assert number_of(frames_of(source, 1)[0].image) in range(30)
        assert "come to its end" in lost(source)
        assert frames_of(source, 1)
        assert source.status.reconnects >= 1


def test_an_end_that_the_bus_tells_too_late_is_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen on a busy machine: it was told as a pipeline that stopped sending pictures."""
    monkeypatch.setattr(gstreamer.Capture, "_failed", lambda _capture: False)
    with pipeline(f"filesrc location={write_video(tmp_path / 'v.avi', range(3), codec='MJPG')} ! decodebin") as source:
        assert "come to its end" in lost(source)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("videotestsrc ! nosuchelement", "nosuchelement"),
        ("videotestsrc !! fakesink", "cannot be built"),
        ("filesrc location=/nowhere/road.mp4 ! decodebin", "No such file|not found|open"),
        ("", "cannot be built"),
    ],
)
def test_what_is_wrong_with_a_pipeline_is_said_in_one_sentence(text: str, sentence: str) -> None:
    with pipeline(text) as source:
        detail = lost(source)
        with pytest.raises(AssertionError):
            frames_of(source, 1, within=0.3)
    assert re.search(sentence, detail)
    assert "\n" not in detail


def test_presets_are_filled_in_and_an_address_is_asked_for() -> None:
    csi = describe("jetson-csi", device="1", width=1920, height=1080, fps=15.0)
    assert "sensor-id=1 " in csi
    assert "width=1920,height=1080,framerate=15/1" in csi
    assert 'location="rtsp://cam/a b" ' in describe("jetson-rtsp", url="rtsp://cam/a b")
    with pytest.raises(SourceError, match=r"source\.url"):
        describe("jetson-rtsp")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_off_a_jetson_says_which_element_is_missing(name: str) -> None:
    with pipeline(name, url="rtsp://127.0.0.1:9/x") as source:
        assert "nv" in lost(source)


needs_rtsp = pytest.mark.skipif(bool(rtsp_server.why_not()), reason=rtsp_server.why_not() or "-")
RTSP = "rtspsrc location={url} protocols=tcp latency=0 timeout=2000000 ! rtph264depay ! decodebin"


@needs_rtsp
def test_a_server_that_dies_freezes_and_returns_with_another_size() -> None:
    with RtspServer() as server, pipeline(RTSP, url=server.url) as source:
        assert frames_of(source, 3)[0].size == (320, 240)
        server.freeze()
        lost(source)
        server.close()
        with RtspServer(width=640, height=352, port=server.port):
            assert frames_of(source, 3, within=12)[-1].size == (640, 352)


@needs_rtsp
def test_a_wrong_password_is_told_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        RtspServer(login="viewer:secret") as server,
        pipeline(RTSP, url=server.url_as("viewer:wr0ng"), open_timeout_s=2.0) as source,
    ):
        detail = lost(source)
    assert "nauthorized" in detail or "not authorized" in detail.lower() or "login" in detail
    assert "wr0ng" not in detail + caplog.text


def test_it_is_closed_while_it_waits() -> None:
    with pipeline("videotestsrc is-live=true num-buffers=2", read_timeout_s=30.0) as source:
        source.read(1.0)
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 2.0
