"""Serve live pictures over RTSP with gst-rtsp-server: the only module of the preview that knows GStreamer.

Pictures are pushed at the rate of whoever draws them, and never wait: a viewer that is slow, frozen or dead loses
pictures of its own only. While nobody watches, nothing is encoded and no picture is requested. On loopback, where ssh
tunnels end, only RTP within the RTSP connection is offered: a viewer that asks for UDP first would wait in vain at the
other end of the tunnel. In a network it may be UDP too.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import quote

from edge_app.errors import PreviewError
from edge_app.records import Image
from edge_app.system import libunwind
from edge_app.system.redaction import PLACEHOLDER
from edge_app.system.threads import start_thread

log = logging.getLogger(__name__)

PACKAGES: Final = (
    "python3-gi gir1.2-gst-rtsp-server-1.0 gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-ugly gstreamer1.0-plugins-bad"
)
_KEY_FRAME_S: Final = 4
_BITS_PER_PIXEL: Final = 0.16
_MOST_SESSIONS: Final = 32
_SESSION_S: Final = 30
"""A session whose viewer sends nothing for so long is over; a viewer that plays keeps its session alive."""
_WARNING_S: Final = 60.0
"""Least time between two warnings about clients without a picture: a scanner must not fill the journal."""
_CLEAN_UP_S: Final = 5
_LONGEST_REQUEST: Final = 16_384

ENCODERS: Final = {
    "nvv4l2h264enc": "nvvidconv ! video/x-raw(memory:NVMM),format=NV12 ! nvv4l2h264enc name=encoder bitrate={bit} "
    "idrinterval={gop} insert-sps-pps=true",
    "v4l2h264enc": "v4l2h264enc name=encoder extra-controls="
    '"controls,repeat_sequence_header=1,h264_i_frame_period={gop},video_bitrate={bit}" ! '
    "video/x-h264,level=(string)4",
    # One thread: with more the encoder would take CPU time that the detector needs.
    "x264enc": "x264enc name=encoder tune=zerolatency speed-preset=ultrafast threads=1 bitrate={kbit} "
    "key-int-max={gop}",
    "openh264enc": "openh264enc name=encoder complexity=low multi-thread=1 rate-control=bitrate bitrate={bit} "
    "gop-size={gop}",
}
"""Encoder -> its part of a GStreamer pipeline; the first that is installed is used.

