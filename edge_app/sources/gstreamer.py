"""Read frames from any GStreamer pipeline that a user writes, through an appsink. Only this source file uses GStreamer.

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
from edge_app.sources.live import RETRY_S, LiveSource
from edge_app.sources.rotation import rotated
from edge_app.system import libunwind
from edge_app.system.redaction import redacted, redacted_url

_SINK: Final = "edge_app_sink"
_TAIL: Final = (
    f"videoconvert ! video/x-raw,format=BGR ! appsink name={_SINK} max-buffers=2 drop=true sync=false"
    " emit-signals=false"
)
_TO_BGRX: Final = "nvvidconv ! video/x-raw,format=BGRx"
"""The video hardware of a Jetson delivers BGRx; the processor only drops the last byte."""
PRESETS: Final = {
    "jetson-csi": "nvarguscamerasrc sensor-id={device} ! video/x-raw(memory:NVMM),width={width},height={height},"
    "framerate={fps}/1 ! " + _TO_BGRX,
    "jetson-rtsp": "rtspsrc location={url} protocols=tcp latency=100 ! rtph264depay ! h264parse ! nvv4l2decoder ! "
    + _TO_BGRX,
    "jetson-rtsp-h265": "rtspsrc location={url} protocols=tcp latency=100 ! rtph265depay ! h265parse ! nvv4l2decoder ! "
    + _TO_BGRX,
}
"""Names that stand for a pipeline; {device}, {width}, {height}, {fps} and {url} are replaced by their values."""


def launch_text(
    pipeline: str,
    *,
    device: str = "0",
    url: str = "",
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
) -> str:
    """Return a preset, or the user's own pipeline, in launch syntax with its values, without conversion and sink.

    Raises SourceError: for a pipeline that lacks its address.
    """
    launch = PRESETS.get(pipeline, pipeline).strip().rstrip("!").rstrip()
    if "{url}" in launch and not url:
        raise SourceError(f'The pipeline "{pipeline}" needs the address of a camera: set source.url.')
    values = {"device": device, "url": f'"{url}"', "width": width or 1280, "height": height or 720}
    for name, value in {**values, "fps": round(fps or 30)}.items():
        launch = launch.replace(f"{{{name}}}", str(value))
    return launch


class Capture:
    """Running pipeline, used by one thread."""

    def __init__(self, launch: str, rotation: int, open_timeout_s: float, read_timeout_s: float) -> None:
        self._gst = _gst()
        self._rotation, self._read_ns = rotation, round(read_timeout_s * 1e9)
        self._name, self._message = _display_name(launch), None
        try:
            self._pipeline = self._gst.parse_launch(f"{launch} ! {_TAIL}")
        except Exception as error:  # GLib.Error, which cannot be named before gi is loaded
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
        """Wait for the next picture; return False when none came in time.

        Raises SourceError: with the message of the pipeline, when it reports an error or its end.
        """
        first, self._first = self._first, False
        if first:
            return True
        self._sample = self._pull(self._read_ns)
        if self._sample is None and (reason := self._reason()):
            raise SourceError(reason)
        return self._sample is not None

    def retrieve(self) -> Image | None:
        """Return the grabbed picture, uint8 (H, W, 3) BGR, rotated; None when it is broken."""
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

    @property
    def stamp(self) -> float | None:
        """Time of the sample in the pipeline, s; None where it has none."""
        pts = self._sample.get_buffer().pts
        return None if pts == self._gst.CLOCK_TIME_NONE else pts / 1e9

    def close(self) -> None:
        self._pipeline.set_state(self._gst.State.NULL)

    def _pull(self, timeout_ns: int) -> Any:
        """Return a sample or None. Waits in short steps, because an error on the bus does not end a wait."""
        deadline = time.monotonic() + timeout_ns / 1e9
        while time.monotonic() < deadline:
            sample = self._sink.emit("try-pull-sample", 100_000_000)
            if sample is not None or self._sink.get_property("eos") or self._failed():
                return sample
        return None

    def _failed(self) -> bool:
        """Return True when the bus has reported an error or the end; the first such message is kept."""
        types = self._gst.MessageType.ERROR | self._gst.MessageType.EOS
        self._message = self._message or self._pipeline.get_bus().pop_filtered(types)
        return self._message is not None

    def _reason(self) -> str:
        """Return the first error on the bus in one sentence; empty when there is none."""
        self._failed()
        message: Any = self._message
        ended = self._sink.get_property("eos")  # the sink has it a moment before the bus
        if message is None and not ended:
            return ""
        if message is None or message.type == self._gst.MessageType.EOS:
            return f"{self._name} has ended; it is opened again."
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
) -> LiveSource:
    """Open a pipeline, and open it again whenever it fails or ends.

    pipeline: launch syntax without its sink, or the name of a preset. device, url, width, height (px), fps: values for
    its placeholders. rotation: degrees clockwise. fps_limit, frozen_s, retry_s: see `LiveSource`.
    Raises SourceError: when gi is absent, or for a pipeline that lacks its address.
    """
    _gst()
    launch = launch_text(pipeline, device=device, url=url, width=width, height=height, fps=fps)
    return LiveSource(
        lambda _failures: Capture(launch, rotation, open_timeout_s, read_timeout_s),
        name=_display_name(launch),
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
        from gi.repository import Gst, GstApp  # noqa: F401  # GstApp adds the methods of the sink
    except (ImportError, ValueError) as error:
        raise SourceError(
            'source.kind "gstreamer" needs GStreamer for the system\'s Python: apt install python3-gi '
            "gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good, and a venv with --system-site-packages."
        ) from error
    os.environ.setdefault("GST_DEBUG", "0")  # its output would show addresses with passwords
    Gst.init(None)
    return Gst


def _unpadded(data: Any, width: int, height: int) -> Image | None:
    """Copy a picture whose rows are padded to four bytes, so that it outlives the buffer; None when it is too short."""
    stride = (width * 3 + 3) // 4 * 4
    if data.size < stride * height:
        return None
    rows = data[: stride * height].reshape(height, stride)[:, : width * 3]
    image: Image = np.ascontiguousarray(rows).reshape(height, width, 3).copy()
    return image


def _display_name(launch: str) -> str:
    """Name a pipeline by its first element and its address without login."""
    url = re.search(r"\w+://[^\s'\"]+", launch)
    element = launch.split("!")[0].split()[0] if launch.strip() else "empty"
    return f"Pipeline {element}" + (f" of {redacted_url(url[0])}" if url else "")


def _sentence(error: Any) -> str:
    """Return GStreamer's message on one line with a full stop, redacted."""
    text = " ".join(str(getattr(error, "message", error)).split()).rstrip(".")
    return redacted(text) + "."
