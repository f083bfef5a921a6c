"""Sentences about cameras and streams that do not open, without their logins."""

from __future__ import annotations

import base64
import errno
import hashlib
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.errors import SourceError
from edge_app.sources import open_source, probe
from edge_app.sources.diagnosis import why_no_camera, why_no_stream
from edge_app.system.redaction import redacted_url

word = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=8)
secret = st.text(st.characters(codec="ascii", min_codepoint=33), min_size=1, max_size=12).map(lambda s: f"S3{s}T3")


@given(user=word, password=secret, query=secret)
@settings(deadline=None, max_examples=60)
def test_login_and_query_are_not_shown(user: str, password: str, query: str) -> None:
    shown = redacted_url(f"rtsp://{user}:{password}@camera.example:554/road?token={query}#{query}")
    assert shown in ("rtsp://camera.example:554/road", "rtsp://***")
    assert "S3" not in shown


def test_an_address_without_secrets_is_shown_unchanged() -> None:
    assert redacted_url("rtsp://192.0.2.1:554/Streaming/Channels/101") == "rtsp://192.0.2.1:554/Streaming/Channels/101"


def test_the_login_of_an_address_without_a_scheme_is_not_shown() -> None:
    assert redacted_url("me:tops3cret@host/road?x") == "host/road"


def test_a_password_in_the_path_is_hidden() -> None:
    shown = redacted_url("rtsp://192.0.2.1/user=admin&password=tops3cret&channel=1.sdp")
    assert shown == "rtsp://192.0.2.1/user=***&password=***&channel=1.sdp"
    assert "tops3cret" not in redacted_url("rtsp://192.0.2.1/user=admin_password=tops3cret_channel=1.sdp")


def busy(_descriptor: int, _request: int, _buffer: bytes) -> bytes:
    raise OSError(errno.EBUSY, "Device or resource busy")


def granted(_descriptor: int, _request: int, buffer: bytes) -> bytes:
    return buffer


def test_an_absent_camera_is_explained() -> None:
    assert why_no_camera("/dev/video97").startswith("There is no camera /dev/video97")


def test_a_file_in_place_of_a_camera_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    assert "is not a camera" in why_no_camera(str(path))


def test_a_camera_in_use_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()  # machines without V4L2 run this test too, so the answer of the driver is simulated
    assert "in use by another program" in why_no_camera(str(path), ioctl=busy)
    assert "gives no pictures" in why_no_camera(str(path), ioctl=granted)


@pytest.mark.parametrize("device", [97, "97", "/dev/video97"])
def test_probe_raises_for_an_absent_camera(device: int | str) -> None:
    source = open_source("camera", device=device)
    with pytest.raises(SourceError, match="There is no camera /dev/video97"):
        probe(source, timeout=0.5)
    source.close()


@contextmanager
def server(*answers: str) -> Iterator[tuple[int, list[str]]]:
    """Answer one connection after the other with these texts; yield the port and the list of requests."""
    requests: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    requests.append(connection.recv(4096).decode())
                    connection.sendall(answer.encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1], requests
        thread.join(5)


REFUSED = "RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\n{}\r\n\r\n"
FOUND = "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n"


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_digest_with_qop_follows_rfc_2617() -> None:
    challenge = 'WWW-Authenticate: Digest realm="cam", nonce="abc", algorithm=MD5, qop="auth"'
    with server(REFUSED.format(challenge), FOUND) as (port, requests):
        sentence = why_no_stream(f"rtsp://me:p%40ss@127.0.0.1:{port}/road", 2.0)
    target = f"rtsp://127.0.0.1:{port}/road"
    response = md5(f"{md5('me:cam:p@ss')}:abc:00000001:edge:auth:{md5(f'DESCRIBE:{target}')}")
    assert f'response="{response}"' in requests[1]
    assert "sends no video that can be decoded" in sentence


@pytest.mark.parametrize(
    ("ways", "told"),
    [
        (["tcp"], "over TCP: check that it is H.264, H.265 or MJPEG, or try another source.transport."),
        (["udp"], "over UDP: check that it is H.264, H.265 or MJPEG, and the firewall for UDP."),
        (["tcp", "udp"], "over TCP or UDP: check that it is H.264, H.265 or MJPEG, and the firewall for UDP."),
    ],
)
def test_a_stream_without_video_is_not_blamed_on_its_codec_alone(ways: list[str], told: str) -> None:
    with server(FOUND) as (port, _):
        assert why_no_stream(f"rtsp://127.0.0.1:{port}/road", 2.0, ways).endswith(told)


def test_a_server_that_is_busy_for_a_moment_is_asked_again() -> None:
    """As after it has refused a transport."""
    with server("RTSP/1.0 503 Service Unavailable\r\nCSeq: 1\r\n\r\n", FOUND) as (port, requests):
        assert "sends no video" in why_no_stream(f"rtsp://127.0.0.1:{port}/road", 2.0)
    assert len(requests) == 2


def test_basic_is_used_where_the_server_asks_for_it() -> None:
    with server(REFUSED.format('WWW-Authenticate: Basic realm="cam"'), REFUSED.format("")) as (port, requests):
        sentence = why_no_stream(f"rtsp://me:pass@127.0.0.1:{port}/road", 2.0)
    assert base64.b64encode(b"me:pass").decode() in requests[1]
    assert "refuses the user name or the password" in sentence
    assert "Authorization" not in requests[0]


@pytest.mark.parametrize("answer", ["", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "x" * 100_000])
def test_a_server_of_another_protocol_is_explained(answer: str) -> None:
    with server(answer) as (port, _):
        assert "cannot be reached" in why_no_stream(f"rtsp://127.0.0.1:{port}/road", 2.0)


def test_a_network_that_is_gone_is_told_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr("edge_app.sources.diagnosis.ask_server", refuse)
    assert "cannot be reached (network is unreachable):" in why_no_stream("rtsp://192.0.2.1/road", 2.0)


def test_a_server_that_does_not_answer_is_explained() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert "does not answer" in why_no_stream(f"rtsp://127.0.0.1:{port}/road", 0.2)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("rtsp://127.0.0.1:9/x", "Nothing listens"),
        ("rtsp://no-such-host.invalid/x", "unknown"),
        ("https://user:tops3cret@127.0.0.1/x", "cannot be opened"),
    ],
)
def test_a_wrong_address_is_explained(url: str, sentence: str) -> None:
    explanation = why_no_stream(url, 1.0)
    assert sentence in explanation
    assert re.search("tops3cret|\n", explanation) is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://u:tops3cret@host/x",
        "rtsp://u:tops3cret@:554/x",
        "rtsp://u:tops3cret@host:99999/",
        "rtsp://u:tops3cret@[::1/",
    ],
)
def test_an_invalid_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(SourceError, match="not the address of a stream") as caught:
        open_source("stream", url=url)
    assert "tops3cret" not in str(caught.value)
    assert caught.value.__cause__ is None
