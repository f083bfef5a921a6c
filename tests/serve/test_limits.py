"""Hostile clients on real sockets: each is stopped, and meanwhile others are answered."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from edge_app.http.problems import RefusalError
from edge_app.serve.bodies import BodyLimits, Budget, timed
from tests.support.pictures import encoded, street_picture
from tests.support.raw_http import connection, everything, head, problem
from tests.support.serving import Serving, serving

pytestmark = pytest.mark.servers

JPEG = encoded(street_picture(60))


@pytest.fixture(scope="module")
def service() -> Iterator[Serving]:
    """Return a service with short limits. Three seconds are ample for an honest request on a busy machine."""
    with serving(connections=20, head_s=3.0, body_s=3.0, most_bytes=2_000_000, budget=6_000_000) as running:
        yield running


def send_for_ever(made: socket.socket, piece: bytes) -> None:
    """Send until the service closes the connection. Raises ConnectionError: then."""
    while True:
        made.sendall(piece)


def answered(service: Serving) -> bool:
    return service.http.post("/predict", content=JPEG).status_code == 200


def test_more_connections_than_are_taken_stop_nobody_else(service: Serving) -> None:
    with ExitStack() as stack:
        for _ in range(100):
            made = stack.enter_context(connection(service.port, head(1000) + b"half a bo"))
            assert made.fileno() > 0
        assert answered(service)
        assert service.http.get("/health/ready").status_code == 200


def test_a_head_that_does_not_end_is_closed(service: Serving) -> None:
    with connection(service.port, b"POST /predict HTTP/1.1\r\nHost: loc") as slow, connection(service.port) as silent:
        assert answered(service)
        assert problem(everything(slow)) == (408, "the head of the request comes too slowly: send it again")
        assert everything(silent) == b""


def test_a_head_that_is_too_long_is_closed(service: Serving) -> None:
    with connection(service.port, b"GET /models HTTP/1.1\r\n") as made, pytest.raises(ConnectionError):
        send_for_ever(made, b"X-A: " + b"y" * 1000 + b"\r\n")
    assert answered(service)


def test_a_body_that_stops_coming_is_told_and_closed(service: Serving) -> None:
    with connection(service.port, head(500_000) + b"\xff\xd8") as made:
        assert answered(service)
        got = everything(made)
    assert b" 408 " in got.partition(b"\r\n")[0]
    assert b"too slowly" in got


@pytest.mark.parametrize("length", ["9" * 18, str(2**64 - 1)])
def test_an_announced_length_that_is_too_long_is_told_at_once(service: Serving, length: str) -> None:
    with connection(service.port, head(length)) as made:
        assert b" 413 " in everything(made).partition(b"\r\n")[0]


def test_an_endless_body_is_closed(service: Serving) -> None:
    chunked = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connection(service.port, chunked) as made, pytest.raises(ConnectionError):
        send_for_ever(made, b"%x\r\n%s\r\n" % (100_000, bytes(100_000)))
    assert answered(service)


@pytest.mark.parametrize("begun", [b"0\r\n", b"0\r\na: ", b"5;e="])
def test_what_is_no_body_behind_a_head_is_closed_when_it_does_not_end(service: Serving, begun: bytes) -> None:
    chunked = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    piece = (b"a: b\r\n" if begun.endswith(b"\n") else b"vvvvvv") * 5_000
    with connection(service.port, chunked + begun) as made, pytest.raises(ConnectionError):
        send_for_ever(made, piece)
    assert answered(service)


def test_a_trailer_behind_the_last_chunk_is_ignored(service: Serving) -> None:
    chunked = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"%x\r\n%s\r\n0\r\nX-Checksum: 1\r\n\r\n" % (len(JPEG), JPEG)
    with connection(service.port, chunked + body) as made:
        assert b" 200 " in everything(made).partition(b"\r\n")[0]


def test_an_endless_body_behind_an_answer_is_closed(service: Serving) -> None:
    asked = head("9" * 12, "/health").replace(b"POST", b"GET")
    with connection(service.port, asked) as made, pytest.raises(ConnectionError):
        send_for_ever(made, bytes(100_000))
    assert answered(service)


def test_bodies_that_come_slowly_share_one_budget() -> None:
    with ExitStack() as stack:
        service = stack.enter_context(serving(most_bytes=2_000_000, budget=6_000_000))
        senders = stack.enter_context(ExitStack())
        for _ in range(2):
            senders.enter_context(connection(service.port, head(1_900_000) + bytes(1_400_000)))
        refused = service.http.post("/predict", content=JPEG + bytes(1_500_000))
        while refused.status_code != 503:  # until both bodies have arrived
            refused = service.http.post("/predict", content=JPEG + bytes(1_500_000))
        assert refused.headers["retry-after"] == "2"
        senders.close()
        while not answered(service):  # the budget is given back when both have gone
            pass


@pytest.mark.parametrize("wish", [b"Upgrade\r\nUpgrade: h2c", b"Upgrade, HTTP2-Settings\r\nUpgrade: h2c"])
def test_a_wish_for_another_protocol_is_ignored_and_the_body_read(service: Serving, wish: bytes) -> None:
    asked = head(len(JPEG)).replace(b"\r\n\r\n", b"\r\nConnection: " + wish + b"\r\n\r\n")
    last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connection(service.port, asked + JPEG[:500]) as made:
        made.sendall(JPEG[500:] + last)
        got = everything(made)
    assert got.count(b"HTTP/1.1 200 ") == 2
    assert b'"boxes"' in got


@pytest.mark.parametrize(
    ("every_s", "piece", "comes_s"),
    [
        (9.0, 1, 30.0),  # a byte now and then holds its place for half a minute
        (1.0, 19_000, 600.0),  # 30 s and 19/20 of it
        (1.0, 21_000, 1000.0),  # until all of it has come
        (100.0, 10_000_000, 3600.0),
    ],
)
def test_a_body_must_come_with_a_least_rate(every_s: float, piece: int, comes_s: float) -> None:
    now = 0.0

    async def body() -> AsyncIterator[bytes]:
        nonlocal now
        while now < 1000.0 or piece > 1_000_000:
            now += every_s
            yield bytes(piece)

    async def take() -> None:
        limits = BodyLimits(10**12, 3600.0, rate=20_000.0)
        async for _ in timed(body(), limits, None, clock=lambda: now):
            pass

    if comes_s == 1000.0:
        asyncio.run(take())
    else:
        with pytest.raises(RefusalError, match="too slowly") as refused:
            asyncio.run(take())
        assert refused.value.status == 408
    assert comes_s <= now < comes_s + 2 * every_s


def test_a_large_body_that_comes_slowly_gives_way_after_a_while() -> None:
    now = 0.0
    budget = Budget(100, clock=lambda: now)
    slow = budget.begin("a")
    budget.add(slow, bytes(50))
    with pytest.raises(RefusalError, match="at once"):
        budget.add(budget.begin("a"), bytes(1))  # half is the most for one client
    other, new = budget.begin("b"), budget.begin("c")
    budget.add(other, bytes(45))
    with pytest.raises(RefusalError, match="at once"):
        budget.add(new, bytes(10))
    now = 5.0
    budget.add(new, bytes(10))
    assert (len(slow.body), len(other.body), len(new.body)) == (0, 45, 10)
    with pytest.raises(RefusalError, match="at once"):
        budget.add(slow, bytes(1))
    budget.add(budget.begin("c"), bytes(40))


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"BREW / HTTP/1.1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n" * 2_000,
        b"GET /models HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"GET /models HTTP/1.1\r\nAuthorization: \xff\xfe\r\nHost: \xe4\r\n\r\n",
    ],
)
def test_what_is_no_http_ends_that_connection_alone(service: Serving, sent: bytes) -> None:
    with connection(service.port, sent) as made:
        made.shutdown(socket.SHUT_WR)
        assert b" 500 " not in everything(made).partition(b"\r\n")[0]
    assert answered(service)
