"""Find the cameras that a device could use: V4L2, the Raspberry Pi's and the Jetson's own, and ONVIF in the network."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import socket
import struct
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from edge_app.sources.picamera import present as pi_cameras
from edge_app.sources.stream_probe import ask_server
from edge_app.system.names import clean

_QUERY: Final = 0x80685600
"""VIDIOC_QUERYCAP of linux/videodev2.h, a struct v4l2_capability of 104 bytes."""
_CAPTURE, _M2M, _DEVICE_CAPS = 0x1, 0xC000, 0x80000000
_OF_LIBCAMERA: Final = re.compile(r"unicam|rp1-cfe|bcm2835-isp|bcm2835-codec|pispbe|rpi.*|bm2835 mmal")
"""Drivers of the Raspberry Pi that give raw data of a sensor, or recode: they are used through picamera2."""
_JETSON: Final = "tegra-video"

_GROUP: Final = ("239.255.255.250", 3702)
_MOST: Final = 50
"""Cameras that are listed: what answers in a foreign network may be anything."""
_PATHS: Final = (
    *("/", "/stream1", "/Streaming/Channels/101", "/cam/realmonitor?channel=1&subtype=0", "/h264Preview_01_main"),
    *("/axis-media/media.amp", "/onvif1", "/live/ch00_0", "/live", "/11", "/live.sdp"),
)
"""Paths of the main stream on cameras of many makers."""
_PROBE: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>'
    '<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"'
    ' xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"'
    ' xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"'
    ' xmlns:dn="http://www.onvif.org/ver10/network/wsdl">'
    "<e:Header><w:MessageID>uuid:{id}</w:MessageID>"
    "<w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>"
    "<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action></e:Header>"
    "<e:Body><d:Probe><d:Types>dn:NetworkVideoTransmitter</d:Types></d:Probe></e:Body></e:Envelope>"
)


@dataclass(frozen=True, slots=True)
class FoundCamera:
    """A camera that was found. source: what `edge-app setup` takes for it. name: for people."""

    source: str
    name: str


def found_cameras(seconds: float = 1.5) -> list[FoundCamera]:
    """Return the cameras of this device, then those that answer in its networks within this time, s."""
    return [*pi_cameras_found(), *v4l2_cameras(), *onvif_cameras(seconds)]


def pi_cameras_found() -> list[FoundCamera]:
    """Return the cameras on the ribbon cables of a Raspberry Pi; none where picamera2 is missing."""
    return [FoundCamera("picamera" if n == 0 else f"picamera:{n}", f"ribbon cable, {name}") for n, name in pi_cameras()]


def v4l2_cameras(
    folder: Path = Path("/dev"), ioctl: Callable[[int, int, bytes], bytes] = fcntl.ioctl
) -> list[FoundCamera]:
    """Return the cameras among the V4L2 devices; on a Jetson those on its CSI connectors too."""
    found, sensors = [], 0
    for path in sorted(folder.glob("video*"), key=lambda path: (len(path.name), path.name)):
        driver, card, caps = _capabilities(path, ioctl)
        if not caps & _CAPTURE or caps & _M2M or _OF_LIBCAMERA.fullmatch(driver):
            continue
        if driver == _JETSON:
            source = "jetson-csi" if sensors == 0 else f"jetson-csi:{sensors}"
            sensors += 1
        else:
            source = str(path)
        found.append(FoundCamera(source, card))
    return found


def _capabilities(path: Path, ioctl: Callable[[int, int, bytes], bytes]) -> tuple[str, str, int]:
    """Return driver, name and abilities of a V4L2 device; no abilities where it cannot be asked."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        try:
            answer = ioctl(descriptor, _QUERY, bytes(104))
        finally:
            os.close(descriptor)
    except OSError:
        return "", "", 0
    driver, card, _bus, _version, all_caps, own_caps = struct.unpack("16s32s32sIII", answer[:92])
    return _text(driver), _text(card), own_caps if all_caps & _DEVICE_CAPS else all_caps


def _text(field: bytes) -> str:
    return clean(field.split(b"\0")[0].decode("utf-8", "replace"))


def onvif_cameras(seconds: float, group: tuple[str, int] = _GROUP) -> list[FoundCamera]:
    """Return the ONVIF cameras that answer one question in each network of this device within this time, s.

    Source: WS-Discovery 1.0 (2005), 5.2 and 5.3, with the type of ONVIF Core, 7.3.
    """
    found: dict[str, FoundCamera] = {}
    question = _PROBE.format(id=uuid.uuid4()).encode()
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for index, _ in socket.if_nameindex():
                with contextlib.suppress(OSError):  # no multicast there
                    sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"", b"", index))
                    sock.sendto(question, group)
            for answer, (address, _port) in _answers(sock, seconds):
                if b"ProbeMatch" in answer:
                    found.setdefault(address, FoundCamera(address, f"ONVIF {_name(answer)}".strip()))
    except OSError:  # no network at all
        return []
    return list(found.values())[:_MOST]


def _answers(sock: socket.socket, seconds: float) -> Iterator[tuple[bytes, tuple[str, int]]]:
    deadline = time.monotonic() + seconds
    for _ in range(10 * _MOST):
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            yield sock.recvfrom(65_536)
        except TimeoutError:
            return


def _name(answer: bytes) -> str:
    """Return the name that a camera gives itself, "" for none.

    By a pattern: a parser of XML can be made to use all memory by what somebody in the network sends.
    """
    name = re.search(r"onvif://www\.onvif\.org/name/([^\s<]{1,200})", answer.decode("utf-8", "replace"))
    return clean(unquote(name[1])) if name else ""


def stream_of(host: str, login: str = "", timeout: float = 2.0, paths: Sequence[str] = _PATHS) -> str:
    """Return the RTSP address of a camera's main stream without its login, found by trying usual paths; "" for none.

    host: name or address, perhaps with a port. login: USER:PASSWORD, percent-encoded.
    A camera that refuses the login is asked no further, since it might lock the user out: the address is the refused
    one then.
    """
    for path in paths:
        split = urlsplit(f"rtsp://{f'{login}@' if login else ''}{host}{path}")
        code = _code(split, timeout)
        if code in (200, 401, 403):
            return f"rtsp://{host}{path}"
        if code == 0:
            return ""
    return ""


def _code(parts: SplitResult, timeout: float) -> int:
    try:
        return ask_server(parts, timeout)
    except (OSError, ValueError):
        return 0
