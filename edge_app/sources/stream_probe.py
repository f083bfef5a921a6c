"""Ask the server of an RTSP or HTTP stream for its description, with the login of the address."""

from __future__ import annotations

import base64
import hashlib
import re
import socket
from urllib.parse import SplitResult, unquote

PORTS = {"rtsp": 554, "http": 80}
_LARGEST_ANSWER = 65536


def ask_server(parts: SplitResult, timeout: float) -> int:
    """Return the status code with which the server answers the request for the stream.

    parts: address with a scheme of `PORTS`. timeout: s, for the connection and for each part of the answer.
    Raises OSError: when there is no connection. ValueError: when the answer is neither RTSP nor HTTP.
    """
    code, head = _request(parts, "", timeout)
    if code != 401 or not parts.username:
        return code
    return _request(parts, _authorization(parts, head), timeout)[0]


def _request(parts: SplitResult, authorization: str, timeout: float) -> tuple[int, str]:
    method, target, version = _request_line(parts)
    lines = [f"{method} {target} {version}", f"Host: {parts.hostname}", "CSeq: 1", "Connection: close"]
    text = "\r\n".join([*lines, *([authorization] if authorization else []), "", ""])
    address = parts.hostname or "", parts.port or PORTS[parts.scheme]
    with socket.create_connection(address, timeout) as connection:
        connection.sendall(text.encode())
        head = _head(connection)
    status = re.match(r"(?:RTSP|HTTP)/\d\.\d (\d{3})", head)
    if not status:
        raise ValueError("no RTSP or HTTP answer")
    return int(status[1]), head


def _head(connection: socket.socket) -> str:
    answer = b""
    while b"\r\n\r\n" not in answer and len(answer) < _LARGEST_ANSWER:
        part = connection.recv(4096)
        if not part:
            break
        answer += part
    return answer.decode("latin-1")


def _request_line(parts: SplitResult) -> tuple[str, str, str]:
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme == "http":
        return "GET", path, "HTTP/1.1"
    return "DESCRIBE", f"rtsp://{parts.netloc.rpartition('@')[2]}{path}", "RTSP/1.0"


def _authorization(parts: SplitResult, head: str) -> str:
    """Return the header for the first challenge in `head`: Digest by RFC 2617, with or without qop=auth, else Basic."""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    challenge = re.search(r"(?im)^WWW-Authenticate: *Digest (.*)$", head)
    if not challenge:
        return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    fields = {key.lower(): value for key, value in re.findall(r'(\w+)="?([^",\r]*)', challenge[1])}
    method, target, _ = _request_line(parts)
    realm, nonce, qop = fields.get("realm", ""), fields.get("nonce", ""), "auth" if "qop" in fields else ""
    middle = f"{nonce}:00000001:edge:auth" if qop else nonce
    response = _md5(f"{_md5(f'{user}:{realm}:{password}')}:{middle}:{_md5(f'{method}:{target}')}")
    extra = ', qop=auth, nc=00000001, cnonce="edge"' if qop else ""
    return (
        f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", uri="{target}", '
        f'response="{response}"{extra}'
    )


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
