"""Explain in one sentence why a camera or a stream does not open; OpenCV reports only that it did not."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

from edge_app.errors import SourceError, reason_of
from edge_app.sources.stream_probe import PORTS, ask_server
from edge_app.system.redaction import CUT_LOGIN, has_cut_login, redacted_url

_SCHEMES = ("rtsp", "rtsps", "http", "https")
_REQUEST_BUFFERS = 0xC0145608  # VIDIOC_REQBUFS of linux/videodev2.h, a struct of five 32-bit numbers
_CAPTURE, _MMAP = 1, 1
_UNAVAILABLE = 503
_AGAIN_S = 0.5
_LOGIN: Final = "source.username and source.password"


def stream_address(url: str) -> SplitResult:
    """Split the address of a stream. Raises SourceError: when it is not a valid one."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _SCHEMES and parts.hostname and parts.port != 0 and not has_cut_login(url):
            return parts
    except ValueError:  # not chained: its text repeats the address, which may hold a password
        pass
    if has_cut_login(url):
        raise SourceError(f'"{redacted_url(url)}" {CUT_LOGIN}.')
    form = "rtsp://HOST:PORT/PATH or http://HOST:PORT/PATH"
    raise SourceError(f'"{redacted_url(url)}" is not the address of a stream: write it as {form}.') from None


def why_no_camera(device: str, ioctl: Callable[[int, int, bytes], bytes] = fcntl.ioctl) -> str:
    """Return one sentence about a V4L2 device that gives no pictures; the driver is asked if it is busy."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
        try:
            ioctl(descriptor, _REQUEST_BUFFERS, struct.pack("5I", 1, _CAPTURE, _MMAP, 0, 0))
        finally:
            os.close(descriptor)
    except OSError as error:
        return _camera_sentence(device, error.errno)
    return f"Camera {device} opens but gives no pictures: check its cable, and source.width, height and fps."


def _camera_sentence(device: str, code: int | None) -> str:
    if code in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        present = ", ".join(str(path) for path in sorted(Path("/dev").glob("video*"))) or "no /dev/video at all"
        return f"There is no camera {device} (the system has {present}): plug it in or change source.device."
    if code == errno.EBUSY:
        return f"Camera {device} is in use by another program: stop that one ('fuser -v {device}' names it)."
    if code in (errno.EACCES, errno.EPERM):
        return f"Camera {device} may not be opened by this user: add the user to the group 'video'."
    if code in (errno.ENOTTY, errno.EINVAL, errno.EISDIR):
        return f"{device} is not a camera that captures video: choose another one for source.device."
    return f"Camera {device} cannot be opened ({os.strerror(code or 0)}): check its cable."


def why_no_stream(url: str, timeout: float, ways: Sequence[str] = ("tcp",)) -> str:
    """Return one sentence about a stream that does not open; the server is asked, with the login of the address.

    ways: the transports that were tried.
    """
    return why_no_server(url, timeout) or _no_video(url, ways)


def why_no_server(url: str, timeout: float) -> str:
    """Return one sentence about a server that does not describe its stream; empty when it does."""
    shown, parts = redacted_url(url), stream_address(url)
    if parts.scheme not in PORTS:
        return f"The stream {shown} cannot be opened: check the address and that the camera is on."
    try:
        code = ask_server(parts, timeout)
        if code == _UNAVAILABLE:  # as some are for a moment after they have refused a transport
            time.sleep(_AGAIN_S)
            code = ask_server(parts, timeout)
    except socket.gaierror:
        return f"The host of {shown} is unknown: check its name and the name server."
    except ConnectionRefusedError:
        return f"Nothing listens at {shown}: check address and port, and that the camera is on."
    except TimeoutError:
        return f"{shown} does not answer: check the address, the network and that the camera is on."
    except OSError as error:
        return f"{shown} cannot be reached ({reason_of(error)}): check the address and the network."
    except ValueError:
        return f"{shown} cannot be reached (what answers there is no camera): check address and port."
    return _status_sentence(shown, code, bool(parts.username))


def is_about_login(sentence: str) -> bool:
    """Return whether a sentence of `why_no_server` says that the server wants another user name or password."""
    return f"{_LOGIN}." in sentence


def _status_sentence(shown: str, code: int, with_login: bool) -> str:
    if code in (401, 403) and not with_login:
        return f"{shown} wants a user name and a password: set {_LOGIN}."
    if code in (401, 403):
        return f"{shown} refuses the user name or the password: check {_LOGIN}."
    if code == 404:
        return f"{shown} has no such stream: check the path of the address."
    if code >= 400:
        return f"{shown} refuses the stream (answer {code}): check the address and the camera's settings."
    return ""


def _no_video(url: str, ways: Sequence[str]) -> str:
    """Return one sentence about a server that describes a stream and sends none."""
    over, also = "", ""
    if urlsplit(url).scheme == "rtsp":
        over = f" over {' or '.join(way.upper() for way in ways)}"
        also = ", and the firewall for UDP" if "udp" in ways else ", or try another source.transport"
    shown = redacted_url(url)
    return (
        f"{shown} answers, but sends no video that can be decoded{over}: check that it is H.264, H.265 or MJPEG{also}."
    )
