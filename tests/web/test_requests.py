"""Test who may use the page of `edge-app lines`, and that no request makes it print a traceback."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from edge_app.errors import PreviewError
from edge_app.system.bounded_server import BoundedServer
from edge_app.web.live_pictures import MOST_VIEWERS, LivePictures
from edge_app.web.server import PageServer, Routes


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    def state(data: Any) -> dict[str, Any]:
        return {"got": data}

    def refuse(_: Any) -> dict[str, Any]:
        raise PreviewError("not now")

    def day(values: Any) -> tuple[str, bytes]:
        if "date" not in values:
            raise PreviewError("which day?")
        return f"{values['date']}.csv", b"start,end\r\n"

    with PageServer(
        Routes(
            lambda: b"JPEG",
            LivePictures(lambda: b"LIVE"),
            {"/state": state},
            {"/check": state, "/save": refuse},
            {"/day.csv": day},
        )
    ) as running:
        yield running


def ask(
    server: PageServer, path: str, body: bytes | None = None, *, token: bool = True, **headers: str
) -> tuple[int, bytes]:
    parts = urlsplit(server.url)
    sent = {"Content-Type": "application/json", "Origin": f"http://{parts.netloc}"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        sent.setdefault("Cookie", f"token={parse_qs(parts.query)['token'][0]}")
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    connection.request("GET" if body is None else "POST", path, body, sent)
    answer = connection.getresponse()
    result = answer.status, answer.read()
    connection.close()
    return result


PATHS = ("/", "/page.js", "/messages.json", "/picture.jpg", "/live.mjpeg", "/state", "/day.csv?date=x", "/nowhere")


@pytest.fixture(autouse=True)
def short_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.web.live_pictures._LASTS_S", 0.01)


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_every_request_is_refused(server: PageServer, path: str) -> None:
    assert ask(server, path, token=False)[0] == 403
    more = "&" if "?" in path else "?"
    assert ask(server, f"{path}{more}token=wrong", token=False)[0] == 403
    assert ask(server, f"{path}{more}token=", Cookie="token=")[0] == 403
    assert ask(server, path, Host="road.example.org")[0] == 403
    assert ask(server, path, Host="[")[0] == 403
    assert ask(server, path)[0] == (404 if path == "/nowhere" else 200)


@pytest.mark.parametrize("path", ["/check", "/save"])
def test_only_the_page_itself_may_change_something(server: PageServer, path: str) -> None:
    """A browser sends the cookie with requests of every page of this machine, whatever its port."""
    host = urlsplit(server.url).netloc
    allowed = 200 if path == "/check" else 422
    assert ask(server, path, b"{}")[0] == allowed
    assert ask(server, path, b"{}", Host="localhost:1234", Origin="http://localhost:1234")[0] == allowed
    for origin in (
        "http://127.0.0.1:1",
        "http://127.0.0.1",
        f"https://{host}",
        f"http://{host}.example.org",
        f"http://localhost:{host.rpartition(':')[2]}",
        "http://example.org",
        "null",
        "",
    ):
        assert ask(server, path, b"{}", Origin=origin)[0] == 403, origin
    token = urlsplit(server.url).query.removeprefix("token=")
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nCookie: token={token}\r\n"
    with socket.create_connection(("127.0.0.1", int(host.rpartition(":")[2])), timeout=5) as client:
        client.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert client.recv(100).split()[1] == b"403"


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
    own = "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nContent-Type: application/json"
    head = f"{request_line}\r\n{own}\r\n{more.format(token=token)}\r\n\r\n"
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


@pytest.mark.parametrize(
    "path", ["/server.py", "/../server.py", "/page/page.js", "/.", "/index.html/", "/%2e%2e/server.py"]
)
def test_no_address_leads_out_of_the_folder_of_the_page(server: PageServer, path: str) -> None:
    assert ask(server, path)[0] == 404


def test_the_language_is_that_of_the_browser_or_the_one_that_was_chosen(server: PageServer) -> None:
    token = parse_qs(urlsplit(server.url).query)["token"][0]
    assert b'"language": "de"' in ask(server, "/messages.json", Accept_Language="de-AT,en;q=0.7")[1]
    both = f"token={token}; language=vi"
    assert b'"language": "vi"' in ask(server, "/messages.json", Cookie=both, Accept_Language="de")[1]


def test_a_file_has_a_name_and_a_mistake_is_one_sentence(server: PageServer) -> None:
    assert ask(server, "/day.csv?date=2026-11-30") == (200, b"start,end\r\n")
    assert ask(server, "/day.csv") == (422, b'{"problems": ["which day?"]}')


def test_live_pictures_are_for_few_at_a_time(server: PageServer) -> None:
    live = server._server.RequestHandlerClass.routes.live  # type: ignore[attr-defined]
    assert b"LIVE" in ask(server, "/live.mjpeg")[1]
    for _ in range(MOST_VIEWERS):
        assert live.enter()
    assert ask(server, "/live.mjpeg")[0] == 503
    for _ in range(MOST_VIEWERS):
        live.leave()
    assert ask(server, "/live.mjpeg")[0] == 200


# --- limits


class _Slow(BaseHTTPRequestHandler):
    """Handler that answers each request, with the time limit of the page's own handler for each read."""

    timeout = 20.0

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def limited(connections: int, total_s: float) -> Iterator[int]:
    with BoundedServer(("127.0.0.1", 0), _Slow, connections=connections, total_s=total_s) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def closed(client: socket.socket) -> bool:
    """Return True when the server ends the connection before the client's time-out."""
    try:
        return client.recv(100) == b""
    except ConnectionResetError:
        return True