{kbit} and {bit}: bit rate in kbit/s and bit/s. {gop}: number of frames between key frames."""


@dataclass(slots=True, eq=False)
class Stream:
    """One stream of pictures.

    path: of its URL, such as "/annotated". rate: frames/s. size: width and height, px, even; it applies from the next
    first viewer on.
    """

    path: str
    rate: float
    size: tuple[int, int] = (640, 360)
    _media: Any = field(default=None, init=False, repr=False)
    _frames: Any = field(default=None, init=False, repr=False)
    _sent_size: tuple[int, int] = field(default=(0, 0), init=False, repr=False)

    @property
    def watched(self) -> tuple[int, int] | None:
        """Size of the pictures being sent; None while nobody watches."""
        return self._sent_size if self._frames is not None else None


def _gst() -> Any:
    """Return Gst, GstRtsp, GstRtspServer, GstVideo and GLib. Raises PreviewError when they are missing."""
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
    """Return the name of an installed encoder. wanted: "auto" for the first, or a name. Raises PreviewError."""
    gst = _gst()[0]
    names = list(ENCODERS) if wanted == "auto" else [wanted]
    for name in names:
        if gst.ElementFactory.find(name):
            return name
    raise PreviewError(f"preview: there is no H.264 encoder ({', '.join(names)}); apt install {PACKAGES}")


def viewer_command(address: str, port: int, username: str | None) -> str:
    """Return the command that shows the annotated stream, to be typed where the viewer is.

    address, port: where the server listens. username: None without a login; the password is to be filled in.
    """
    own = ip_address(address)
    host = socket.gethostname() if own.is_unspecified else f"[{address}]" if own.version == 6 else address
    login = f"{quote(username, safe='')}:{PLACEHOLDER}@" if username else ""
    return f"ffplay -rtsp_transport tcp rtsp://{login}{host}:{port}/annotated"


class RtspServer:
    """RTSP server of some streams, serving until `close`.

    port: 0 takes a free one. login: user and password for digest authentication; None only on loopback. encoder: as
    for `choose_encoder`. has_viewers: set while at least one stream is watched.
    Raises PreviewError: when GStreamer or an encoder is missing, or the address cannot be used.
    """

    def __init__(
        self,
        streams: Sequence[Stream],
        *,
        address: str = "127.0.0.1",
        port: int = 8554,
        login: tuple[str, str] | None = None,
        encoder: str = "auto",
    ) -> None:
        self._udp = not ip_address(address).is_loopback
        self._gst, self._rtsp, self._server, self._video, self._glib = _gst()
        self.encoder, self._streams = choose_encoder(encoder), tuple(streams)
        self._lock = threading.Lock()
        self._clients: dict[Any, tuple[str, float]] = {}
        self._last_warning, self._without_picture = -_WARNING_S, 0
        self.has_viewers = threading.Event()
        context = self._glib.MainContext.new()  # its own: nothing else in this process runs in this thread
        self._loop = self._glib.MainLoop.new(context, False)
        self._rtsp_server = self._build_server(address, port, login)
        if not self._rtsp_server.attach(context):
            raise PreviewError(
                f"preview: cannot listen on {address}:{port}; is it taken, or no address of this device?"
            )
        self.port: int = self._rtsp_server.get_bound_port()
        pool = self._rtsp_server.get_session_pool()
        self._clean_up = self._glib.timeout_source_new_seconds(_CLEAN_UP_S)
        self._clean_up.set_callback(lambda *_: pool.cleanup() >= 0)
        self._clean_up.attach(context)
        self._thread = threading.Thread(target=self._loop.run, name="rtsp", daemon=True)
        start_thread(self._thread)

    def push(self, stream: Stream, image: Image) -> None:
        """Send a picture, uint8 (H, W, 3) BGR of the size `stream.watched`; never waits.

        The picture is lost when nobody watches any more.
        """
        with self._lock:
            if stream._frames is not None and image.shape[1::-1] == stream._sent_size:
                stream._frames.emit("push-buffer", self._gst.Buffer.new_wrapped(image.tobytes()))

    def close(self) -> None:
        for stream in self._streams:
            self._rtsp_server.get_mount_points().remove_factory(stream.path)
        self._rtsp_server.client_filter(lambda *_: self._server.RTSPFilterResult.REMOVE)
        self._clean_up.destroy()
        self._loop.quit()
        self._thread.join(2.0)

    def _build_server(self, address: str, port: int, login: tuple[str, str] | None) -> Any:
        server = self._server.RTSPServer()
        server.set_address(address)
        server.set_service(str(port))
        server.get_session_pool().set_max_sessions(_MOST_SESSIONS)
        for stream in self._streams:
            server.get_mount_points().add_factory(stream.path, self._factory(stream, login))
        if login:
            server.set_auth(self._auth(*login))
        server.connect("client-connected", self._on_client_connected)
        return server

    def _factory(self, stream: Stream, login: tuple[str, str] | None) -> Any:
        factory = self._server.RTSPMediaFactory()
        factory.set_shared(True)
        both = self._rtsp.RTSPLowerTrans.TCP | self._rtsp.RTSPLowerTrans.UDP
        factory.set_protocols(both if self._udp else self._rtsp.RTSPLowerTrans.TCP)
        factory.set_launch(self._launch(stream))
        factory.connect("media-configure", self._on_media_configured, stream)
        if login:
            permissions = self._server.RTSPPermissions()
            for right in ("media.factory.access", "media.factory.construct"):
                permissions.add_permission_for_role("viewer", right, True)
            factory.set_permissions(permissions)
        return factory

    def _launch(self, stream: Stream) -> str:
        bit = max(300_000, int(stream.size[0] * stream.size[1] * stream.rate * _BITS_PER_PIXEL))
        encoder = ENCODERS[self.encoder].format(kbit=bit // 1000, bit=bit, gop=round(stream.rate * _KEY_FRAME_S))
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

    def _on_media_configured(self, _factory: Any, media: Any, stream: Stream) -> None:
        """Begin to send a stream: its first viewer has come."""
        frames = media.get_element().get_by_name("frames")
        width, height = stream.size
        rate = f"{max(1, round(stream.rate))}/1"
        caps = f"video/x-raw,format=BGR,width={width},height={height},framerate={rate}"
        frames.set_property("caps", self._gst.Caps.from_string(caps))
        media.connect("unprepared", self._on_media_unprepared, stream)
        with self._lock:
            stream._media, stream._frames, stream._sent_size = media, frames, (width, height)
        self.has_viewers.set()

    def _on_media_unprepared(self, media: Any, stream: Stream) -> None:
        """End a stream: its last viewer has left."""
        with self._lock:
            if stream._media is media:
                stream._media = stream._frames = None
            if not any(one.watched for one in self._streams):
                self.has_viewers.clear()

    def _on_client_connected(self, _server: Any, client: Any) -> None:
        client.set_content_length_limit(_LONGEST_REQUEST)
        client.connect("new-session", lambda _client, session: session.set_timeout(_SESSION_S))
        client.connect("play-request", self._on_play)
        client.connect("closed", self._on_client_closed)
        self._clients[client] = (client.get_connection().get_ip(), 0.0)

    def _on_play(self, client: Any, context: Any) -> None:
        address, since = self._clients.get(client, ("?", 0.0))
        if not since:
            log.info("a viewer watches", extra={"address": address, "path": context.uri.abspath})
            self._clients[client] = (address, time.monotonic())
        # Without a key frame a new viewer would see nothing, or garbage, until the next one.
        for stream in self._streams:
            self._force_key_frame(stream)

    def _force_key_frame(self, stream: Stream) -> None:
        with self._lock:
            media = stream._media
        encoder = media and media.get_element().get_by_name("encoder")
        if encoder:
            event = self._video.video_event_new_upstream_force_key_unit(self._gst.CLOCK_TIME_NONE, True, 0)
            encoder.get_static_pad("src").send_event(event)

    def _on_client_closed(self, client: Any) -> None:
        address, since = self._clients.pop(client, ("?", 0.0))
        if since:
            log.info("a viewer left", extra={"address": address, "after_s": round(time.monotonic() - since, 1)})
        else:
            self._warn_without_picture(address)

    def _warn_without_picture(self, address: str) -> None:
        """Log clients that left without a picture, at most once a minute."""
        self._without_picture += 1
        if time.monotonic() - self._last_warning > _WARNING_S:
            log.warning(
                "somebody connected to the preview and left without a picture",
                extra={"address": address, "times": self._without_picture},
            )
            self._last_warning, self._without_picture = time.monotonic(), 0
