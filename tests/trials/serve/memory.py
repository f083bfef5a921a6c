"""Watch the memory of the service over many requests, half of them hostile.

`python -m tests.trials.serve.memory [--requests 100000] [--first 10000] [--clients 8]` prints the memory after each
tenth and compares the end with that after the first ones. Pictures are small, so that it ends within an hour.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import random
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np

from edge_app.records import Image
from tests.support.pictures import encoded, png_bomb, street_picture
from tests.trials.serve.program import Program, program

MOST_MB = 5.0
"""Growth that is allowed, 10^6 bytes."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request. raw: bytes that are sent instead of HTTP, before the connection is closed."""

    method: str = "POST"
    path: str = "/predict"
    body: bytes = b""
    kind: str = ""
    raw: bytes = b""


def honest() -> list[Request]:
    """Return requests that are answered: small pictures of each kind, in a form, in a batch, drawn; others."""
    picture = _small()
    kinds = [encoded(picture, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP")]
    turned = encoded(picture, "JPEG", turn=6)
    return [
        *(Request(body=content) for content in kinds),
        Request(body=turned),
        Request(path="/predict?format=image", body=kinds[0]),
        Request(body=_form([kinds[0]]), kind="multipart/form-data; boundary=b"),
        Request(path="/predict/batch", body=_form(kinds[:2]), kind="multipart/form-data; boundary=b"),
        Request("GET", "/metrics"),
        Request("GET", "/counts"),
        *[Request("GET", "/models"), Request("GET", "/health/ready")] * 12,
    ]


def hostile(chance: random.Random) -> list[Request]:
    """Return requests that are refused, or that break off."""
    jpeg = encoded(_small())
    damaged = [bytearray(jpeg) for _ in range(5)]
    for one in damaged:
        for _ in range(20):
            one[chance.randrange(len(one))] = chance.randrange(256)
    head = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
    form = "multipart/form-data; boundary=b"
    return [
        *(Request(body=bytes(one)) for one in damaged),
        *(Request(body=jpeg[: len(jpeg) * n // 5]) for n in range(1, 5)),
        Request(body=png_bomb(20_000)[:300_000]),
        Request(body=png_bomb(12_000)),
        Request(body=b"\x00"),
        Request(body=b"GIF89a" + bytes(100)),
        Request(body=b"<svg/>", kind="image/jpeg"),
        Request(body=b""),
        Request(body=_form([jpeg[:100], b"", bytes(1000)]), kind=form, path="/predict/batch"),
        Request(body=_form([jpeg])[:-20], kind=form),
        Request(body=_form([b"1"] * 80), kind=form, path="/predict/batch"),
        Request(body=b"--b\r\n" + bytes(range(256)) * 20, kind=form),
        Request(path="/predict?confidence=nan", body=jpeg),
        Request(path="/predict?model=" + "x" * 150, body=jpeg),
        Request(path="/counts?line=a:0,0,1,1", body=b"#EXTM3U\nfile:///etc/passwd\n" * 30),
        Request(path="/counts?line=nonsense", body=jpeg),
        Request("GET", "/counts/" + "0" * 24),
        Request("DELETE", "/counts/..%2f..%2fetc"),
        *(Request("GET", f"/nowhere/{chance.getrandbits(64)}") for _ in range(20)),
        Request("PATCH", "/predict", jpeg),
        Request(raw=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        Request(raw=head + b"Content-Length: 100000\r\n\r\n" + jpeg[:500]),
        Request(raw=head + b"Content-Length: 999999999999\r\n\r\n"),
        Request(raw=head + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"),
        Request(raw=b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 8000),
        Request(raw=head + b"Content-Length: %d\r\n\r\n" % len(jpeg) + jpeg),  # leaves before its answer
    ]


def _small() -> Image:
    return np.asarray(cv2.resize(street_picture(), (320, 180), interpolation=cv2.INTER_AREA), np.uint8)


def _form(files: Sequence[bytes]) -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="picture"; filename="p"\r\n\r\n'
    return b"".join(head + content + b"\r\n" for content in files) + b"--b--\r\n"


def send(service: Program, requests: Sequence[Request]) -> Counter[str]:
    """Send requests one after the other; return how many had which outcome."""
    outcomes: Counter[str] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    for request in requests:
        if request.raw:
            outcomes["raw"] += 1
            _send_raw(service.port, request.raw)
            continue
        headers = {"content-type": request.kind} if request.kind else {}
        try:
            connection.request(request.method, request.path, request.body, headers)
            answer = connection.getresponse()
            answer.read()
            outcomes[str(answer.status)] += 1
        except (OSError, http.client.HTTPException):
            outcomes["closed"] += 1
            connection.close()
    connection.close()
    return outcomes


def _send_raw(port: int, content: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), 60) as made:
        try:
            made.sendall(content)
        except OSError:
            return


def main() -> int:
    """Send all requests, print the memory of the service, and return 1 when it grew too much or a 500 came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--first", type=int, default=10_000, help="requests after which the memory is compared (10000)")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    chance = random.Random(given.seed)
    sides = honest(), hostile(chance)
    outcomes: Counter[str] = Counter()
    first = newest = 0.0
    with program() as service, ThreadPoolExecutor(given.clients) as pool:
        began = time.monotonic()
        for done in range(given.first, given.requests + 1, given.first):
            share = [chance.choice(sides[n % 2]) for n in range(given.first)]
            parts = [share[n :: given.clients] for n in range(given.clients)]
            for part in parts:
                chance.shuffle(part)
            for told in pool.map(send, itertools.repeat(service), parts):
                outcomes += told
            newest = service.rss_mb()
            first = first or newest
            minutes = (time.monotonic() - began) / 60
            print(f"{done} requests, {minutes:.1f} minutes: {newest:.1f} MB, {newest - first:+.1f}", flush=True)
    print(", ".join(f"{n} {outcome}" for outcome, n in sorted(outcomes.items())))
    return int(newest - first > MOST_MB or outcomes["500"] > 0)


if __name__ == "__main__":
    sys.exit(main())
