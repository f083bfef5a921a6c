"""Metrics server: every request is answered with its status, and no client blocks the others."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.errors import MetricsError
from edge_app.monitoring.metrics import KIND
from edge_app.monitoring.metrics_server import MetricsServer
from edge_app.mqtt.embedded_broker import HOST
from tests.support.metrics_cases import soon


@contextlib.contextmanager
def serving(text: Callable[[], bytes] = lambda: b"metric 1\n") -> Iterator[MetricsServer]:
    with MetricsServer(text, KIND) as server:
        yield server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as server:
        yield server.port


def send(port: int, data: bytes, timeout: float = 10.0) -> bytes:
    """Send data and return everything received until the server closes, b"" when it closes at once."""
    with socket.create_connection((HOST, port), timeout) as sock:
        with contextlib.suppress(OSError):  # the server may have closed it already
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        parts = []
        with contextlib.suppress(OSError):  # the server may have closed it already
            while part := sock.recv(65536):
                parts.append(part)
    return b"".join(parts)


GOOD = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def works(port: int) -> bool:
    return send(port, GOOD).endswith(b"\r\n\r\nmetric 1\n")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (GOOD, 200),
        (b"GET /metrics?x=%00&y HTTP/1.0\r\n\r\n", 200),
        (b"HEAD /metrics HTTP/1.1\r\n\r\n", 200),
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/../../etc/passwd HTTP/1.1\r\n\r\n", 404),
        (b"GET /metrics/ HTTP/1.1\r\n\r\n", 404),
        (b"POST /metrics HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 501),
        (b"DELETE /metrics HTTP/1.1\r\n\r\n", 501),
        (b"GET /metrics HTTP/1.1\n\n", 200),
        (b"GET\r\n\r\n", 400),
        (b"PUT /metrics\r\n\r\n", 400),
        (b"GET /metrics HTTP/2.0\r\n\r\n", 505),
        (b"GET /metrics " + b"x" * 70_000 + b"\r\n\r\n", 414),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),  # TLS
        (b"\xff\x00\xfe \xff \x00\r\n\r\n", 400),
    ],
)
def test_every_request_gets_its_status(port: int, request_: bytes, status: int) -> None:
    head, _, body = send(port, request_).partition(b"\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    assert len(body) == (0 if request_.startswith(b"HEAD") else length)


@pytest.mark.parametrize("unfinished", [b"", b"\r\n\r\n"])
def test_an_empty_request_gets_no_answer(port: int, unfinished: bytes) -> None:
    assert send(port, unfinished) == b""
    assert works(port)


def test_a_request_without_an_end_is_cut_off(port: int) -> None:
    answer = send(port, b"GET /metrics HTTP/1.1\r\nX: " + b"x" * 1_000_000)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert works(port)


@settings(deadline=None, max_examples=150)
@given(
    st.binary(max_size=300)
    | st.builds(lambda m, p, v: b" ".join((m, p, v)) + b"\r\n\r\n", st.binary(), st.binary(), st.binary())
)
def test_random_bytes_are_refused_or_dropped(port: int, data: bytes) -> None:
    answer = send(port, data)
    assert answer == b"" or answer.split(b" ", 2)[1] in (b"400", b"404", b"431", b"501", b"505")


def test_the_server_still_works_after_random_bytes(port: int) -> None:
    assert works(port)


@pytest.mark.long
def test_silent_clients_do_not_block_others_for_long(port: int) -> None:
    """More clients than are served at a time: each is dropped after five seconds, and few have a thread."""
    with contextlib.ExitStack() as stack:
        before = threading.active_count()
        for _ in range(10):
            stack.enter_context(socket.create_connection((HOST, port), 10))
        assert works(port)
        for _ in range(20):
            stack.enter_context(socket.create_connection((HOST, port), 10))
        soon(lambda: works(port))
        assert threading.active_count() <= before + 16


def test_a_flood_is_answered_at_a_bounded_rate_and_leaves_no_file_open(port: int) -> None:
    began, files = time.monotonic(), psutil.Process().num_fds()
    for _ in range(50):
        assert works(port)
    assert time.monotonic() - began > 0.9
    soon(lambda: psutil.Process().num_fds() <= files)


@pytest.mark.long
def test_a_client_that_does_not_read_is_dropped() -> None:
    """The answer is larger than the socket buffers on both sides."""
    with serving(lambda: b"x" * 30_000_000) as server, socket.create_connection((HOST, server.port), 10) as deaf:
        deaf.sendall(GOOD)
        soon(lambda: server.clients)
        soon(lambda: not server.clients, 20)


def test_the_text_is_made_no_more_often_than_twice_a_second() -> None:
    made: list[float] = []

    def text() -> bytes:
        made.append(time.monotonic())
        return b"metric 1\n"

    with serving(text) as server:
        for _ in range(100):
            assert works(server.port)
    assert all(later - earlier >= 0.5 for earlier, later in pairwise(made))
    assert 1 <= len(made) <= 1 + (made[-1] - made[0]) / 0.5


def test_a_fault_is_logged_once_and_the_server_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    faulty = True

    def text() -> bytes:
        if faulty:
            raise RuntimeError("no such metric")
        return b"metric 1\n"

    with serving(text) as server:
        for _ in range(3):
            assert send(server.port, GOOD).startswith(b"HTTP/1.1 500 ")
        faulty = False
        assert works(server.port)
    assert [record.message for record in caplog.records] == ["metrics cannot be gathered"]


def test_a_stop_does_not_wait_for_clients_and_frees_the_port() -> None:
    with contextlib.ExitStack() as stack:
        with serving() as server:
            for _ in range(5):
                stack.enter_context(socket.create_connection((HOST, server.port), 10))
            assert works(server.port)
            began = time.monotonic()
        assert time.monotonic() - began < 3
        with socket.create_server((HOST, server.port)):
            pass


@pytest.mark.parametrize("address", ["127.0.0.1", "192.0.2.1"])
def test_a_port_in_use_or_a_foreign_address_is_reported_in_one_sentence(address: str) -> None:
    with socket.create_server((HOST, 0)) as taken, pytest.raises(MetricsError) as caught:
        MetricsServer(lambda: b"", KIND, address=address, port=taken.getsockname()[1])
    assert str(caught.value).startswith(f"no metrics: cannot listen on {address}:")
    assert "\n" not in str(caught.value)


def test_ipv6_loopback_is_served() -> None:
    try:
        server = MetricsServer(lambda: b"metric 1\n", KIND, address="::1")
    except MetricsError:
        pytest.skip("this machine has no IPv6")
    with server, socket.create_connection(("::1", server.port), 10) as sock:
        sock.sendall(GOOD)
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
