"""Finding cameras: V4L2 devices by what their drivers say, ONVIF by a real question to a group on loopback."""

from __future__ import annotations

import errno
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_app.sources.discovery import onvif_cameras, stream_of, v4l2_cameras

GROUP = "239.255.255.250"
ANSWER = (
    b'<?xml version="1.0"?><e:Envelope><e:Body><d:ProbeMatches><d:ProbeMatch><d:Scopes>'
    b"onvif://www.onvif.org/type/video_encoder onvif://www.onvif.org/name/Quay%20North\x1b[2J"
    b"</d:Scopes></d:ProbeMatch></d:ProbeMatches></e:Body></e:Envelope>"
)


def test_only_devices_that_capture_are_cameras(tmp_path: Path) -> None:
    devices = {
        "video0": ("uvcvideo", "HD Webcam", 0x84A00001, 0x04200001),
        "video1": ("uvcvideo", "HD Webcam", 0x84A00001, 0x04A00000),  # its metadata
        "video2": ("unicam", "unicam", 0x85A00001, 0x05200001),  # raw data of a sensor
        "video10": ("bcm2835-codec", "decoder", 0x84204000, 0x04204000),
        "video11": ("tegra-video", "vi-output, imx477", 0x84200001, 0x04200001),
        "video12": ("tegra-video", "vi-output, imx219", 0x84200001, 0x04200001),
        "video13": ("old", "no own abilities", 0x04000001, 0),
    }
    for name in (*devices, "video14"):
        (tmp_path / name).touch()

    def query(descriptor: int, request: int, argument: bytes) -> bytes:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        assert (request, len(argument)) == (0x80685600, 104)
        if name not in devices:
            raise OSError(errno.ENOTTY, "no V4L2 device")
        driver, card, every, own = devices[name]
        return struct.pack("16s32s32sIII12x", driver.encode(), card.encode(), b"", 0, every, own)

    assert [(found.source.replace(str(tmp_path), "/dev"), found.name) for found in v4l2_cameras(tmp_path, query)] == [
        ("/dev/video0", "HD Webcam"),
        ("jetson-csi", "vi-output, imx477"),
        ("jetson-csi:1", "vi-output, imx219"),
        ("/dev/video13", "no own abilities"),
    ]


@contextmanager
def responder(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Answer the first question to the group; yield its port and the questions."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 0))
        sock.settimeout(10)
        loopback = struct.pack("4s4si", socket.inet_aton(GROUP), b"", socket.if_nametoindex("lo"))
        try:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, loopback)
        except OSError as error:
            pytest.skip(f"no multicast on loopback: {error}")
        questions: list[bytes] = []

        def run() -> None:
            question, address = sock.recvfrom(65_536)
            questions.append(question)
            for answer in answers:
                sock.sendto(answer, address)

        thread = threading.Thread(target=run)
        thread.start()
        yield sock.getsockname()[1], questions
        thread.join()


def test_onvif_cameras_answer_one_question() -> None:
    with responder(b"<html>a printer</html>", b"\xff" * 60_000, ANSWER, ANSWER) as (port, questions):
        found = onvif_cameras(0.3, (GROUP, port))
    assert [camera.name for camera in found] == ["ONVIF Quay North [2J"]
    assert socket.inet_aton(found[0].source)
    assert b"dn:NetworkVideoTransmitter" in questions[0]


def test_nobody_answers() -> None:
    assert onvif_cameras(0.05, ("127.0.0.1", 9)) == []


@pytest.mark.parametrize(
    ("codes", "path"), [([404, 404, 200], "/third"), ([404, 401], "/second"), ([404, 404, 404], "")]
)
def test_the_stream_of_an_address_is_found(codes: list[int], path: str) -> None:
    """A camera that refuses the login is asked no further."""
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def run() -> None:
            for code in codes:
                client, _ = server.accept()
                with client:
                    asked.append(client.recv(4096))
                    client.sendall(f"RTSP/1.0 {code} .\r\nCSeq: 1\r\n\r\n".encode())

        thread = threading.Thread(target=run)
        thread.start()
        host = f"127.0.0.1:{server.getsockname()[1]}"
        assert stream_of(host, paths=("/first", "/second", "/third")) == (f"rtsp://{host}{path}" if path else "")
        thread.join()
    assert len(asked) == len(codes)