def test_connections_over_the_limit_are_closed_until_another_one_ends() -> None:
    with limited(3, 20.0) as port, ExitStack() as stack:
        waiting = [stack.enter_context(socket.create_connection(("127.0.0.1", port), 5)) for _ in range(3)]
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", port), 5) as more:
                assert closed(more)
        waiting[0].sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert waiting[0].recv(100).split()[1] == b"200"
        assert closed(waiting[0])
        with socket.create_connection(("127.0.0.1", port), 5) as next_one:
            next_one.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert next_one.recv(100).split()[1] == b"200"


@pytest.mark.parametrize("head", [b"", b"GET / HTTP/1.1\r\n"])
def test_a_client_that_sends_single_bytes_is_disconnected(head: bytes) -> None:
    with limited(3, 0.3) as port, socket.create_connection(("127.0.0.1", port), 5) as client:
        began = time.monotonic()
        client.sendall(head)
        with contextlib.suppress(ConnectionError):
            while time.monotonic() - began < 10:
                client.sendall(b"x")
                client.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if client.recv(100) == b"":
                        break
        assert 0.25 < time.monotonic() - began < 5


def test_closing_waits_for_the_answer_that_is_being_made() -> None:
    """A thread within a C++ library must not meet the end of the interpreter."""
    began, release, closed_ = threading.Event(), threading.Event(), threading.Event()

    class Held(_Slow):
        def do_GET(self) -> None:
            began.set()
            release.wait(10)

    def close() -> None:
        held.shutdown()
        held.server_close()
        closed_.set()

    held = BoundedServer(("127.0.0.1", 0), Held)
    threading.Thread(target=held.serve_forever, args=(0.02,)).start()
    with socket.create_connection(("127.0.0.1", held.server_port), 5) as client:
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert began.wait(5)
        threading.Thread(target=close).start()
        assert not closed_.wait(0.2)
        release.set()
        assert closed_.wait(5)
        assert held.open_connections == 0


def test_the_page_has_these_limits(server: PageServer) -> None:
    assert isinstance(server._server, BoundedServer)
    assert 6 <= server._server._connections <= 32, "a browser opens six"
    assert server._server._total_s <= 30


def test_closing_the_page_frees_its_port(server: PageServer) -> None:
    other = PageServer(Routes(bytes, LivePictures(bytes), {"/state": lambda _: {}}, {}, {}))
    with other:
        assert ask(other, "/state")[0] == 200
    with pytest.raises(OSError, match="refused"):
        ask(other, "/state")
    assert ask(server, "/state")[0] == 200
