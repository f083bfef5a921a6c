"""Open files, V4L2 cameras and network streams with cv2.VideoCapture. Only this source file uses it."""

from __future__ import annotations

import math
import os
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import cv2

from edge_app.errors import SourceError
from edge_app.records import Image
from edge_app.sources.diagnosis import stream_address, why_no_camera, why_no_server, why_no_stream
from edge_app.sources.edit_list import shown_share
from edge_app.sources.live import RETRY_S, LiveSource
from edge_app.sources.rotation import rotated
from edge_app.system.files import utf8_name
from edge_app.system.redaction import redacted, redacted_url

# OpenCV and FFmpeg write to stderr themselves, addresses with passwords included. The errors raised here say what went
# wrong; to see the output of FFmpeg, set the variable before the start.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
cv2.setLogLevel(0)  # silent

_SHORT_ANALYSIS_US = 500_000
_LARGE_PX = 1920 * 1080
"""Up to this many pixels one thread decodes a video faster than it is counted; several threads cost a third more of the
processor, and each keeps pictures of its own."""
_ONE_THREAD = [cv2.CAP_PROP_N_THREADS, 1] if hasattr(cv2, "CAP_PROP_N_THREADS") else []
"""Before 4.7, as Debian 12 has it for 32-bit ARM, OpenCV cannot be told."""
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG", b"BM", b"II*\0", b"MM\0*")
"""First bytes of JPEG, PNG, BMP and TIFF; those of WebP are looked for apart."""
_STAYS = 3
"""Failures in a row after which a camera is asked again for a transport other than the one that it served before."""
_opening = threading.Lock()


class Capture:
    """Opened cv2.VideoCapture whose first picture has been grabbed already; used by one thread.

    shown: share of the pictures in the file that it shows, 0..1.
    """

    def __init__(self, capture: cv2.VideoCapture, rotation: int, shown: float = 1.0) -> None:
        self._capture = capture
        self._rotation, self._shown = rotation, shown
        self._first = True

    def grab(self) -> bool:
        """Take the next picture without converting it; return False at the end or when none came in time."""
        first, self._first = self._first, False
        return first or self._capture.grab()

    def retrieve(self) -> Image | None:
        """Return the grabbed picture, uint8 (H, W, 3) BGR, rotated; None when it is broken."""
        ok, image = self._capture.retrieve()
        if not ok or image.ndim != 3:
            return None
        return rotated(image, self._rotation)  # type: ignore[arg-type]  # stubs lack uint8

    @property
    def size(self) -> tuple[int, int]:
        """Width and height that the container promises, px, before the rotation."""
        width, height = (self._capture.get(name) for name in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
        return round(width), round(height)

    @property
    def stamp(self) -> float:
        """Time of the grabbed picture in the file or the stream, s; 0 where it has none."""
        return self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000.0

    @property
    def rate(self) -> float:
        """Frames/s that the container promises; may be nonsense."""
        return self._capture.get(cv2.CAP_PROP_FPS)

    @property
    def promised_frames(self) -> int:
        """Number of frames that the container promises, 0 when unknown; often not exact."""
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        return round(count * self._shown) if math.isfinite(count) and count > 0 else 0

    def close(self) -> None:
        self._capture.release()


def open_file(path: Path, rotation: int = 0) -> Capture:
    """Open a video file.

    rotation: 0, 90, 180 or 270 degrees clockwise.
    Raises SourceError: when it is absent, is no video or holds no picture.
    """
    if re.match(r"(rtsps?|https?):/", str(path)):
        raise SourceError(f'{redacted(str(path))} is a stream, not a file: give it as source.url of kind "stream".')
    if not path.exists():
        raise SourceError(f"There is no video {path}: check the name and the folder.")
    if not path.is_file():
        raise SourceError(f"{path} is not a file: give the name of one video.")
    if not os.access(path, os.R_OK):
        raise SourceError(f"The video {path} may not be read by this user: check its permissions.")
    capture = _open_video(path)
    if not capture.isOpened():
        raise SourceError(f"{path} is no video, or one that was cut off before it was complete: try to play it.")
    if not capture.grab():
        raise SourceError(_why_no_picture(path, capture))
    opened = Capture(capture, rotation, shown_share(path))
    if _begins_as_picture(path) and not _has_second_picture(path):
        opened.close()
        raise SourceError(f"{path} is a picture, not a video: give the name of a recording.")
    return opened


def _open_video(path: Path) -> cv2.VideoCapture:
    # An absolute path keeps FFmpeg from taking a colon in the name for a protocol. For a name that is no UTF-8 OpenCV
    # ends the process (SIGSEGV).
    with _ffmpeg_options(""), utf8_name(path) as name:
        capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, _ONE_THREAD)
        if _is_large(capture):
            capture.open(name, cv2.CAP_FFMPEG)
    return capture


def _is_large(capture: cv2.VideoCapture) -> bool:
    return capture.get(cv2.CAP_PROP_FRAME_WIDTH) * capture.get(cv2.CAP_PROP_FRAME_HEIGHT) > _LARGE_PX


