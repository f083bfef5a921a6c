# ruff: noqa: ARG002  # the signatures are the published ones, with arguments that are not used here
"""Stand-in for picamera2 0.3.38, which can be imported only on a Raspberry Pi.

It has the calls that the program uses, with their signatures and defaults, the refusals of check_camera_config and
Controls, a limited number of buffers, and the stride.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any

import numpy as np

ADVERTISED = {
    "FrameDurationLimits": (33333, 120000, 33333),
    "ExposureTime": (0, 66666, 20000),
    "AnalogueGain": (1.0, 16.0, 1.0),
    "AfMode": (0, 2, 0),
    "LensPosition": (0.0, 32.0, 1.0),
    "AeFlickerMode": (0, 1, 0),
    "AeFlickerPeriod": (100, 1000000, None),
}
"""Controls of a Camera Module 3: name -> smallest, largest, default."""


class Picamera2:
    """Camera whose class attributes a test sets.

    cameras: number of cameras. busy: opening fails. hanging: no picture comes. opened: every camera opened so far.
    pad: bytes added to each row of the small stream.
    """

    cameras = 1
    advertised = ADVERTISED
    busy = False
    hanging = False
    opened: list[Picamera2] = []  # noqa: RUF012  # read by the tests
    pad = 0

    def __init__(self, camera_num: int = 0, verbose_console: object = None, tuning: object = None) -> None:
        if Picamera2.busy:
            raise RuntimeError("Camera __init__ sequence did not complete.")
        self.started, self.is_open = False, True
        self.camera_config: dict[str, Any] = {}
        self.controls: dict[str, Any] = {}
        self.free, self.number = 0, 0
        self.lock = threading.Lock()
        Picamera2.opened.append(self)

    @staticmethod
    def global_camera_info() -> list[dict[str, Any]]:
        return [
            {"Model": "imx708", "Location": 2, "Rotation": 180, "Id": "/base/x", "Num": n}
            for n in range(Picamera2.cameras)
        ]

    @property
    def camera_controls(self) -> dict[str, tuple[Any, Any, Any]]:
        return dict(self.advertised)

    def create_video_configuration(
        self,
        main: Any = {},  # noqa: B006  # as published
        lores: Any = None,
        raw: Any = {},  # noqa: B006
        transform: Any = None,
        colour_space: Any = None,
        buffer_count: int = 6,
        controls: Any = {},  # noqa: B006
        display: str | None = "main",
        encode: str | None = "main",
        queue: bool = True,
    ) -> dict[str, Any]:
        main = {"format": "XBGR8888", "size": (1280, 720)} | main
        lores = None if lores is None else {"format": "YUV420", "size": main["size"]} | lores
        for stream in filter(None, (main, lores)):
            stream["size"] = (stream["size"][0] - stream["size"][0] % 2, stream["size"][1] - stream["size"][1] % 2)
        controls = {"FrameDurationLimits": (33333, 33333)} | controls
        return {"main": main, "lores": lores, "buffer_count": buffer_count, "controls": controls}

    def configure(self, camera_config: dict[str, Any]) -> None:
        if self.started:
            raise RuntimeError("Camera must be stopped before configuring")
        for name in ("main", "lores"):
            stream = camera_config[name]
            if stream["format"] not in ("RGB888", "BGR888", "XBGR8888", "YUV420"):
                raise RuntimeError("Bad format " + stream["format"] + " in stream " + name)
            if type(stream["size"]) is not tuple or any(side % 2 for side in stream["size"]):
                raise RuntimeError("width and height should be even")
        main, lores = camera_config["main"], camera_config["lores"]
        if lores["size"][0] > main["size"][0] or lores["size"][1] > main["size"][1]:
            raise RuntimeError("lores stream dimensions may not exceed main stream")
        if lores["format"] != "YUV420":
            raise RuntimeError("lores stream must be YUV")
        lores["stride"] = lores["size"][0] + self.pad
        self.camera_config, self.free = camera_config, camera_config["buffer_count"]
        self.set_controls(camera_config["controls"])

    def stream_configuration(self, name: str = "main") -> dict[str, Any]:
        stream: dict[str, Any] = self.camera_config[name]
        return stream

    def set_controls(self, controls: dict[str, Any]) -> None:
        for name, value in controls.items():
            if name == "FrameRate":
                name, value = "FrameDurationLimits", (int(1e6 / value),) * 2
            if name not in self.advertised:
                raise RuntimeError(f"Control {name} is not advertised by libcamera")
            self.controls[name] = value

    def start(self, config: Any = None, show_preview: bool = False) -> None:
        if not self.camera_config:
            raise RuntimeError("Camera has not been configured")
        self.started = True

    def capture_request(self, wait: bool | None = None, signal_function: Any = None, flush: Any = None) -> Job:
        assert wait is False, "this stand-in supports only jobs"
        return Job(self)

    def cancel_all_and_flush(self) -> None:
        pass

    def close(self) -> None:
        self.started = self.is_open = False


class Job:
    """Request that is done at once, or never when the camera hangs or has no free buffer."""

    def __init__(self, camera: Picamera2) -> None:
        self._future: Future[Request] = Future()
        if camera.started and camera.free > 0 and not Picamera2.hanging:
            camera.free -= 1
            camera.number += 1
            time.sleep(0.005)
            self._future.set_result(Request(camera))

    def get_result(self, timeout: float | None = None) -> Request:
        return self._future.result(timeout=timeout)


class Request:
    """Picture in a buffer; one that is not released is missing afterwards, as on the device."""

    def __init__(self, camera: Picamera2) -> None:
        self._camera, self._count, self._number = camera, 1, camera.number

    def make_array(self, name: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
        assert self._count > 0, "the buffer has been released"
        config = self._camera.camera_config[name]
        width, height = config["size"]
        if name == "main":
            return np.full((height, width, 3), (10, 20, self._number % 200), np.uint8)
        planes = np.full((height * 3 // 2, config["stride"]), 128, np.uint8)
        planes[:height, :width] = 40 + self._number % 150
        return planes

    def get_metadata(self) -> dict[str, Any]:
        return {"SensorTimestamp": time.monotonic_ns()}

    def release(self) -> None:
        self._count -= 1
        if self._count < 0:
            raise RuntimeError("CompletedRequest: lock now has negative ref_count")
        self._camera.free += 1
