"""Measure how long honest clients wait while another one is hostile.

`python -m tests.trials.serve.others [--seconds 15] [--rounds 3] [--case NAME ...]` asks with four clients, in turns
alone and beside each kind of hostile client, and prints p95 of both and their ratio; it must be at most 2. Both sides
have tokens of their own, since clients have turns by their token.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from multiprocessing.synchronize import Event
from statistics import median, quantiles

import cv2
import numpy as np

from tests.support.pictures import encoded, png_bomb, street_picture
from tests.trials.serve.program import Program, program

MOST = 2.0
"""p95 beside a hostile client, in parts of that without."""
CLIENTS = 4
_HEAD = "POST /predict HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"


@cache
def largest() -> bytes:
    """Return a JPEG of the largest size that is taken."""
    image = np.asarray(cv2.resize(street_picture(), (9400, 5300)), np.uint8)
    return encoded(image)


def send_for_ever(port: int, token: str, body: bytes, stop: Event) -> None:
    """Send one picture over and over, from four connections."""

    def ask(_number: int) -> None:
        headers = {"authorization": f"Bearer {token}"}
        while not stop.is_set():
            with suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", "/predict", body, headers)
                connection.getresponse().read()

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, range(CLIENTS)))


def bombs(port: int, token: str, stop: Event) -> None:
    """Send a PNG of 144 megapixels in 150 kB."""
    send_for_ever(port, token, png_bomb(12_000), stop)


def largest_pictures(port: int, token: str, stop: Event) -> None:
    """Send a JPEG of 50 megapixels, which is taken."""
    send_for_ever(port, token, largest(), stop)


def truncated(port: int, token: str, stop: Event) -> None:
    """Send nine tenths of such a file, which is told only at its end."""
    send_for_ever(port, token, largest()[: len(largest()) * 9 // 10], stop)


def endless(port: int, token: str, stop: Event) -> None:
    """Send bodies without an end, from eight connections."""
    piece = b"%x\r\n%s\r\n" % (100_000, bytes(100_000))

    def pour(_number: int) -> None:
        head = _HEAD.format(token=token) + "Transfer-Encoding: chunked\r\n\r\n"
        while not stop.is_set():
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 30) as made:
                made.sendall(head.encode())
                while not stop.is_set():
                    made.sendall(piece)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(pour, range(8)))


def slow(port: int, token: str, stop: Event) -> None:
    """Send two hundred bodies at once, a byte a second each."""
    head = _HEAD.format(token=token) + "Content-Length: 1000000\r\n\r\n"
    hold(port, 200, head.encode(), b"x", stop)


def connections(port: int, _token: str, stop: Event) -> None:
    """Hold a thousand connections open, and open those anew that the service closes."""
    hold(port, 1000, b"GET / HTTP/1.1\r\n", b"", stop)


def hold(port: int, number: int, first: bytes, more: bytes, stop: Event) -> None:
    """Keep so many connections open; send `first` on each, and `more` every second."""
    made: list[socket.socket] = []
    while not stop.wait(1.0):
        for one in list(made):
            try:
                one.sendall(more)
                gone = more == b"" and _closed(one)
            except OSError:
                gone = True
            if gone:
                made.remove(one)
                one.close()
        while len(made) < number:
            with suppress(OSError):
                one = socket.create_connection(("127.0.0.1", port), 5)
                made.append(one)
                one.sendall(first)
    for one in made:
        one.close()


def _closed(one: socket.socket) -> bool:
    one.setblocking(False)
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    finally:
        one.settimeout(5)


Case = Callable[[int, str, Event], None]
CASES: dict[str, Case] = {
    case.__name__: case for case in (bombs, largest_pictures, truncated, endless, slow, connections)
}


def p95(service: Program, content: bytes, seconds: float) -> float:
    """Return p95 of the time of a request, s, of clients that ask one after the other. Raises ServeError."""
    times: list[float] = []
    end = time.monotonic() + seconds

    def ask(_number: int) -> None:
        with service.client("honest") as client:
            while time.monotonic() < end:
                began = time.perf_counter()
                client.predict(content)
                times.append(time.perf_counter() - began)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(ask, range(CLIENTS)))
    return quantiles(times, n=20)[18]


def beside(service: Program, content: bytes, case: Case, seconds: float) -> float:
    """Return p95 while a hostile client is at work in a process of its own."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    hostile = context.Process(target=case, args=(service.port, service.tokens["hostile"], stop))
    hostile.start()
    try:
        time.sleep(5.0)  # until it is under way
        return p95(service, content, seconds)
    finally:
        stop.set()
        hostile.join(90)
        hostile.kill()


def main() -> int:
    """Measure each case and return 1 when one of them is beyond its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each measurement (15)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", action="append", choices=CASES, default=[])
    given = parser.parse_args()
    content, worst = encoded(street_picture()), 0.0
    with program(clients=("honest", "hostile")) as service:
        p95(service, content, 3.0)  # the first ones are slow
        for name in given.case or CASES:
            pairs = [
                (p95(service, content, given.seconds), beside(service, content, CASES[name], given.seconds))
                for _ in range(given.rounds)
            ]
            ratio = median(with_it / alone for alone, with_it in pairs)
            alone, with_it = (1000 * median(side) for side in zip(*pairs, strict=True))
            print(f"{name}: p95 {alone:.0f} ms alone, {with_it:.0f} ms beside it, {ratio:.2f} times", flush=True)
            worst = max(worst, ratio)
    return int(worst > MOST)


if __name__ == "__main__":
    sys.exit(main())
