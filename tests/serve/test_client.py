"""The client: sync and async say the same, wait as long as a busy service asks, and explain what is wrong."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from edge_app.errors import ConfigError, ServeError
from edge_app.http.problems import RefusalError
from edge_app.serve.client import AsyncClient, Client
from tests.support.pictures import encoded, street_picture
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.servers

JPEG = encoded(street_picture())


@pytest.fixture(scope="module")
def service() -> Iterator[Serving]:
    with serving() as running:
        yield running


def test_sync_and_async_give_the_same(service: Serving, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(JPEG)
    with Client(service.url) as client:
        one, drawn, models = client.predict(path, confidence=0.3), client.draw(JPEG), client.models()
        batch = client.predict_batch({"a": path, "b": b"none"})
        assert client.predict(str(path), confidence=0.3).boxes == one.boxes
        with pytest.raises(TypeError, match="not int"):
            client.predict(7)  # type: ignore[arg-type]

    async def the_same() -> None:
        async with AsyncClient(service.url) as other:
            assert (await other.predict(JPEG, confidence=0.3)).boxes == one.boxes
            assert (await other.predict(str(path), confidence=0.3)).boxes == one.boxes
            assert await other.draw(JPEG) == drawn
            assert await other.models() == models
            assert [answer.problem for answer in await other.predict_batch({"a": JPEG, "b": b"none"})] == [
                answer.problem for answer in batch
            ]
            with pytest.raises(RefusalError, match="no picture"):
                await other.predict(b"none")

    asyncio.run(the_same())
    assert one.boxes
    assert drawn[:2] == b"\xff\xd8"
    assert batch[1].problem


class _Busy(BaseHTTPRequestHandler):
    """Service that is busy twice and then has no models."""

    answers: list[int]

    def do_GET(self) -> None:
        status = self.answers.pop(0)
        body = {200: b'{"models": []}', 203: b"<html>"}.get(status, b"busy")
        self.send_response(status)
        if status == 503:
            self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Take a clip in chunks, and answer unless the status is 0."""
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()
        if self.answers[0]:
            self.do_GET()
        else:
            self.answers.pop(0)
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def busy() -> Iterator[tuple[str, list[int]]]:
    """Yield the address of a service and the statuses that it will answer."""
    answers: list[int] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Busy", (_Busy,), {"answers": answers}))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", answers
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_busy_service_is_asked_again_after_the_time_it_names(busy: tuple[str, list[int]]) -> None:
    url, answers = busy
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def ask() -> None:
        async with AsyncClient(url, sleep=wait) as other:
            assert await other.models() == ()

    answers += [503, 503, 200]
    with Client(url, sleep=waits.append) as client:
        assert client.models() == ()
    answers += [503, 200]
    asyncio.run(ask())
    assert waits == [7.0, 7.0, 7.0]


def test_it_gives_up_in_the_end_and_says_why(busy: tuple[str, list[int]]) -> None:
    url, answers = busy
    answers += [503, 503, 404]
    waits: list[float] = []
    with Client(url, tries=2, sleep=waits.append) as client:
        with pytest.raises(RefusalError, match="answered 503") as refused:
            client.models()
        assert refused.value.retry_after_s == 7
        with pytest.raises(RefusalError, match="answered 404"):
            client.models()
    assert waits == [7.0]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("127.0.0.1:8765", "write http://127.0.0.1:8765"),
        ("ftp://detector.example", "begin with http"),
        ("http://127.0.0.1:x", "no address of a service"),
    ],
)
def test_what_is_no_url_is_told(url: str, told: str) -> None:
    for kind in (Client, AsyncClient):
        with pytest.raises(ConfigError, match=told):
            kind(url)


def test_a_service_that_is_not_there_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    waits: list[float] = []
    nowhere = Client(f"http://127.0.0.1:{port}", tries=3, sleep=waits.append)
    with nowhere, pytest.raises(ServeError, match="cannot be reached"):
        nowhere.models()
    assert waits == [1.0, 1.0]


def test_a_clip_is_not_sent_again_when_its_answer_is_lost(busy: tuple[str, list[int]], tmp_path: Path) -> None:
    url, answers = busy
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"clip")
    waits: list[float] = []

    async def count() -> None:
        async with AsyncClient(url) as other:
            await other.count(clip, [])

    answers += [503, 0, 0, 200]
    with Client(url, sleep=waits.append) as client, pytest.raises(ServeError, match="look at the jobs"):
        client.count(clip, [])
    assert waits == [7.0]
    with pytest.raises(ServeError, match="look at the jobs"):
        asyncio.run(count())
    assert answers == [200]


def test_what_is_no_service_is_told(busy: tuple[str, list[int]]) -> None:
    url, answers = busy
    answers += [203, 520]
    with Client(url) as client:
        with pytest.raises(ServeError, match="something else"):
            client.models()
        with pytest.raises(RefusalError, match="answered 520"):
            client.models()
    with pytest.raises(ConfigError, match="is no address of a service"):
        Client("http://[::1")
    with pytest.raises(ConfigError, match="EDGE_APP_TOKEN") as refused:
        Client(url, "sécret")
    assert "cret" not in str(refused.value)