def _why_no_picture(path: Path, capture: cv2.VideoCapture) -> str:
    """Return one sentence about a file of which no picture was decoded."""
    if not capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
        return f"The video {path} holds no picture: try to play it, or record it again."
    code = round(capture.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little", signed=True).decode("latin-1").strip("\0 ")
    convert = f"convert it, for example with ffmpeg -i {shlex.quote(str(path))} -c:v libx264 OUT.mp4"
    if code.lower() == "av01":
        return f"{path} is AV1, which this build of OpenCV ({cv2.__version__}) cannot decode: {convert}."
    codec = repr(code) if code.isprintable() and code else "unknown"
    return (
        f"No picture of {path} can be decoded: it is damaged, or this build of OpenCV ({cv2.__version__}) lacks its "
        f"codec ({codec}); {convert}."
    )


def _begins_as_picture(path: Path) -> bool:
    with path.open("rb") as file:
        begin = file.read(12)
    return begin.startswith(_PICTURES) or (begin[:4], begin[8:]) == (b"RIFF", b"WEBP")


def _has_second_picture(path: Path) -> bool:
    """Return whether the file is a series of pictures after all, as raw MJPEG is."""
    capture = _open_video(path)
    try:
        return capture.grab() and capture.grab()
    finally:
        capture.release()


def open_device(
    device: str, rotation: int = 0, *, width: int | None = None, height: int | None = None, fps: float | None = None
) -> Capture:
    """Open a V4L2 camera.

    width and height in px and fps are requested; the camera may choose others.
    Raises SourceError: with the reason, when it gives no picture.
    """
    capture = cv2.VideoCapture(device, cv2.CAP_V4L2)
    # USB 2 carries only 10 raw pictures of 720p a second; a camera without MJPEG ignores the request.
    capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    requested = {cv2.CAP_PROP_FRAME_WIDTH: width, cv2.CAP_PROP_FRAME_HEIGHT: height, cv2.CAP_PROP_FPS: fps}
    for name, value in requested.items():
        if value:
            capture.set(name, value)
    if not capture.grab():
        capture.release()  # otherwise this capture makes the driver report that the camera is busy
        raise SourceError(why_no_camera(device))
    return Capture(capture, rotation)


def open_url(
    url: str,
    rotation: int = 0,
    *,
    open_timeout_s: float = 8.0,
    read_timeout_s: float = 3.0,
    quick: bool = False,
    ways: Sequence[str] = ("tcp",),
) -> tuple[Capture, str]:
    """Open an RTSP or HTTP stream; return it with the transport that served.

    read_timeout_s: a server that freezes is noticed after about twice this time. quick: analyse the stream for half a
    second instead of up to five: enough where the server describes it, as RTSP servers nearly always do. ways:
    transports of RTSP, tcp or udp, in the order in which they are tried while the server answers.
    Raises SourceError: with the reason, when it gives no picture.
    """
    times = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, round(open_timeout_s * 1000)]
    times += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, round(read_timeout_s * 1000)]
    for number, way in enumerate(ways):
        if number and (fault := why_no_server(url, open_timeout_s)):
            raise SourceError(fault)
        options = f"rtsp_transport;{way}|timeout;{round(read_timeout_s * 1e6)}"
        with _ffmpeg_options(options + (f"|analyzeduration;{_SHORT_ANALYSIS_US}" if quick else "")):
            capture = cv2.VideoCapture(url, cv2.CAP_FFMPEG, [*times, *_ONE_THREAD])
            if _is_large(capture):
                capture.open(url, cv2.CAP_FFMPEG, times)
        if capture.grab():
            return Capture(capture, rotation), way
        capture.release()
    raise SourceError(why_no_stream(url, open_timeout_s, ways))


@contextmanager
def _ffmpeg_options(options: str) -> Iterator[None]:
    """Set the options of FFmpeg for one call.

    OpenCV reads them only from the environment, and a stream's options would disturb the reading of a file.
    """
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
) -> LiveSource:
    """Open a V4L2 camera in the background, and again after every fault.

    device: number, or path such as /dev/video0. width, height, fps: see `open_device`. rotation: degrees clockwise.
    fps_limit, frozen_s, retry_s: see `LiveSource`.
    """
    path = f"/dev/video{device}" if str(device).isdecimal() else str(device)
    return LiveSource(
        lambda _failures: open_device(path, rotation, width=width, height=height, fps=fps),
        name=f"Camera {path}",
        fps_limit=fps_limit,
        frozen_s=frozen_s,
        retry_s=retry_s,
    )


def stream(
    url: str,
    *,
    transport: str = "auto",
    rotation: int = 0,
    fps_limit: float | None = None,
    frozen_s: float = 10.0,
    open_timeout_s: float = 8.0,
    read_timeout_s: float = 3.0,
    retry_s: tuple[float, float] = RETRY_S,
    wall: Callable[[], float] = time.time,
    clock: Callable[[], float] = time.monotonic,
) -> LiveSource:
    """Open an RTSP or HTTP stream in the background, and again after every fault.

    transport: of RTSP: tcp, udp, or auto: tcp, udp where that fails, and then the one that served. rotation: degrees
    clockwise. open_timeout_s, read_timeout_s: see `open_url`. The others: see `LiveSource`.
    Raises SourceError: for an address that is not one of a stream.
    """
    described = stream_address(url).scheme == "rtsp"
    both = ("tcp", "udp") if described else ("tcp",)
    ways = list(both if transport == "auto" else (transport,))

    def open_capture(failures: int) -> Capture:
        nonlocal ways
        if transport == "auto" and failures >= _STAYS:
            ways = list(both)
        # A camera may need a moment after a refusal, so each attempt begins with the other transport.
        capture, served = open_url(
            url,
            rotation,
            open_timeout_s=open_timeout_s,
            read_timeout_s=read_timeout_s,
            quick=described and failures == 0,
            ways=ways if failures % 2 == 0 else ways[::-1],
        )
        ways = [served]
        return capture

    return LiveSource(
        open_capture,
        name=redacted_url(url),
        fps_limit=fps_limit,
        frozen_s=frozen_s,
        retry_s=retry_s,
        wall=wall,
        clock=clock,
    )
