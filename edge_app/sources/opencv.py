"""The only source file that knows cv2.VideoCapture: opens files, V4L2 cameras and network streams."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

from edge_app.errors import SourceError
from edge_app.records import Image
from edge_app.sources.diagnosis import stream_address, why_no_camera, why_no_stream
from edge_app.sources.live import RETRY_S, Live
from edge_app.sources.rotation import rotated
from edge_app.system.redaction import redacted_url

# OpenCV and FFmpeg write to stderr on their own, addresses with passwords included. What went wrong is told by the
# errors raised here; who wants the noise sets the variable before the start.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
if hasattr(cv2, "setLogLevel"):  # OpenCV 4
    cv2.setLogLevel(0)  # silent
else:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_QUICK_LOOK_US = 500_000
_LARGE = 1920 * 1080
"""Pixels up to which one thread decodes a file faster than it is counted; several cost a third more of the cores."""
_opening = threading.Lock()


class Capture:
    """A cv2.VideoCapture from which the first picture has been grabbed already; used by one thread."""

    def __init__(self, capture: cv2.VideoCapture, rotation: int) -> None:
        self._capture = capture
        self._rotation = rotation
        self._first = True

    def grab(self) -> bool:
        """Takes the next picture without converting it; False at the end or when none came in time."""
        first, self._first = self._first, False
        return first or self._capture.grab()

    def retrieve(self) -> Image | None:
        """The picture that was grabbed, uint8 (H, W, 3) BGR, turned; None when it is broken."""
        ok, image = self._capture.retrieve()
        if not ok or image.ndim != 3:
            return None
        return rotated(image, self._rotation)  # type: ignore[arg-type]  # stubs lack uint8

    @property
    def stamp(self) -> float:
        """Container time of the picture that was grabbed, s."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0

    @property
    def rate(self) -> float:
        """Promised frames/s; may be any nonsense."""
        return self._capture.get(cv2.CAP_PROP_FPS)

    @property
    def promised(self) -> int:
        """Promised number of frames, 0 when unknown; containers lie about it."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return int(count) if math.isfinite(count) and count > 0 else 0

    def close(self) -> None:
        self._capture.release()


def open_file(path: Path, rotation: int = 0) -> Capture:
    """Opens a video file. Raises SourceError."""
    if not path.exists():
        raise SourceError(f"There is no video {path}: check the name and the folder.")
    if not path.is_file():
        raise SourceError(f"{path} is not a file: give the name of one video.")
    if not os.access(path, os.R_OK):
        raise SourceError(f"The video {path} may not be read by this user: check its permissions.")
    # An absolute path keeps FFmpeg from taking a colon in the name for a protocol.
    with _ffmpeg_options(""):
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
        if capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT) > _LARGE:
            capture.open(str(path.absolute()), cv2.CAP_FFMPEG)
    if not capture.isOpened():
        raise SourceError(f"{path} is no video, or one that was cut off before it was complete: try to play it.")
    if not capture.grab():
        raise SourceError(f"The video {path} holds no picture: try to play it, or record it again.")
    return Capture(capture, rotation)


def open_device(
    device: str, rotation: int = 0, *, width: int | None = None, height: int | None = None, fps: float | None = None
) -> Capture:
    """Opens a V4L2 camera; width, height and fps are wishes. Raises SourceError."""
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    # Over USB 2 raw pictures of 720p come at 10 frames/s; a camera without MJPEG ignores the wish.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    wishes = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FPS: fps}
    for name, value in wishes.items():
        if value:
            capture.set(name, value)
    if not capture.grab():
        capture.release()  # else the driver says that it is busy, with us
        raise SourceError(why_no_camera(device))
    return Capture(capture, rotation)


def open_url(
    url: str, rotation: int = 0, *, open_timeout_s: float = 8.0, read_timeout_s: float = 3.0, quick: bool = False
) -> Capture:
    """Opens an RTSP stream over TCP or an HTTP stream. Raises SourceError.

    A server that freezes is noticed after about twice `read_timeout_s`. `quick` looks at the stream for half a second
    instead of up to five: enough where the server describes it, as RTSP does nearly always.
    """
    times = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(open_timeout_s * 1000)]
    times += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(read_timeout_s * 1000)]
    options = f"rtsp_transport;tcp|timeout;{round(read_timeout_s * 1e6)}"
    with _ffmpeg_options(options + (f"|analyzeduration;{_QUICK_LOOK_US}" if quick else "")):
        capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, times)
    if not capture.grab():
        capture.release()
        raise SourceError(why_no_stream(url, open_timeout_s))
    return Capture(capture, rotation)


@contextmanager
def _ffmpeg_options(options: str) -> Iterator[None]:
    """OpenCV takes them from the environment alone; a stream's options would spoil the reading of a file."""
    with _opening:
        os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] = options
        try:
            yield
        finally:
            del os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"]


def camera(
    device: int | str,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    rotation: int = 0,
    fps_limit: float | None = None,
    frozen_s: float = 10.0,
    retry_s: tuple[float, float] = RETRY_S,
) -> Live:
    """A V4L2 camera, by number or path such as /dev/video0; opened in the background and again for ever."""
    path = f"/dev/video{device}" if str(device).isdecimal() else str(device)
    return Live(
        lambda _failures: open_device(path, rotation, width=width, height=height, fps=fps),
        name=f"Camera {path}",
        fps_limit=fps_limit,
        frozen_s=frozen_s,
        retry_s=retry_s,
    )


def stream(
    url: str,
    *,
    rotation: int = 0,
    fps_limit: float | None = None,
    frozen_s: float = 10.0,
    open_timeout_s: float = 8.0,
    read_timeout_s: float = 3.0,
    retry_s: tuple[float, float] = RETRY_S,
    wall: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> Live:
    """An RTSP or HTTP stream; opened in the background and again for ever. Raises SourceError for another address."""
    described = stream_address(url).scheme == "rtsp"
    return Live(
        lambda failures: open_url(
            url,
            rotation,
            open_timeout_s=open_timeout_s,
            read_timeout_s=read_timeout_s,
            quick=described and failures == 0,
        ),
        name=redacted_url(url),
        fps_limit=fps_limit,
        frozen_s=frozen_s,
        retry_s=retry_s,
        wall=wall,
        clock=clock,
    )
