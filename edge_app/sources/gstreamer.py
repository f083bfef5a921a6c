"""The only source file that knows GStreamer: any pipeline a user writes, read through an appsink.

gi comes from the system (apt: python3-gi gir1.2-gst-plugins-base-1.0) and is loaded when a pipeline is opened.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any, Final

import numpy as np

from edge_app.errors import SourceError
from edge_app.records import Image
from edge_app.sources.live import RETRY_S, Live
from edge_app.sources.rotation import rotated
from edge_app.system import libunwind
from edge_app.system.redaction import redacted, redacted_url

_SINK: Final = "edge_app_sink"
_TAIL: Final = (
    f"videoconvert ! video/x-raw,format=BGR ! appsink name={_SINK} max-buffers=2 drop=true sync=false"
    " emit-signals=false"
)
_TO_BGRX: Final = "nvvidconv ! video/x-raw,format=BGRx"
"""On a Jetson pictures leave the video hardware as BGRx; only the last byte is dropped by the processor."""
PRESETS: Final = {
    "jetson-csi": "nvarguscamerasrc sensor-id={device} ! video/x-raw(memory:NVMM),width={width},height={height},"
    "framerate={fps}/1 ! " + _TO_BGRX,
    "jetson-rtsp": "rtspsrc location={url} protocols=tcp latency=100 ! rtph264depay ! h264parse ! nvv4l2decoder ! "
    + _TO_BGRX,
    "jetson-rtsp-h265": "rtspsrc location={url} protocols=tcp latency=100 ! rtph265depay ! h265parse ! nvv4l2decoder ! "
    + _TO_BGRX,
}
"""What a pipeline is called instead of being written: {device}, {width}, {height}, {fps} and {url} are filled in."""


def describe(
    pipeline: str,
    *,
    device: str = "0",
    url: str = "",
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
) -> str:
    """The launch text of a preset, or of the user's own pipeline, with its values; conversion and sink are appended.

    Raises SourceError for a pipeline that lacks its address.
    """
    launch = PRESETS.get(pipeline, pipeline).strip().rstrip("!").rstrip()
    if "{url}" in launch and not url:
        raise SourceError(f'The pipeline "{pipeline}" needs the address of a camera: set source.url.')
    filled = {"device": device, "url": f'"{url}"', "width": width or 1280, "height": height or 720}
    for name, value in {**filled, "fps": round(fps or 30)}.items():
        launch = launch.replace(f"{{{name}}}", str(value))
    return launch


class Capture:
    """A running pipeline; used by one thread."""

    def __init__(self, launch: str, rotation: int, open_timeout_s: float, read_timeout_s: float) -> None:
        self._gst = _gst()
        self._rotation, self._read_ns = rotation, round(read_timeout_s * 1e9)
        self._name, self._message = _name(launch), None
        try:
            self._pipeline = self._gst.parse_launch(f"{launch} ! {_TAIL}")
        except Exception as error:  # GLib.Error, whose module is known only once gi is loaded
            raise SourceError(
                f"The pipeline cannot be built: {_sentence(error)} Try it with gst-launch-1.0."
            ) from error
        self._sink = self._pipeline.get_by_name(_SINK)
        try:
            self._pipeline.set_state(self._gst.State.PLAYING)
            self._sample = self._pull(round(open_timeout_s * 1e9))
            if self._sample is None:
                raise SourceError(self._reason() or f"{self._name} gave no picture within {open_timeout_s:g} s.")
        except BaseException:
            self.close()
            raise
        self._first = True

    def grab(self) -> bool:
        """Waits for the next picture. Raises SourceError with what the pipeline says; False when it says nothing."""
        first, self._first = self._first, False
        if first:
            return True
        self._sample = self._pull(self._read_ns)
        if self._sample is None and (reason := self._reason()):
            raise SourceError(reason)
        return self._sample is not None

    def retrieve(self) -> Image | None:
        """The picture that was grabbed, uint8 (H, W, 3) BGR, turned; None when it is broken."""
        buffer, caps = self._sample.get_buffer(), self._sample.get_caps().get_structure(0)
        width, height = caps.get_value("width"), caps.get_value("height")
        ok, data = buffer.map(self._gst.MapFlags.READ)
        if not ok:
            return None
        try:
            image = _unpadded(np.frombuffer(data.data, np.uint8), width, height)
        finally:
            buffer.unmap(data)
        return None if image is None else rotated(image, self._rotation)

    def close(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)

    def _pull(self, timeout_ns: int) -> Any:
        """A sample or None. In short waits, because an error on the bus does not end one."""
        deadline = time.monotonic() + timeout_ns / 1e9
        while time.monotonic() < deadline:
            sample = self._sink.emit("try-pull-sample", 100_000_000)
            if sample is not None or self._sink.get_property("eos") or self._failed():
                return sample
        return None

    def _failed(self) -> bool:
        """Whether the bus has told of an error or the end; the first such message is kept."""
        wanted = self._gst.MessageType.ERROR | self._gst.MessageType.EOS
        self._message = self._message or self._pipeline.get_bus().pop_filtered(wanted)
        return self._message is not None

    def _reason(self) -> str:
        """The first error on the bus, in one sentence; empty when there is none."""
        self._failed()
        message: Any = self._message
        ended = self._sink.get_property("eos")  # the sink knows a moment before the bus tells
        if message is None and not ended:
            return ""
        if message is None or message.type == self._gst.MessageType.EOS:
            return f"{self._name} has come to its end; it is opened again."
        return f"{self._name}: {_sentence(message.parse_error()[0])} It is opened again until it works."


def pipeline(
    pipeline: str,
    *,
    device: str = "0",
    url: str = "",
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    rotation: int = 0,
    fps_limit: float | None = None,
    frozen_s: float = 10.0,
    open_timeout_s: float = 8.0,
    read_timeout_s: float = 3.0,
    retry_s: tuple[float, float] = RETRY_S,
) -> Live:
    """A pipeline in launch syntax without its sink, or the name of a preset; opened again for ever.

    Raises SourceError when gi is absent, or for a preset that lacks its address.
    """
    _gst()
    launch = describe(pipeline, device=device, url=url, width=width, height=height, fps=fps)
    return Live(
        lambda _failures: Capture(launch, rotation, open_timeout_s, read_timeout_s),
        name=_name(launch),
        fps_limit=fps_limit,
        frozen_s=frozen_s,
        retry_s=retry_s,
    )


def _gst() -> Any:
    libunwind.preload()
    try:
        import gi

        gi.require_version("Gst", "1.0")
        gi.require_version("GstApp", "1.0")
        from gi.repository import Gst, GstApp  # noqa: F401  # GstApp gives the sink its methods
    except (ImportError, ValueError) as error:
        raise SourceError(
            'source.kind "gstreamer" needs GStreamer for the system\'s Python: apt install python3-gi '
            "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good, and a venv with --system-site-packages."
        ) from error
    os.environ.setdefault("GST_DEBUG", "0")  # it would print addresses with passwords
    Gst.init(None)
    return Gst


def _unpadded(data: Any, width: int, height: int) -> Image | None:
    """Rows are padded to four bytes; the copy outlives the buffer."""
    stride = (width * 3 + 3) // 4 * 4
    if data.size < stride * height:
        return None
    rows = data[: stride * height].reshape(height, stride)[:, : width * 3]
    image: Image = np.ascontiguousarray(rows).reshape(height, width, 3).copy()
    return image


def _name(launch: str) -> str:
    """The pipeline's first element, and its address without login."""
    found = re.search(r"\w+://[^\s'\"]+", launch)
    element = launch.split("!")[0].split()[0] if launch.strip() else "empty"
    return f"Pipeline {element}" + (f" of {redacted_url(found[0])}" if found else "")


def _sentence(error: Any) -> str:
    """GStreamer's words on one line with a stop, logins taken out."""
    text = " ".join(str(getattr(error, "message", error)).split()).rstrip(".")
    return redacted(text) + "."
