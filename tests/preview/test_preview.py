"""Test the live preview of a real service with real viewers over RTSP: pictures, logins, and faulty viewers."""

from __future__ import annotations

import contextlib
import logging
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from edge_app import cli
from edge_app.config.model import Config, LineConfig, MqttConfig, StoreConfig
from edge_app.config.preview import PreviewConfig, PrivacyConfig
from edge_app.config.source import SourceConfig
from edge_app.errors import PreviewError
from edge_app.mqtt.embedded_broker import HOST, embedded
from edge_app.preview import snapshot_socket
from edge_app.preview.rtsp import RtspServer, Stream
from edge_app.service import Service
from tests.support.ports import free_port
from tests.support.preview_cases import needs_gstreamer, rtsp_picture, running_service, wait_for

MASK = ((0.0, 0.0), (0.2, 0.3))
RATE = 10.0
"""Of the street, frames/s."""
PASSWORD = "a secret, with/signs"


@dataclass(frozen=True)
class Running:
    """The running service with its configuration and its RTSP server."""

    service: Service
    config: Config
    server: RtspServer

    def url(self, path: str, login: str = "tech:a secret, with%2Fsigns") -> str:
        return f"rtsp://{login.replace(' ', '%20')}{'@' * bool(login)}127.0.0.1:{self.config.preview.port}/{path}"

    @property
    def watched(self) -> list[str]:
        """Paths of the streams that are being watched."""
        return [stream.path for stream in self.server._streams if stream.watched]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Run the whole service on the rendered street, with a mask and with a preview that needs a password."""
    servers: list[RtspServer] = []
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        config = Config(
            source=SourceConfig(kind="street", fps=RATE),
            mqtt=MqttConfig(host=HOST, port=stack.enter_context(embedded())),
            store=StoreConfig(folder=tmp_path_factory.mktemp("service") / "state"),
            privacy=PrivacyConfig(masks=(MASK,)),
            preview=PreviewConfig(
                enabled=True, port=free_port(), username="tech", password=SecretStr(PASSWORD), width=640, rate=5
            ),
        )
        construct = RtspServer.__init__

        def construct_noted(server: RtspServer, *args: object, **options: object) -> None:
            construct(server, *args, **options)  # type: ignore[arg-type]  # passed on unchanged
            servers.append(server)

        patch.setattr(RtspServer, "__init__", construct_noted)
        service = stack.enter_context(running_service(config))
        wait_for(lambda: service.frames > 5)
        yield Running(service, config, servers[0])


@contextmanager
def viewer(url: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """Play a stream with ffmpeg until the end of the context. options: what ffmpeg does with it."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-rtsp_transport",
        "tcp",
        "-analyzeduration",
        "200000",
        "-i",
        url,
        *(options or ("-f", "null")),
    ]
    with subprocess.Popen([*command, "-"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()  # ends a stopped process too
            child.communicate()


@needs_gstreamer
def test_both_streams_play_in_their_sizes_behind_the_mask(running: Running) -> None:
    annotated, plain = rtsp_picture(running.url("annotated")), rtsp_picture(running.url("plain"))
    assert annotated.shape == (360, 640, 3)
    assert plain.shape == (720, 1280, 3)
    assert plain[10:200, 10:240].max() < 30, "masked"
    assert plain[300:].mean() > 60
    line = annotated[140:340, 316:325].min(axis=2).max(axis=1)
    assert np.median(line) > 170, "the line, white from top to bottom"


@needs_gstreamer
@pytest.mark.parametrize("login", ["", "tech:wrong", "other:a secret, with%2Fsigns"])
def test_without_the_password_a_viewer_is_refused(running: Running, login: str) -> None:
    with viewer(running.url("plain", login)) as child:
        _, error = child.communicate(timeout=20)
    assert child.returncode != 0
    assert b"401" in error
    assert not running.watched


@needs_gstreamer
def test_nothing_is_encoded_while_nobody_watches_and_viewers_are_logged(
    running: Running, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    wait_for(lambda: not running.watched)
    with viewer(running.url("annotated")):
        wait_for(lambda: running.watched == ["/annotated"])
        wait_for(lambda: any(thread.name == "preview" for thread in threading.enumerate()))
        wait_for(lambda: "a viewer watches" in caplog.text)
    wait_for(lambda: not running.watched)
    wait_for(lambda: "a viewer left" in caplog.text)
    assert not running.server.has_viewers.is_set()


@pytest.mark.long
@needs_gstreamer
def test_a_later_viewer_gets_a_key_frame_at_once(running: Running) -> None:
    """Among the first three frames: one or two may be on their way at its request; a regular one comes every 20."""
    with viewer(running.url("annotated")) as first:
        wait_for(lambda: running.watched == ["/annotated"])
        for _ in range(2):
            time.sleep(0.7)  # in the middle of the four seconds between two regular ones
            frames = running.service.frames
            with viewer(running.url("annotated"), "-c", "copy", "-copyinkf", "-frames:v", "3", "-f", "h264") as late:
                try:
                    stream, _ = late.communicate(timeout=20)
                except subprocess.TimeoutExpired:  # seen once, on an overloaded machine, and never explained
                    counted = running.service.frames - frames
                    pytest.fail(f"nothing in 20 s: first viewer {first.poll()}, {running.watched}, {counted} frames")
            kinds = {part[0] & 31 for part in stream.split(b"\0\0\1")[1:] if part}
            assert 5 in kinds, f"no key frame, only {kinds}"


@pytest.mark.long
@needs_gstreamer
def test_a_frozen_viewer_changes_nothing_for_counting_and_for_others(running: Running) -> None:
    def seconds_for_two_of_the_street(within: float) -> float:
        began, frames = time.monotonic(), running.service.frames
        wait_for(lambda: running.service.frames >= frames + 2 * RATE, within)
        return time.monotonic() - began

    with viewer(running.url("plain")) as frozen, viewer(running.url("plain")) as other:
        wait_for(lambda: running.watched == ["/plain"])
        before = seconds_for_two_of_the_street(30.0)
        frozen.send_signal(signal.SIGSTOP)
        time.sleep(1.0)
        for _ in range(2):
            seconds_for_two_of_the_street(3 * before)  # a machine with other work is slower now and then
        assert rtsp_picture(running.url("plain")).shape == (720, 1280, 3)
        assert other.poll() is None
    wait_for(lambda: not running.watched)
    seconds_for_two_of_the_street(3 * before)


@needs_gstreamer
def test_a_snapshot_of_the_running_service(
    running: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = running.config.store.folder
    path = tmp_path / "edge-app.toml"
    path.write_text(f'[store]\nfolder = "{folder}"\n')
    out = tmp_path / "now.jpg"
    assert cli.main(["snapshot", "--config", str(path), "--out", str(out), "--width", "640"]) == 0
    assert "running service" in capsys.readouterr().out
    image = cv2.imread(str(out))
    assert image is not None
    assert image.shape == (360, 640, 3)
    assert out.stat().st_mode & 0o777 == 0o600
    assert (folder / snapshot_socket.NAME).stat().st_mode & 0o777 == 0o600
    bare = cv2.imdecode(
        np.frombuffer(snapshot_socket.request_snapshot(folder, annotated=False, width=320) or b"", np.uint8),
        cv2.IMREAD_COLOR,
    )
    assert bare is not None
    assert bare[4:48, 4:60].max() < 30, "masked"


@needs_gstreamer
def test_damaged_requests_are_refused_and_the_server_goes_on(running: Running) -> None:
    """Requests damaged at random, without and with a body, and RTP in place of a request."""
    url, rng = running.url("plain", ""), random.Random(4)
    rest = "CSeq: 2\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\nContent-Length: 9\r\n\r\n"
    seeds = [
        f"{verb} {url} RTSP/1.0\r\n{rest}".encode()
        for verb in ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "ANNOUNCE", "SET_PARAMETER")
    ]
    seeds += [b"GET /plain HTTP/1.0\r\nx-sessioncookie: 1\r\n\r\n", b"$\0\xff\xff" + bytes(60)]
    for _ in range(300):
        request = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(6)):
            request[rng.randrange(len(request))] = rng.randrange(256)
        with socket.create_connection(("127.0.0.1", running.config.preview.port), 5) as sock:
            sock.sendall(request)
            sock.settimeout(0.002)
            with contextlib.suppress(OSError):
                # OPTIONS and an empty SET_PARAMETER only ask whether the server is alive (RFC 2326, 10.1 and 10.9)
                harmless = request.startswith((b"OPTIONS", b"SET_PARAMETER"))
                assert harmless or not sock.recv(20).startswith(b"RTSP/1.0 200")
    assert rtsp_picture(running.url("plain")).shape == (720, 1280, 3)


@needs_gstreamer
def test_a_viewer_in_the_network_may_use_udp(tmp_path: Path) -> None:
    stream = Stream("/annotated", 10, (160, 120))
    server = RtspServer([stream], address="0.0.0.0", port=0, login=("tech", "pass"))
    url, still = f"rtsp://tech:pass@127.0.0.1:{server.port}/annotated", tmp_path / "still.png"
    command = ("ffmpeg", "-v", "error", "-rtsp_transport", "udp", "-i", url, "-frames:v", "1", str(still))
    deadline = time.monotonic() + 60
    with subprocess.Popen(command) as viewer:
        while viewer.poll() is None:
            server.push(stream, np.full((120, 160, 3), 200, np.uint8))
            time.sleep(0.05)
            if time.monotonic() > deadline:
                viewer.kill()
    server.close()
    assert viewer.returncode == 0
    assert cv2.imread(str(still)).mean() > 150


@needs_gstreamer
def test_a_taken_port_is_one_sentence(running: Running) -> None:
    with pytest.raises(PreviewError, match=f"cannot listen on 127.0.0.1:{running.config.preview.port}"):
        RtspServer([Stream("/a", 5)], port=running.config.preview.port)


@pytest.mark.long
@needs_gstreamer
def test_without_a_camera_the_preview_says_so(tmp_path: Path) -> None:
    """Viewers get a grey picture with the table, and there is no snapshot."""
    with ExitStack() as stack:
        config = Config(
            source=SourceConfig(kind="stream", url=SecretStr("rtsp://127.0.0.1:9/none")),
            lines=(LineConfig(id="a", start=(0.1, 0.5), end=(0.9, 0.5)),),
            mqtt=MqttConfig(host=HOST, port=stack.enter_context(embedded())),
            store=StoreConfig(folder=tmp_path / "state"),
            preview=PreviewConfig(enabled=True, port=free_port(), width=640),
        )
        stack.enter_context(running_service(config))
        picture = rtsp_picture(f"rtsp://127.0.0.1:{config.preview.port}/annotated")
        with pytest.raises(PreviewError, match="no fresh picture"):
            snapshot_socket.request_snapshot(config.store.folder, annotated=True)
    assert picture.shape == (360, 640, 3)
    assert abs(int(np.median(picture)) - 36) < 8
    assert picture.max() > 180, "the line and the table"
