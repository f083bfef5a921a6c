"""Pipelines of real GStreamer."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from edge_app.errors import SourceError
from edge_app.sources import Source, gstreamer, open_source
from edge_app.sources.gstreamer import PRESETS, launch_text
from tests.support.reading import needs_rtsp, read_frames, wait_until_lost
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


@pytest.mark.parametrize("size", [(320, 240), (322, 180), (321, 181)], ids=str)
def test_frames_of_any_width_are_complete(size: tuple[int, int]) -> None:
    red = "videotestsrc is-live=true pattern=solid-color foreground-color=0xffff0000 ! "
    red += "video/x-raw,width={width},height={height}"
    with pipeline(red, width=size[0], height=size[1]) as source:
        frame = read_frames(source, 1)[0]
    assert frame.size == size
    assert np.abs(frame.image.astype(int) - (0, 0, 255)).max() < 12


def test_pictures_are_rotated() -> None:
    with pipeline(BALL, width=320, height=240, rotation=90) as source:
        assert read_frames(source, 2)[0].size == (240, 320)


def test_a_file_is_decoded_and_opened_again_at_its_end(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.avi", range(30), codec="MJPG")
    with pipeline(f"filesrc location={video} ! decodebin") as source:
        assert number_of(read_frames(source, 1)[0].image) in range(30)
        assert "has ended" in wait_until_lost(source)
        assert read_frames(source, 1)
        assert source.status.reconnects >= 1


def test_an_end_is_recognised_before_the_bus_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine this was once reported as a pipeline that had stopped sending pictures."""
    monkeypatch.setattr(gstreamer.Capture, "_failed", lambda _capture: False)
    with pipeline(f"filesrc location={write_video(tmp_path / 'v.avi', range(3), codec='MJPG')} ! decodebin") as source:
        assert "has ended" in wait_until_lost(source)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("videotestsrc ! nosuchelement", "nosuchelement"),
        ("videotestsrc !! fakesink", "cannot be built"),
        ("filesrc location=/nowhere/road.mp4 ! decodebin", "No such file|not found|open"),
        ("", "cannot be built"),
    ],
)
def test_a_faulty_pipeline_is_explained_in_one_sentence(text: str, sentence: str) -> None:
    with pipeline(text) as source:
        detail = wait_until_lost(source)
        with pytest.raises(AssertionError):
            read_frames(source, 1, within=0.3)
    assert re.search(sentence, detail)
    assert "\n" not in detail


def test_presets_get_their_values_and_require_an_address() -> None:
    csi = launch_text("jetson-csi", device="1", width=1920, height=1080, fps=15.0)
    assert "sensor-id=1 " in csi
    assert "width=1920,height=1080,framerate=15/1" in csi
    assert 'location="rtsp://cam/a b" ' in launch_text("jetson-rtsp", url="rtsp://cam/a b")
    with pytest.raises(SourceError, match=r"source\.url"):
        launch_text("jetson-rtsp")


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_names_the_element_that_is_missing_off_a_jetson(name: str) -> None:
    with pipeline(name, url="rtsp://127.0.0.1:9/x") as source:
        assert "nv" in wait_until_lost(source)


RTSP = "rtspsrc location={url} protocols=tcp latency=0 timeout=2000000 ! rtph264depay ! decodebin"


@needs_rtsp
def test_a_server_may_freeze_die_and_return_with_another_size() -> None:
    with RtspServer() as server, pipeline(RTSP, url=server.url) as source:
        assert read_frames(source, 3)[0].size == (320, 240)
        server.freeze()
        wait_until_lost(source)
        server.close()
        with RtspServer(width=640, height=352, port=server.port):
            assert read_frames(source, 3, within=12)[-1].size == (640, 352)


@needs_rtsp
def test_a_wrong_password_is_reported_but_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        RtspServer(login="viewer:secret") as server,
        pipeline(RTSP, url=server.url_as("viewer:wr0ng"), open_timeout_s=2.0) as source,
    ):
        detail = wait_until_lost(source)
    assert "nauthorized" in detail or "not authorized" in detail.lower() or "login" in detail
    assert "wr0ng" not in detail + caplog.text


def test_close_ends_a_waiting_pipeline() -> None:
    with pipeline("videotestsrc is-live=true num-buffers=2", read_timeout_s=30.0) as source:
        source.read(1.0)
        began = time.monotonic()
        source.close()
        assert time.monotonic() - began < 2.0
