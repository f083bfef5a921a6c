"""Test a camera of two streams: people see the larger one, at the very moment of the frame that was counted."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from edge_app.assembly.counter import build_source
from edge_app.commands.snapshot import from_source
from edge_app.config.model import Config, LineConfig, MqttConfig, StoreConfig
from edge_app.config.preview import PreviewConfig, PrivacyConfig
from edge_app.config.source import SourceConfig
from edge_app.mqtt.embedded_broker import HOST, embedded
from edge_app.preview import snapshot_socket
from edge_app.preview.main_stream import MainStream
from edge_app.records import Detections, Frame, FrameResult, Image, Tracks
from tests.support.picamera2_stand_in import Picamera2
from tests.support.ports import free_port
from tests.support.preview_cases import needs_gstreamer, rtsp_picture, running_service, wait_for

MASK = ((0.0, 0.0), (0.2, 0.3))


@pytest.fixture(autouse=True)
def picamera(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(Picamera2, "opened", [])
    yield
    assert not any(camera.is_open for camera in Picamera2.opened)
    assert all(camera.free == 4 for camera in Picamera2.opened), "every buffer must be given back"


def configured(**more: object) -> Config:
    return Config(
        source=SourceConfig(kind="picamera", device="0", width=1280, height=720, fps_limit=15.0),
        lines=(LineConfig(id="a", start=(0.5, 0.1), end=(0.5, 0.9)),),
        privacy=PrivacyConfig(masks=(MASK,)),
        **more,  # type: ignore[arg-type]  # whatever they are
    )


def frames(main: MainStream, config: Config, count: int) -> list[tuple[Frame, FrameResult]]:
    """Return frames of the camera, each with its result in the main stream."""
    found, deadline = list[tuple[Frame, FrameResult]](), time.monotonic() + 20
    with closing(build_source(config, main)) as source:
        while len(found) < count:
            assert time.monotonic() < deadline, source.status
            if (frame := source.read(0.5)) is not None:
                boxes = np.array([[100, 100, 200, 150]], np.float32)
                detections = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int16))
                found.append((frame, main.replace_picture(FrameResult(frame, detections, Tracks.empty()))))
    return found


def number(image: Image, small: bool) -> int:
    """Return a picture's number from its colour: grey of 40 + n in the small stream, red of n in the main stream."""
    red = int(image[-1, -1, 2])
    return round((red - (40 - 16) * 255 / 219) * 219 / 255) if small else red


def test_the_main_stream_has_the_same_moment_the_mask_and_the_boxes() -> None:
    main = MainStream((MASK,))
    main.request(60.0)
    for frame, result in frames(main, configured(), 8):
        assert (frame.size, result.frame.size) == ((512, 288), (1280, 720))
        assert abs(number(frame.image, small=True) - number(result.frame.image, small=False)) <= 1, "rounded colours"
        assert result.frame.image[:200, :240].max() == 0, "masked"
        assert result.detections.boxes.tolist() == [[250, 250, 500, 375]]
        assert result.frame.captured_at == frame.captured_at


def test_no_picture_is_copied_while_nobody_watches() -> None:
    main, now = MainStream(clock=lambda: 100.0), Frame(np.zeros((9, 16, 3), np.uint8), 0, 0.0, 100.0)
    copied: list[Image] = []

    def copy_picture() -> Image:
        copied.append(np.zeros((90, 160, 3), np.uint8))
        return copied[-1]

    for _ in range(5):
        main.offer(copy_picture)
    assert (len(copied), main.size) == (1, (160, 90)), "one, for its size"
    assert main.replace_picture(FrameResult(now, Detections.empty(), Tracks.empty())).frame is now
    main.request(1.0)
    main.offer(copy_picture)
    assert main.replace_picture(FrameResult(now, Detections.empty(), Tracks.empty())).frame.image is copied[1]


def test_a_lost_picture_is_not_replaced_by_one_of_another_moment() -> None:
    now = [0.0]
    main = MainStream(clock=lambda: now[0])
    main.request(1000.0)
    for now[0] in range(1, 31):
        main.offer(lambda: np.full((90, 160, 3), now[0], np.uint8))

    def level(monotonic: float) -> int:
        frame = Frame(np.zeros((9, 16, 3), np.uint8), 0, 0.0, monotonic)
        return int(main.replace_picture(FrameResult(frame, Detections.empty(), Tracks.empty())).frame.image[0, 0, 0])

    assert [level(at) for at in (5.5, 18.5, 19.5, 29.5, 30.5)] == [0, 0, 19, 29, 30]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the pictures for as long as a snapshot takes, also beside other tests on the same cores."""
    monkeypatch.setattr("edge_app.preview.main_stream._PICTURES", 100)
    monkeypatch.setattr("edge_app.commands.snapshot._OBSERVE_S", 4.0)


@pytest.mark.usefixtures("patient")
def test_a_snapshot_without_a_service_is_of_the_main_stream() -> None:
    picture = from_source(configured(), threading.Event(), annotated=False, width=3840)
    assert picture is not None
    assert picture.shape == (720, 1280, 3)
    assert tuple(picture[-1, -1, :2]) == (10, 20), "the main stream's colour"


@pytest.mark.long
@pytest.mark.usefixtures("patient")
def test_a_snapshot_of_a_busy_device_is_of_a_frame_whose_larger_picture_was_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, calls = MainStream.replace_picture, count()
    monkeypatch.setattr(
        MainStream, "replace_picture", lambda self, result: kept(self, result) if next(calls) else result
    )
    picture = from_source(configured(), threading.Event(), annotated=False, width=3840)
    assert picture is not None
    assert picture.shape == (720, 1280, 3)


@pytest.mark.long
@needs_gstreamer
def test_the_running_service_shows_the_main_stream_and_counts_in_the_small_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        config = configured(
            mqtt=MqttConfig(host=HOST, port=stack.enter_context(embedded())),
            store=StoreConfig(folder=tmp_path / "state"),
            preview=PreviewConfig(enabled=True, port=free_port()),
        )
        service = stack.enter_context(running_service(config))
        wait_for(lambda: service.frames >= 3, within=20)
        url = f"rtsp://127.0.0.1:{config.preview.port}/plain"

        def still() -> Image | None:
            jpeg = snapshot_socket.request_snapshot(config.store.folder, annotated=False) or b""
            found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
            return None if found is None else found.astype(np.uint8)

        # A busy machine may be without a frame of the main stream for a moment; then the small one is shown.
        wait_for(lambda: is_main(still()), within=20)
        wait_for(lambda: is_main(rtsp_picture(url)), within=30)
        assert service._source.status.width == 512


def is_main(shown: Image | None) -> bool:
    """Return whether a picture has the main stream's size and colour."""
    if shown is None or shown.shape != (720, 1280, 3):
        return False
    assert shown[10:200, 10:240].max() < 30, "masked"
    return bool(np.abs(shown[600, 1000, :2].astype(int) - (10, 20)).max() < 12)
