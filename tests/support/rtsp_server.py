"""Real RTSP server for tests: gst-rtsp-server in a child process of the system's Python.

The module is both `RtspServer` for the tests and the script that the child runs under /usr/bin/python3, which has
Debian's `gi` (a venv does not see it).
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from functools import cache

SYSTEM_PYTHON = "/usr/bin/python3"
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
BALL = "videotestsrc is-live=true pattern=ball"
"""White ball that moves on black: no two consecutive pictures are equal."""
STILL = "videotestsrc is-live=true pattern=circular"
"""The same picture always, as from a camera whose sensor hangs while its encoder works."""
H264 = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10"


@cache
def why_not() -> str:
    """Return the reason why no server can run here, or an empty string."""
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import Gst; Gst.init(None); "
    probe += "assert Gst.ElementFactory.find('x264enc')"
    try:
        subprocess.run([SYSTEM_PYTHON, "-c", probe], check=True, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return f"needs {SYSTEM_PYTHON} with gst-rtsp-server and x264enc (apt install {PACKAGES})"
    return ""


class RtspServer:
    """Server of one generated stream at `url` until it is closed.

    source, encoder: GStreamer elements in launch syntax. width, height: px. rate: frames/s. login: "user:password",
    empty for none. port: 0 takes a free one. transport: "udp" or "tcp" alone, empty for both.
    """

    def __init__(
        self,
        source: str = BALL,
        *,
        width: int = 320,
        height: int = 240,
        rate: int = 25,
        encoder: str = H264,
        login: str = "",
        port: int = 0,
        transport: str = "",
    ) -> None:
        caps = f"video/x-raw,width={width},height={height},framerate={rate}/1"
        launch = f"{source} ! {caps} ! videoconvert ! {encoder} ! rtph264pay name=pay0 pt=96"
        command = [SYSTEM_PYTHON, __file__, "--launch", launch, "--port", str(port), "--login", login]
        command += ["--transport", transport]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._child.stdout is not None
        self.port = int(self._child.stdout.readline())

    @property
    def url(self) -> str:
        return self.url_as("")

    def url_as(self, login: str, path: str = "/road") -> str:
        """Return the address with a login ("user:password") and a path."""
        return f"rtsp://{login}{'@' if login else ''}127.0.0.1:{self.port}{path}"

    def freeze(self) -> None:
        """Stop the process while its sockets stay open, as when a camera hangs."""
        self._child.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._child.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill the process, as when a camera loses its power."""
        self._child.kill()
        self._child.communicate()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def serve(launch: str, port: int, login: str, transport: str) -> None:
    """Serve in the child until stdin closes, so that no server outlives the tests."""
    import gi

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtsp", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtsp, GstRtspServer

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(f"( {launch} )")
    factory.set_shared(True)
    if transport:
        factory.set_protocols(getattr(GstRtsp.RTSPLowerTrans, transport.upper()))
    if login:
        _protect(GstRtspServer, server, factory, *login.split(":"))
    server.get_mount_points().add_factory("/road", factory)
    server.attach(None)
    print(server.get_bound_port(), flush=True)
    loop = GLib.MainLoop()
    GLib.io_add_watch(sys.stdin, GLib.PRIORITY_DEFAULT, GLib.IOCondition.HUP, lambda *_: loop.quit())
    loop.run()


def _protect(rtsp, server, factory, user: str, password: str) -> None:  # type: ignore[no-untyped-def]  # gi has no types
    from gi.repository import GstRtsp

    auth = rtsp.RTSPAuth()
    auth.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)  # used by nearly every camera
    token = rtsp.RTSPToken()
    token.set_string("media.factory.role", user)
    auth.add_digest(user, password, token)
    server.set_auth(auth)
    permissions = rtsp.RTSPPermissions()
    for right in ("media.factory.access", "media.factory.construct"):
        permissions.add_permission_for_role(user, right, True)
    factory.set_permissions(permissions)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--launch", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--login", required=True)
    parser.add_argument("--transport", required=True)
    options = parser.parse_args()
    serve(options.launch, options.port, options.login, options.transport)
