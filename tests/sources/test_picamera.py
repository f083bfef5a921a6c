"""Raspberry Pi camera on a stand-in that refuses the same calls as picamera2."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from types import ModuleType

import pytest

from edge_app.errors import SourceError
from edge_app.records import Image
from edge_app.sources import Source, open_source
from edge_app.sources.picamera import Capture
from tests.support.picamera2_stand_in import ADVERTISED, Picamera2
from tests.support.reading import read_frames, wait_until_lost


@pytest.fixture(autouse=True)
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    for name, value in {"opened": [], "cameras": 1, "busy": False, "hanging": False, "pad": 0}.items():
        monkeypatch.setattr(Picamera2, name, value)
    yield
    assert not any(camera.is_open for camera in Picamera2.opened)


def open_camera(**options: object) -> Source:
    return open_source("picamera", retry_s=(0.02, 0.05), read_timeout_s=0.2, **options)


@pytest.mark.parametrize("pad", [0, 64])
def test_frames_have_the_size_for_inference_and_every_buffer_is_released(
    pad: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Picamera2, "pad", pad)
    with closing(open_camera(width=1920, height=1080)) as source:
        frames = read_frames(source, 12)  # three times the number of buffers
    assert frames[0].size == (512, 288)
    assert Picamera2.opened[0].stream_configuration("main")["size"] == (1920, 1080)
    assert frames[-1].image.std() < 1  # grey everywhere: the padding is cut off
    assert Picamera2.opened[0].free == 4


def test_settings_reach_the_camera() -> None:
    with closing(open_camera(fps=20.0, exposure_us=4000, gain=2.0, focus=0.5, flicker_hz=50)) as source:
        read_frames(source, 1)
    assert Picamera2.opened[0].controls == {
        "FrameDurationLimits": (50000, 50000),
        "ExposureTime": 4000,
        "AnalogueGain": 2.0,
        "AfMode": 0,
        "LensPosition": 0.5,
        "AeFlickerMode": 1,
        "AeFlickerPeriod": 10000,
    }


def test_a_camera_of_fixed_focus_gets_no_focus_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = {name: value for name, value in ADVERTISED.items() if name not in ("AfMode", "LensPosition")}
    monkeypatch.setattr(Picamera2, "advertised", fixed)
    with closing(open_camera()) as source:
        assert read_frames(source, 2)
    assert "AfMode" not in Picamera2.opened[0].controls


def test_small_pictures_are_not_enlarged_and_are_rotated() -> None:
    with closing(open_camera(width=320, height=240, rotation=90)) as source:
        assert read_frames(source, 1)[0].size == (240, 320)


def test_a_watcher_gets_pictures_of_the_main_stream() -> None:
    pictures: list[Image] = []
    with closing(open_camera(width=640, height=360, watcher=lambda picture: pictures.append(picture()))) as source:
        read_frames(source, 2)
    assert pictures[0].shape == (360, 640, 3)
    assert tuple(pictures[0][0, 0, :2]) == (10, 20)


def test_a_camera_that_hangs_is_closed_and_opened_again() -> None:
    with closing(open_camera()) as source:
        read_frames(source, 2)
        Picamera2.hanging = True
        assert "stopped sending" in wait_until_lost(source)
        Picamera2.hanging = False
        time.sleep(0.3)
        assert read_frames(source, 2)
        assert source.status.reconnects >= 1


@pytest.mark.parametrize(
    ("name", "value", "sentence"), [("cameras", 0, "not there"), ("busy", True, "another program")]
)
def test_a_fault_is_explained(name: str, value: object, sentence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Picamera2, name, value)
    with closing(open_camera()) as source:
        assert sentence in wait_until_lost(source)


def test_settings_that_the_camera_refuses_close_it() -> None:
    with pytest.raises(SourceError, match="may not exceed main"):
        Capture(0, main=(320, 240), small=(512, 288), controls={}, rotation=0, read_timeout_s=0.2, watcher=None)


def test_a_missing_library_is_explained_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picamera2", None)
    with closing(open_camera()) as source:
        assert "python3-picamera2" in wait_until_lost(source)


def test_a_device_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(SourceError, match="has a number"):
        open_camera(device="/dev/media0")
