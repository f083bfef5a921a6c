"""The Raspberry Pi camera against a stand-in that refuses what picamera2 refuses."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from types import ModuleType

import pytest

from edge_app.errors import SourceError
from edge_app.records import Frame, Image
from edge_app.sources import Source, open_source
from edge_app.sources.picamera import Capture
from tests.support.picamera2_stand_in import ADVERTISED, Picamera2


@pytest.fixture(autouse=True)
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    for name, value in {"opened": [], "cameras": 1, "busy": False, "hanging": False, "pad": 0}.items():
        monkeypatch.setattr(Picamera2, name, value)
    yield
    assert not any(camera.is_open for camera in Picamera2.opened)


def opened(**options: object) -> Source:
    return open_source("picamera", retry_s=(0.02, 0.05), read_timeout_s=0.2, **options)


def frames_of(source: Source, count: int) -> list[Frame]:
    deadline, frames = time.monotonic() + 5, list[Frame]()
    while len(frames) < count:
        assert time.monotonic() < deadline, source.status
        frame = source.read(0.1)
        frames += [frame] if frame else []
    return frames


def fault(source: Source) -> str:
    deadline = time.monotonic() + 5
    while source.status.state != "lost":
        assert time.monotonic() < deadline, source.status
        time.sleep(0.005)
    return source.status.detail


@pytest.mark.parametrize("pad", [0, 64])
def test_frames_have_the_size_for_inference_and_every_buffer_is_given_back(
    pad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picamera2, "pad", pad)
    with closing(opened(width=1920, height=1080)) as source:
        frames = frames_of(source, 12)  # three times the number of buffers
    assert frames[0].size == (512, 288)
    assert Picamera2.opened[0].stream_configuration("main")["size"] == (1920, 1080)
    assert frames[-1].image.std() < 1  # grey everywhere, padding cut off
    assert Picamera2.opened[0].free == 4


def test_settings_reach_the_camera() -> None:
    with closing(opened(fps=20.0, exposure_us=4000, gain=2.0, focus=0.5, flicker_hz=50)) as source:
        frames_of(source, 1)
    assert Picamera2.opened[0].controls == {
        "FrameDurationLimits": (50000, 50000),
        "ExposureTime": 4000,
        "AnalogueGain": 2.0,
        "AfMode": 0,
        "LensPosition": 0.5,
        "AeFlickerMode": 1,
        "AeFlickerPeriod": 10000,
    }


def test_a_camera_of_fixed_focus_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = {name: value for name, value in ADVERTISED.items() if name not in ("AfMode", "LensPosition")}
    monkeypatch.setattr(Picamera2, "advertised", fixed)
    with closing(opened()) as source:
        assert frames_of(source, 2)
    assert "AfMode" not in Picamera2.opened[0].controls


def test_a_small_camera_is_not_enlarged_and_a_picture_is_turned() -> None:
    with closing(opened(width=320, height=240, rotation=90)) as source:
        assert frames_of(source, 1)[0].size == (240, 320)


def test_somebody_who_watches_is_given_the_main_stream() -> None:
    seen: list[Image] = []
    with closing(opened(width=640, height=360, watcher=lambda picture: seen.append(picture()))) as source:
        frames_of(source, 2)
    assert seen[0].shape == (360, 640, 3)
    assert tuple(seen[0][0, 0, :2]) == (10, 20)


def test_a_camera_that_hangs_is_closed_and_opened_again() -> None:
    with closing(opened()) as source:
        frames_of(source, 2)
        Picamera2.hanging = True
        assert "stopped sending" in fault(source)
        Picamera2.hanging = False
        time.sleep(0.3)
        assert frames_of(source, 2)
        assert source.status.reconnects >= 1


@pytest.mark.parametrize(
    ("name", "value", "sentence"), [("cameras", 0, "not there"), ("busy", True, "another program")]
)
def test_what_is_wrong_is_said_in_words(
    name: str, value: object, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picamera2, name, value)
    with closing(opened()) as source:
        assert sentence in fault(source)


def test_settings_that_the_camera_refuses_close_it() -> None:
    with pytest.raises(SourceError, match="may not exceed main"):
        Capture(0, main=(320, 240), small=(512, 288), controls={}, rotation=0, read_timeout_s=0.2, watcher=None)


def test_without_the_library_it_is_said_where_it_comes_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with closing(opened()) as source:
        assert "python3-picamera2" in fault(source)


def test_a_device_that_is_no_number() -> None:
    with pytest.raises(SourceError, match="has a number"):
        opened(device="/dev/media0")
