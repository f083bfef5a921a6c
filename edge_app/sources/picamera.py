"""Read a Raspberry Pi camera with two streams of the same exposure. Only this source file uses picamera2.

The main stream is for people (preview/main_stream.py), the small one for inference: the camera's own processor
scales both. The library comes from the system (apt: python3-picamera2) and is loaded when a camera is opened. Every
call exists in picamera2 0.3.38.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import TimeoutError as JobTimeoutError
from typing import Any, Final, TypeAlias

import cv2
import numpy as np

from edge_app.errors import SourceError
from edge_app.records import Image
from edge_app.sources.live import RETRY_S, LiveSource
from edge_app.sources.rotation import rotated

log = logging.getLogger(__name__)

Watcher: TypeAlias = Callable[[Callable[[], Image]], None]
"""Function called for each picture. Its argument returns the picture of the main stream, uint8 (H, W, 3) BGR, and may
be called only before the watcher returns; nothing is copied when it is not called."""

INFERENCE_WIDTH: Final = 512
"""Width of the default detector's input, px. It is a multiple of 128, to which picamera2 aligns rows of YUV420, so that
no row is padded."""


class Capture:
    """Running camera, used by one thread.

    main, small: width and height of the two streams, px. controls: by libcamera's names; one that this camera does not
    have is left out and logged, as a camera of fixed focus has no autofocus that could be switched off.
    """

    def __init__(
        self,
        number: int,
        *,
        main: tuple[int, int],
        small: tuple[int, int],
        controls: dict[str, float],
        rotation: int,
        read_timeout_s: float,
        watcher: Watcher | None,
    ) -> None:
        self._rotation, self._timeout_s, self._watcher = rotation, read_timeout_s, watcher
        self._request: Any = None
        self._name = f"Raspberry Pi camera {number}"
        library = _library()
        if number not in [info["Num"] for info in library.global_camera_info()]:
            raise SourceError(f"{self._name} is not there: see `rpicam-hello --list-cameras`, and check its cable.")
        try:
            self._camera = library(number)
        except (RuntimeError, IndexError) as error:
            raise SourceError(f"{self._name} cannot be opened ({error}): does another program use it?") from error
        try:
            self._start(main, small, controls)
        except RuntimeError as error:
            self.close()
            raise SourceError(f"{self._name} does not start with these settings: {error}.") from error

    def _start(self, main: tuple[int, int], small: tuple[int, int], controls: dict[str, float]) -> None:
        rate = {name: value for name, value in controls.items() if name == "FrameRate"}
        config = self._camera.create_video_configuration(
            main={"size": main, "format": "RGB888"},  # in memory B, G, R
            lores={"size": small, "format": "YUV420"},  # a Pi 4 has no other format here
            controls=rate,
            display=None,
            encode=None,
            buffer_count=4,
        )
        self._camera.configure(config)
        self._small = self._camera.stream_configuration("lores")["size"]
        known = {name: value for name, value in controls.items() if name in self._camera.camera_controls}
        if missing := sorted(controls.keys() - known.keys() - {"FrameRate"}):
            log.info("%s has no %s", self._name, ", ".join(missing))
        self._camera.set_controls(known)
        self._camera.start()

    def grab(self) -> bool:
        """Wait for the next picture; return False when none came in time: the cable is loose, or the camera hangs."""
        self._release()
        job = self._camera.capture_request(wait=False)
        try:
            self._request = job.get_result(timeout=self._timeout_s)
        except (JobTimeoutError, TimeoutError):
            self._camera.cancel_all_and_flush()
            return False
        if self._watcher is not None:
            request = self._request
            self._watcher(lambda: rotated(request.make_array("main"), self._rotation))
        return True

    def retrieve(self) -> Image | None:
        """Return the picture for inference, uint8 (H, W, 3) BGR, rotated."""
        planes = self._request.make_array("lores")
        width, height = self._small
        # Rows may be padded, and the colour planes have half the stride: the padding is cut after the conversion.
        bgr = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420)
        self._release()
        return rotated(np.ascontiguousarray(bgr[:height, :width]).astype(np.uint8, copy=False), self._rotation)

    @property
    def stamp(self) -> float | None:
        """Time at which the sensor took the picture, s since the board was started; None where it does not tell."""
        taken = self._request.get_metadata().get("SensorTimestamp")
        return None if taken is None else taken / 1e9

    def close(self) -> None:
        self._release()
        try:
            self._camera.close()
        except RuntimeError as error:
            log.warning("%s could not be closed: %s", self._name, error)

    def _release(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.release()


def camera(
    device: int | str = 0,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    exposure_us: int | None = None,
    gain: float | None = None,
    focus: float = 0.0,
    flicker_hz: int = 0,
    rotation: int = 0,
    fps_limit: float | None = None,
    frozen_s: float = 10.0,
    read_timeout_s: float = 3.0,
    retry_s: tuple[float, float] = RETRY_S,
    watcher: Watcher | None = None,
) -> LiveSource:
    """Open a Raspberry Pi camera by its number, in the background, and again after every fault.

    width, height: of the main stream, px; frames for counting are INFERENCE_WIDTH wide, with the same aspect ratio.
    fps: frames/s, default 30. exposure_us, gain: fixed; None is automatic. focus: 1/m, fixed; autofocus is switched
    off. flicker_hz: frequency of the mains, 50 or 60; 0 leaves the camera's setting. rotation: degrees clockwise.
    fps_limit, frozen_s, retry_s: see `LiveSource`. watcher: see `Watcher`.
    Raises SourceError: when `device` is not a number.
    """
    if not str(device).isdecimal():
        raise SourceError(f'source.device: a Raspberry Pi camera has a number, such as "0", not "{device}".')
    main = ((width or 1280) // 2 * 2, (height or 720) // 2 * 2)
    small_width = min(INFERENCE_WIDTH, main[0])
    small = (small_width, round(main[1] * small_width / main[0] / 2) * 2)
    controls = _controls(fps or 30.0, exposure_us, gain, focus, flicker_hz)
    return LiveSource(
        lambda _failures: Capture(
            int(device),
            main=main,
            small=small,
            controls=controls,
            rotation=rotation,
            read_timeout_s=read_timeout_s,
            watcher=watcher,
        ),
        name=f"Raspberry Pi camera {device}",
        fps_limit=fps_limit,
        frozen_s=frozen_s,
        retry_s=retry_s,
    )


def _controls(
    fps: float, exposure_us: int | None, gain: float | None, focus: float, flicker_hz: int
) -> dict[str, float]:
    """Return the settings as libcamera's controls, with enumerations as numbers."""
    controls: dict[str, float] = {"FrameRate": fps, "AfMode": 0, "LensPosition": focus}  # 0: AfModeManual
    if exposure_us is not None:
        controls["ExposureTime"] = exposure_us
    if gain is not None:
        controls["AnalogueGain"] = gain
    if flicker_hz:
        controls |= {"AeFlickerMode": 1, "AeFlickerPeriod": round(1e6 / (2 * flicker_hz))}  # 1: FlickerManual; us
    return controls


def _library() -> Any:
    try:
        from picamera2 import Picamera2  # type: ignore[import-not-found]  # only on a Raspberry Pi
    except ImportError as error:
        raise SourceError(
            'source.kind "picamera" needs picamera2 on a Raspberry Pi: apt install python3-picamera2, and a venv with '
            "--system-site-packages."
        ) from error
    return Picamera2


def present() -> list[tuple[int, str]]:
    """Return number and name of each camera on a ribbon cable; none where picamera2 is missing or finds none."""
    try:
        infos = _library().global_camera_info()
    except (SourceError, RuntimeError, OSError):
        return []
    return [(int(info["Num"]), str(info["Model"])) for info in infos if "/usb@" not in str(info.get("Id", ""))]
