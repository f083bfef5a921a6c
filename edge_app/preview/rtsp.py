"""Live pictures over RTSP with gst-rtsp-server: the only file of the preview that knows GStreamer.

Pictures go in at the speed of whoever makes them and never wait: a viewer that is slow, frozen or dead loses pictures
of its own. Nothing is encoded, and no picture is asked for, while nobody watches. Only RTP within the RTSP connection
is offered: it passes firewalls and ssh tunnels, and the end of a viewer shows at once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from edge_app.errors import PreviewError
from edge_app.records import Image
from edge_app.system import libunwind

log = logging.getLogger(__name__)

PACKAGES: Final = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-ugly gstreamer1.0-plugins-bad"
)
_KEY_EVERY_S: Final = 4
_BITS_PER_PIXEL: Final = 0.16
_MOST_SESSIONS: Final = 32
_SESSION_S: Final = 30
"""A session whose viewer says nothing for so long is over; whoever plays keeps it alive."""
_TOLD_S: Final = 60.0
_TIDY_S: Final = 5
_LONGEST_REQUEST: Final = 16_384

# In launch syntax, the first there is wins: {kbit} kbit/s, {bit} bit/s, {gop} frames between key frames.
ENCODERS: Final = {
    "nvv4l2h264enc": "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc name=encoder bitrate={bit} "
    "idrinterval={gop} insert-sps-pps=true",
    "v4l2h264enc": "v4l2h264enc name=encoder extra-controls="
    '"controls,repeat_sequence_header=1,h264_i_frame_period={gop},video_bitrate={bit}" ! '
    "video/x-h264,level=(string)4",
    # One thread: with more of them the encoder would take from the detector what it needs.
    "x264enc": "x264enc name=encoder tune=zerolatency speed-preset=ultrafast threads=1 bitrate={kbit} "
    "key-int-max={gop}",
    "openh264enc": "openh264enc name=encoder complexity=low multi-thread=1 rate-control=bitrate bitrate={bit} "
    "gop-size={gop}",
}


@dataclass(slots=True, eq=False)
class Stream:
    """One picture stream; path: such as "/annotated". size: width and height in px, even, of every picture from the
    next viewer on."""

    path: str
    rate: float
    size: tuple[int, int] = (640, 360)
    _media: Any = field(default=None, init=False, repr=False)
    _frames: Any = field(default=None, init=False, repr=False)
    _being: tuple[int, int] = field(default=(0, 0), init=False, repr=False)

    @property
    def watched(self) -> tuple[int, int] | None:
        """The size that is being sent; None while nobody watches."""
        return self._being if self._frames is not None else None


def _gst() -> Any:
    """Gst, GstRtsp, GstRtspServer, GstVideo, GLib. Raises PreviewError where they are missing."""
    libunwind.preload()
    try:
        import gi

        for name in ("Gst", "GstApp", "GstRtsp", "GstRtspServer", "GstVideo"):
            gi.require_version(name, "1.0")
        from gi.repository import GLib, Gst, GstRtsp, GstRtspServer, GstVideo
    except (ImportError, ValueError) as error:
        raise PreviewError(
            f"preview: GStreamer's RTSP server is missing ({error}); apt install {PACKAGES}, and let the program's "
            "environment see the system's packages"
        ) from error
    Gst.init(None)
    return Gst, GstRtsp, GstRtspServer, GstVideo, GLib


def choose_encoder(wanted: str = "auto") -> str:
    """The name of an encoder that is there. Raises PreviewError."""
    gst = _gst()[0]
    names = list(ENCODERS) if wanted == "auto" else [wanted]
    for name in names:
        if gst.ElementFactory.find(name):
            return name
    raise PreviewError(f"preview: there is no H.264 encoder ({', '.join(names)}); apt install {PACKAGES}")


class RtspServer:
    """Serves the streams until `close`. port: 0 takes a free one. login: user and password for digest authentication,
    None only on loopback. Raises PreviewError."""

    def __init__(
        self,
        streams: Sequence[Stream],
        *,
        address: str = "127.0.0.1",
        port: int = 8554,
        login: tuple[str, str] | None = None,
        encoder: str = "auto",
    ) -> None:
        self._gst, self._rtsp, self._server, self._video, self._glib = _gst()
        self.encoder, self._streams = choose_encoder(encoder), tuple(streams)
        self._lock = threading.Lock()
        self._viewers: dict[Any, tuple[str, float]] = {}
        self._told, self._strangers = -_TOLD_S, 0
        self.someone = threading.Event()
        """Set while at least one stream is watched."""
        server = self._server.RTSPServer()
        server.set_address(address)
        server.set_service(str(port))
        self._pool = server.get_session_pool()
        self._pool.set_max_sessions(_MOST_SESSIONS)
        for stream in streams:
            server.get_mount_points().add_factory(stream.path, self._factory(stream, login))
        if login:
            server.set_auth(self._auth(*login))
        server.connect("client-connected", self._connected)
        self._context = self._glib.MainContext.new()  # its own: nothing else in this process runs in this thread
        self._loop = self._glib.MainLoop.new(self._context, False)
        if not server.attach(self._context):
            raise PreviewError(
                f"preview: cannot listen on {address}:{port}; is it taken, or no address of this device?"
            )
        self.port: int = server.get_bound_port()
        self._tidy = self._glib.timeout_source_new_seconds(_TIDY_S)
        self._tidy.set_callback(lambda *_: self._pool.cleanup() >= 0)
        self._tidy.attach(self._context)
        self._rtsp_server = server
        self._thread = threading.Thread(target=self._loop.run, name="rtsp", daemon=True)
        self._thread.start()

    def push(self, stream: Stream, image: Image) -> None:
        """A picture of the size `stream.watched`; never waits, and is lost when nobody watches any more."""
        with self._lock:
            if stream._frames is not None and image.shape[1::-1] == stream._being:
                stream._frames.emit("push-buffer", self._gst.Buffer.new_wrapped(image.tobytes()))

    def close(self) -> None:
        for stream in self._streams:
            self._rtsp_server.get_mount_points().remove_factory(stream.path)
        self._rtsp_server.client_filter(lambda *_: self._server.RTSPFilterResult.REMOVE)
        self._tidy.destroy()
        self._loop.quit()
        self._thread.join(2.0)

    def _factory(self, stream: Stream, login: tuple[str, str] | None) -> Any:
        factory = self._server.RTSPMediaFactory()
        factory.set_shared(True)
        factory.set_protocols(self._rtsp.RTSPLowerTrans.TCP)
        factory.set_launch(self._launch(stream))
        factory.connect("media-configure", self._opened, stream)
        if login:
            permissions = self._server.RTSPPermissions()
            for right in ("media.factory.access", "media.factory.construct"):
                permissions.add_permission_for_role("viewer", right, True)
            factory.set_permissions(permissions)
        return factory

    def _launch(self, stream: Stream) -> str:
        bit = max(300_000, int(stream.size[0] * stream.size[1] * stream.rate * _BITS_PER_PIXEL))
        encoder = ENCODERS[self.encoder].format(kbit=bit // 1000, bit=bit, gop=round(stream.rate * _KEY_EVERY_S))
        return (
            "( appsrc name=frames is-live=true do-timestamp=true format=time leaky-type=downstream max-buffers=2 ! "
            f"videoconvert n-threads=1 ! video/x-raw,format=I420 ! {encoder} ! "
            "rtph264pay name=pay0 pt=96 config-interval=1 )"
        )

    def _auth(self, user: str, password: str) -> Any:
        auth = self._server.RTSPAuth()
        auth.set_supported_methods(self._rtsp.RTSPAuthMethod.DIGEST)
        auth.set_realm("edge-app")
        token = self._server.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_digest(user, password, token)
        return auth

    def _opened(self, _factory: Any, media: Any, stream: Stream) -> None:
        """The first viewer of a stream."""
        frames = media.get_element().get_by_name("frames")
        width, height = stream.size
        rate = f"{max(1, round(stream.rate))}/1"
        caps = f"video/x-raw,format=BGR,width={width},height={height},framerate={rate}"
        frames.set_property("caps", self._gst.Caps.from_string(caps))
        media.connect("unprepared", self._left, stream)
        with self._lock:
            stream._media, stream._frames, stream._being = media, frames, (width, height)
        self.someone.set()

    def _left(self, media: Any, stream: Stream) -> None:
        """The last viewer of a stream."""
        with self._lock:
            if stream._media is media:
                stream._media = stream._frames = None
            if not any(one.watched for one in self._streams):
                self.someone.clear()

    def _connected(self, _server: Any, client: Any) -> None:
        client.set_content_length_limit(_LONGEST_REQUEST)
        client.connect("new-session", lambda _client, session: session.set_timeout(_SESSION_S))
        client.connect("play-request", self._plays)
        client.connect("closed", self._closed)
        self._viewers[client] = (client.get_connection().get_ip(), 0.0)

    def _plays(self, client: Any, context: Any) -> None:
        address, since = self._viewers.get(client, ("?", 0.0))
        if not since:
            log.info("a viewer watches", extra={"address": address, "path": context.uri.abspath})
            self._viewers[client] = (address, time.monotonic())
        # Whoever joins would see nothing, or garbage, until the next one.
        for stream in self._streams:
            self._key_frame(stream)

    def _key_frame(self, stream: Stream) -> None:
        with self._lock:
            media = stream._media
        encoder = media and media.get_element().get_by_name("encoder")
        if encoder:
            event = self._video.video_event_new_upstream_force_key_unit(self._gst.CLOCK_TIME_NONE, True, 0)
            encoder.get_static_pad("src").send_event(event)

    def _closed(self, client: Any) -> None:
        address, since = self._viewers.pop(client, ("?", 0.0))
        if since:
            log.info("a viewer left", extra={"address": address, "after_s": round(time.monotonic() - since, 1)})
        else:
            self._strange(address)

    def _strange(self, address: str) -> None:
        """Once a minute at most: a scanner must not fill the journal."""
        self._strangers += 1
        if time.monotonic() - self._told > _TOLD_S:
            log.warning(
                "somebody connected to the preview and left without a picture",
                extra={"address": address, "times": self._strangers},
            )
            self._told, self._strangers = time.monotonic(), 0
