"""What may be shown of an address, and why a camera or a stream does not open: OpenCV knows only that it did not."""

from __future__ import annotations

import base64
import errno
import fcntl
import hashlib
import os
import re
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from edge_app.errors import SourceError

_SCHEMES = ("rtsp", "rtsps", "http", "https")
_PORTS = {"rtsp": 554, "http": 80}
_REQUEST_BUFFERS = 0xC0145608  # VIDIOC_REQBUFS of linux/videodev2.h, a struct of five 32-bit numbers
_CAPTURE, _MMAP = 1, 1
_LARGEST_ANSWER = 65536


def masked(url: str) -> str:
    """The address as it may be shown: no login, no query, no password in the path as some cameras want it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    login, _, place = rest.rpartition("@")
    if re.search(r"[?#]", login):  # a login with such a sign, or a query with an @: no telling where the host begins
        return f"{scheme}{separator}***"
    shown = scheme + separator + re.split(r"[?#]", place)[0]
    return re.sub(r"(?i)(user|pass|pwd|token|auth)([a-z]*)=[^/&]*", r"\1\2=***", shown)


def stream_address(url: str) -> SplitResult:
    """The parts of a stream's address. Raises SourceError when it is none."""
    try:
        parts = urlsplit(url)
        if parts.scheme in _SCHEMES and parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # its text would repeat the address and with it a password
        pass
    form = "rtsp://HOST:PORT/PATH or http://HOST:PORT/PATH"
    raise SourceError(f'"{masked(url)}" is not the address of a stream: write it as {form}.') from None


def why_no_camera(device: str, ioctl: Callable[[int, int, bytes], bytes] = fcntl.ioctl) -> str:
    """One sentence about a V4L2 device that gives no pictures; asks the driver whether it is busy."""
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
        try:
            ioctl(descriptor, _REQUEST_BUFFERS, struct.pack("5I", 1, _CAPTURE, _MMAP, 0, 0))
        finally:
            os.close(descriptor)
    except OSError as error:
        return _camera_sentence(device, error.errno)
    return f"Camera {device} opens but gives no pictures: check its cable, and width, height and fps asked of it."


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


def why_no_stream(url: str, timeout: float) -> str:
    """One sentence about a stream that does not open: asks the server itself, with the login as a client would."""
    shown, parts = masked(url), stream_address(url)
    if parts.scheme not in _PORTS:
        return f"The stream {shown} cannot be opened: check the address and that the camera is on."
    try:
        code = _ask(parts, timeout)
    except socket.gaierror:
        return f"The host of {shown} is unknown: check its name and the name server."
    except ConnectionRefusedError:
        return f"Nothing listens at {shown}: check address and port, and that the camera is on."
    except TimeoutError:
        return f"{shown} does not answer: check the address, the network and that the camera is on."
    except (OSError, ValueError) as error:
        return f"{shown} cannot be reached ({type(error).__name__}): check the address and the network."
    return _answer_sentence(shown, code, bool(parts.username))


def _answer_sentence(shown: str, code: int, with_login: bool) -> str:
    if code in (401, 403) and not with_login:
        return f"{shown} wants a user name and a password: set source.username and source.password."
    if code in (401, 403):
        return f"{shown} refuses the user name or the password: check source.username and source.password."
    if code == 404:
        return f"{shown} has no such stream: check the path of the address."
    if code >= 400:
        return f"{shown} refuses the stream (answer {code}): check the address and the camera's settings."
    return f"{shown} answers, but sends no video that can be decoded: check that it is H.264, H.265 or MJPEG."


def _ask(parts: SplitResult, timeout: float) -> int:
    code, head = _request(parts, "", timeout)
    if code != 401 or not parts.username:
        return code
    return _request(parts, _authorization(parts, head), timeout)[0]


def _request(parts: SplitResult, authorization: str, timeout: float) -> tuple[int, str]:
    method, target, version = _words(parts)
    lines = [f"{method} {target} {version}", f"Host: {parts.hostname}", "CSeq: 1", "Connection: close"]
    text = "\r\n".join([*lines, *([authorization] if authorization else []), "", ""])
    address = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(text.encode())
        head = _head(connection)
    found = re.match(r"(?:RTSP|HTTP)/\d\.\d (\d{3})", head)
    if not found:
        raise ValueError("no RTSP or HTTP answer")
    return int(found[1]), head


def _head(connection: socket.socket) -> str:
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _LARGEST_ANSWER:
        part = connection.recv(4096)
        if not part:
            break
        answer += part
    return answer.decode("latin-1")


def _words(parts: SplitResult) -> tuple[str, str, str]:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        return "GET", path, "HTTP/1.1"
    return "DESCRIBE", f"rtsp://{parts.netloc.rpartition('@')[2]}{path}", "RTSP/1.0"


def _authorization(parts: SplitResult, head: str) -> str:
    """Answer to the first challenge in `head`: Digest as RFC 2617 without and with qop=auth, else Basic."""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    challenge = re.search(r"(?im)^WWW-Authenticate: *Digest (.*)$", head)
    if not challenge:
        return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    given = {key.lower(): value for key, value in re.findall(r'(\w+)="?([^",\r]*)', challenge[1])}
    method, target, _ = _words(parts)
    realm, nonce, qop = given.get("realm", ""), given.get("nonce", ""), "auth" if "qop" in given else ""
    middle = f"{nonce}:00000001:edge:auth" if qop else nonce
    response = _md5(f"{_md5(f'{user}:{realm}:{password}')}:{middle}:{_md5(f'{method}:{target}')}")
    extra = ', qop=auth, nc=00000001, cnonce="edge"' if qop else ""
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}", '
        f'response="{response}"{extra}'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
