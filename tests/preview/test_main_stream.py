"""A camera of two streams: people are shown the large one, of the very moment in which the small one was looked at."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from edge_app.app import build_source, service
from edge_app.commands.snapshot import from_source
from edge_app.config.model import Config, LineConfig, MqttConfig, StoreConfig
from edge_app.config.preview import PreviewConfig, PrivacyConfig
from edge_app.config.source import SourceConfig
from edge_app.mqtt.embedded_broker import HOST, embedded
from edge_app.preview import snapshot_socket
from edge_app.preview.main_stream import MainStream
from edge_app.records import Detections, Frame, FrameResult, Image, Tracks
from edge_app.system.threads import Worker
from tests.preview.test_preview import needs_gstreamer, picture
from tests.support.brokers import free_port
from tests.support.picamera2_stand_in import Picamera2

MASK = ((0.0, 0.0), (0.2, 0.3))


@pytest.fixture(autouse=True)
def pi(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("picamera2")
    module.Picamera2 = Picamera2  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "picamera2", module)
    monkeypatch.setattr(Picamera2, "opened", [])
    yield
    assert not any(camera.is_open for camera in Picamera2.opened)
    assert all(camera.free == 4 for camera in Picamera2.opened), "every buffer was given back"


def configured(**more: object) -> Config:
    return Config(
        source=SourceConfig(kind="picamera", device="0", width=1280, height=720, fps_limit=15.0),
        lines=(LineConfig(id="a", start=(0.5, 0.1), end=(0.5, 0.9)),),
        privacy=PrivacyConfig(masks=(MASK,)),
        **more,  # type: ignore[arg-type]  # whatever they are
    )


def looks(main: MainStream, config: Config, count: int) -> list[tuple[Frame, FrameResult]]:
    made, deadline = list[tuple[Frame, FrameResult]](), time.monotonic() + 20
    with closing(build_source(config, main)) as source:
        while len(made) < count:
            assert time.monotonic() < deadline, source.status
            if (frame := source.read(0.5)) is not None:
                boxes = np.array([[100, 100, 200, 150]], np.float32)
                found = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int16))
                made.append((frame, main.sharpened(FrameResult(frame, found, Tracks.empty()))))
    return made


def number(image: Image, small: bool) -> int:
    """Which picture of the stand-in this is, from its colour: grey of 40 + n in the small one, red of n in the main."""
    red = int(image[-1, -1, 2])
    return round((red - (40 - 16) * 255 / 219) * 219 / 255) if small else red


def test_the_main_stream_is_of_the_same_moment_masked_with_the_boxes_in_its_pixels() -> None:
    main = MainStream((MASK,))
    main.want(60.0)
    for frame, scene in looks(main, configured(), 8):
        assert (frame.size, scene.frame.size) == ((512, 288), (1280, 720))
        assert abs(number(frame.image, small=True) - number(scene.frame.image, small=False)) <= 1, "rounded colours"
        assert scene.frame.image[:200, :240].max() == 0, "masked"
        assert scene.detections.boxes.tolist() == [[250, 250, 500, 375]]
        assert scene.frame.captured_at == frame.captured_at


def test_nothing_is_copied_while_nobody_looks() -> None:
    main, now = MainStream(clock=lambda: 100.0), Frame(np.zeros((9, 16, 3), np.uint8), 0, 0.0, 100.0)
    copied: list[Image] = []

    def made() -> Image:
        copied.append(np.zeros((90, 160, 3), np.uint8))
        return copied[-1]

    for _ in range(5):
        main.watch(made)
    assert (len(copied), main.size) == (1, (160, 90)), "one, to know its size"
    assert main.sharpened(FrameResult(now, Detections.empty(), Tracks.empty())).frame is now
    main.want(1.0)
    main.watch(made)
    assert main.sharpened(FrameResult(now, Detections.empty(), Tracks.empty())).frame.image is copied[1]


def test_a_picture_that_is_gone_is_not_replaced_by_another_moments() -> None:
    at = [0.0]
    main = MainStream(clock=lambda: at[0])
    main.want(1000.0)
    for at[0] in range(1, 31):
        main.watch(lambda: np.full((90, 160, 3), at[0], np.uint8))

    def seen(moment: float) -> int:
        frame = Frame(np.zeros((9, 16, 3), np.uint8), 0, 0.0, moment)
        return int(main.sharpened(FrameResult(frame, Detections.empty(), Tracks.empty())).frame.image[0, 0, 0])

    assert [seen(moment) for moment in (5.5, 18.5, 19.5, 29.5, 30.5)] == [0, 0, 19, 29, 30]


def test_a_snapshot_without_a_service_is_of_the_main_stream() -> None:
    made = from_source(configured(), threading.Event(), annotated=False, width=3840)
    assert made is not None
    assert made.shape == (720, 1280, 3)
    assert tuple(made[-1, -1, :2]) == (10, 20), "the main stream's colour"


@needs_gstreamer
def test_the_running_service_shows_the_main_stream_and_counts_in_the_small_one(tmp_path: Path) -> None:
    with ExitStack() as stack:
        config = configured(
            mqtt=MqttConfig(host=HOST, port=stack.enter_context(embedded())),
            store=StoreConfig(folder=tmp_path / "state"),
            preview=PreviewConfig(enabled=True, port=free_port()),
        )
        built, stop = stack.enter_context(service(config)), threading.Event()
        worker = Worker("service", lambda _: built.run(stop), lambda _, fault: logging.critical("%s", fault))
        worker.start()
        try:
            deadline = time.monotonic() + 20
            while built.frames < 3:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            still = cv2.imdecode(
                np.frombuffer(snapshot_socket.ask(config.store.folder, annotated=False) or b"", np.uint8), 1
            )
            live = picture(f"rtsp://127.0.0.1:{config.preview.port}/plain")
            assert built._source.status.width == 512
        finally:
            stop.set()
            assert worker.join(20)
    assert still is not None
    for shown in (still, live):
        assert shown.shape == (720, 1280, 3)
        assert np.abs(shown[600, 1000, :2].astype(int) - (10, 20)).max() < 12, "the main stream's colour"
        assert shown[10:200, 10:240].max() < 30, "masked"
