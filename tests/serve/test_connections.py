"""What is wrong with a connection and not with a request: told as a problem, behind the answer that is due."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support.pictures import encoded, street_picture
from tests.support.raw_http import connection, everything, head, problem
from tests.support.serving import Serving, serving

JPEG = encoded(street_picture(60))
HEALTH = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
BROKEN = b"this is no HTTP\r\n\r\n"


@pytest.fixture(scope="module")
def service() -> Iterator[Serving]:
    with serving() as running:
        yield running


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (BROKEN, 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /health HTTP/9.9\r\n\r\n", 400),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        (CHUNKED + b"5\r\nhello\r\nZZ\r\n", 400),
        (b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (HEALTH[:-2] + b"X-A: " + b"y" * 40_000 + b"\r\n\r\n", 431),
        (HEALTH[:-2] + b"X-A: " + b"y" * 40_000, 431),
        (CHUNKED + b"5;" + b"y" * 40_000, 431),
    ],
)
def test_what_the_http_library_refuses_is_a_problem_too(service: Serving, sent: bytes, status: int) -> None:
    with connection(service.port, sent) as made:
        assert problem(everything(made))[0] == status
    with connection(service.port, HEALTH + sent) as made:
        got = everything(made)
        assert got.startswith(b"HTTP/1.1 200 ")
        assert got.count(b"HTTP/1.1 ") <= 2


def test_an_answer_that_is_due_is_sent_before_what_follows_is_refused(service: Serving) -> None:
    with connection(service.port, head(len(JPEG)) + JPEG + BROKEN) as made:
        got = everything(made)
    assert got.startswith(b"HTTP/1.1 200 ")
    assert got.endswith(b"}}")
    assert got.count(b"HTTP/1.1 ") == 1


def test_a_body_that_comes_behind_the_answer_before_is_waited_for(service: Serving) -> None:
    with connection(service.port, HEALTH + head(len(JPEG)) + JPEG[:1000]) as made:
        first = made.recv(65_536)
        assert first.startswith(b"HTTP/1.1 200 ")
        made.sendall(JPEG[1000:] + HEALTH.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        got = first + everything(made)
    assert got.count(b"HTTP/1.1 200 ") == 3


def test_a_few_requests_may_be_sent_before_the_answers_and_not_thousands(service: Serving) -> None:
    with connection(service.port, HEALTH * 8) as made:
        got = b""
        while got.count(b"HTTP/1.1 200 ") < 8:
            got += made.recv(65_536)
    with connection(service.port, HEALTH * 5_000) as made:
        got = everything(made)
    assert 1 <= got.count(b"HTTP/1.1 200 ") == got.count(b"HTTP/1.1 ") <= 9
    assert httpx.get(f"{service.url}/health").status_code == 200
