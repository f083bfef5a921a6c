"""Test who may use the page of `edge-app lines`, and that no request makes it print a traceback."""

from __future__ import annotations

import http.client
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge_app.errors import PreviewError
from edge_app.web.server import PageServer, Routes


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    def state(data: Any) -> dict[str, Any]:
        return {"got": data}

    def refuse(_: Any) -> dict[str, Any]:
        raise PreviewError("not now")

    with PageServer(Routes(lambda: b"JPEG", state, state, refuse)) as running:
        yield running


def ask(
    server: PageServer, path: str, body: bytes | None = None, *, token: bool = True, **headers: str
) -> tuple[int, bytes]:
    parts = urlsplit(server.url)
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent.setdefault("Cookie", f"token={parse_qs(parts.query)['token'][0]}")
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.request("GET" if body is None else "POST", path, body, sent)
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


@pytest.mark.parametrize("path", ["/", "/page.js", "/picture.jpg", "/state", "/nowhere"])
def test_without_the_token_every_request_is_refused(server: PageServer, path: str) -> None:
    assert ask(server, path, token=False)[0] == 403
    assert ask(server, f"{path}?token=wrong", token=False)[0] == 403
    assert ask(server, f"{path}?token=", Cookie="token=")[0] == 403
    assert ask(server, path, Host="road.example.org")[0] == 403
    assert ask(server, path, Host="[")[0] == 403
    assert ask(server, path)[0] == (404 if path == "/nowhere" else 200)


def test_the_page_listens_on_loopback_alone(server: PageServer) -> None:
    assert server._server.server_address[0] == "127.0.0.1"


def test_a_request_must_be_json_of_limited_length(server: PageServer) -> None:
    assert ask(server, "/check", b"[1]") == (200, b'{"got": [1]}')
    assert ask(server, "/check", b"[1]", Content_Type="text/plain")[0] == 415
    assert ask(server, "/check", b"x" * 300_000)[0] == 413
    assert ask(server, "/check", b"[1]", Content_Length="-1")[0] == 413
    assert ask(server, "/check", b"[1")[0] == 400
    assert ask(server, "/check", b"[" * 100_000)[0] == 400
    assert ask(server, "/save", b"{}") == (422, b'{"problems": ["not now"]}')
    assert ask(server, "/state", b"{}")[0] == 404


@pytest.mark.parametrize(
    ("request_line", "more", "status"),
    [
        ("GET http://[ HTTP/1.1", "", b"403"),
        ("GET http://[ HTTP/1.1", "Cookie: token={token}", b"404"),
        ("POST http://[ HTTP/1.1", "Cookie: token={token}", b"404"),
        ("POST /check HTTP/1.1", "Cookie: token={token}\r\nContent-Length: " + "9" * 5000, b"413"),
        ("POST /check HTTP/1.1", "Cookie: token={token}\r\nContent-Length: 99999999999", b"413"),
        ("GET /sta", "", b""),
        ("POST /check HTTP/1.1", "Cookie: token={token}\r\nContent-Length: 50", b""),
    ],
)
def test_no_request_makes_it_print_a_traceback(
    server: PageServer, request_line: str, more: str, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    """With an empty status the client resets the connection in the middle of its request."""
    parts = urlsplit(server.url)
    token = parts.query.removeprefix("token=")
    head = f"{request_line}\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{more.format(token=token)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", int(parts.port or 0)), timeout=5) as client:
        client.sendall(head.encode() if status else head.encode()[: -4 if "POST" not in head else None])
        if status:
            assert client.recv(100).split()[1] == status
        else:
            time.sleep(0.1)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert ask(server, "/state")[0] == 200
    time.sleep(0.1)
    assert capfd.readouterr().err == ""


def test_closing_the_page_frees_its_port(server: PageServer) -> None:
    other = PageServer(Routes(bytes, lambda _: {}, lambda _: {}, lambda _: {}))
    with other:
        assert ask(other, "/state")[0] == 200
    with pytest.raises(OSError, match="refused"):
        ask(other, "/state")
    assert ask(server, "/state")[0] == 200
