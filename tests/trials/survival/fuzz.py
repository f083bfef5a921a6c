"""Send malformed input to everything that listens or reads: nothing is let in, nothing crashes, counting goes on."""

from __future__ import annotations

import contextlib
import io
import random
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app import cli
from edge_app.config.example import example
from edge_app.config.load import load
from edge_app.errors import ConfigError, PreviewError
from edge_app.preview.rtsp import choose_encoder
from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.program import Program
from tests.trials.survival.mutation import HostileClient, mutate
from tests.trials.survival.rows import Outcome, Row, Trial, failures

_SEED: Final = 2026
_COMMAND_S: Final = 0.3
"""Longest run of one command line, s."""
CONFIG: Final = """
device = {{ site = "test-site", device = "fuzz" }}
source = {{ kind = "street", width = 640, height = 360, fps = 10.0 }}
detector = {{ threads = 1 }}
mqtt = {{ port = {nobody} }}
store = {{ folder = "state" }}
preview = {{ enabled = true, port = {rtsp}, username = "tech", password = "right-one", width = 320, rate = 2 }}
metrics = {{ enabled = true, port = {metrics} }}
log = {{ format = "json" }}
"""
RTSP: Final = [
    f"{verb} rtsp://127.0.0.1/plain RTSP/1.0\r\nCSeq: 2\r\n{more}\r\n".encode()
    for verb in ("OPTIONS", "DESCRIBE", "SETUP", "PLAY", "ANNOUNCE", "RECORD", "TEARDOWN", "GET_PARAMETER")
    for more in (
        "Transport: RTP/AVP/TCP;interleaved=0-1\r\n",
        "Content-Length: 9\r\n",
        'Authorization: Digest username="tech", realm="x", nonce="0", uri="/plain", response="0"\r\n',
        "Authorization: Basic dGVjaDp3cm9uZw==\r\nSession: 1\r\n",
    )
] + [
    b"GET /plain HTTP/1.0\r\nx-sessioncookie: 1\r\nAccept: application/x-rtsp-tunnelled\r\n\r\n",
    b"$\0\xff\xff" + bytes(60),
]
HTTP: Final = [
    f"{verb} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{more}\r\n\r\n{body}".encode()
    for verb in ("GET", "POST", "HEAD", "PUT")
    for path in (
        "/",
        "/state",
        "/save",
        "/picture.jpg",
        "/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "http://[",
        "/metrics",
        "/?token=wrong",
    )
    for more, body in (
        ("Cookie: token=wrong", ""),
        ("Content-Length: 13", '{"lines": []}'),
        ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"),
    )
]
DRAWN: Final = [
    '{"lines": [{"id": "a", "start": [0.1, NaN], "end": [1e999, 0.5]}], "region": null, "masks": []}',
    '{"lines": [{"id": "a", "start": [0.1, 0.5], "end": [0.9, 0.5]}], "region": [0, 0, 1, 1], "masks": [[[0, 0]]]}',
    "[" * 2000,
    "9" * 5000,
]
"""Bodies that the page sends, and others that it never would."""
SNAPSHOT: Final = [b"annotated 640\n", b"plain 100000\n", b"plain -1\n", b"annotated\n"]
COMMANDS: Final = [
    ["count", "nothing.mp4", "--line", "a:0,0.5,1,0.5", "--out", "x.json"],
    ["check", "--config", "nothing.toml"],
    ["watch", "--broker", "mqtt://127.0.0.1:1"],
    ["snapshot", "--config", "nothing.toml", "--out", "x.jpg"],
    ["config", "--schemas", "--asyncapi"],
]


@dataclass(slots=True)
class Tally:
    """Numbers of inputs and of their effects.

    let_in: answers that should need the password or the token.
    """

    inputs: int = 0
    answered: int = 0
    let_in: int = 0
    tracebacks: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """Address to which malformed requests are sent.

    requests: valid ones, before the changes. share: of all inputs. let_in: returns True for a request and an answer
    that should need the password or the token.
    """

    address: tuple[str, int] | str
    requests: list[bytes]
    share: float
    let_in: Callable[[bytes, bytes], bool] = lambda _request, _answer: False


def with_token(token: str) -> list[bytes]:
    """Return requests with the page's token, which most changes leave intact."""
    own = "Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
    head = f"{own}Cookie: token={token}\r\nContent-Type: application/json\r\n"
    gets = [f"GET {path} HTTP/1.1\r\n{head}\r\n" for path in ("/", "/state", "/picture.jpg", "/../edge-app.toml")]
    posts = [
        f"POST /{path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
        for path in ("check", "save")
        for body in DRAWN
    ]
    return [text.encode() for text in gets + posts]


def run(trial: Trial) -> Outcome:
    """Send malformed input to a running program and page. Raises RuntimeError: without GStreamer's RTSP server."""
    try:
        choose_encoder()
    except PreviewError as error:
        raise RuntimeError(str(error)) from None
    count, tally, chance = (400 if trial.short else 10_000), Tally(), random.Random(_SEED)
    folder, rtsp, metrics = trial.folder / "program", free_port(), free_port()
    with closing(Program(folder)) as program:
        program.start(CONFIG.format(nobody=free_port(), rtsp=rtsp, metrics=metrics))
        wait_until(lambda: _frames(metrics) > 5)
        before = program.process.num_fds(), program.process.num_threads()
        with _page(folder) as (page, token, page_log):
            targets = [
                Target(("127.0.0.1", rtsp), RTSP, 0.35, _rtsp_let_in),
                Target(("127.0.0.1", page), HTTP, 0.2, lambda _, answer: answer.startswith(b"HTTP/1.0 200")),
                Target(("127.0.0.1", page), with_token(token), 0.05),
                Target(("127.0.0.1", metrics), HTTP, 0.05),
                Target(str(folder / "state" / "picture.sock"), SNAPSHOT, 0.1),
            ]
            for target in targets:
                _attack(target, round(count * target.share), chance, tally)
                trial.report(f"{tally.inputs} of {count} inputs")
            tally.tracebacks += page_log.read_text().count("Traceback")
        load(folder / "edge-app.toml")  # every saved file is a valid configuration
        read_malformed(tally, count - tally.inputs, chance, trial.folder)
        frames = _frames(metrics)
        wait_until(lambda: _frames(metrics) > frames + 5)
        wait_until(lambda: program.process.num_fds() <= before[0] + 2, 40.0)
        after = program.process.num_fds(), program.process.num_threads()
        log = (folder / "run-0.log").read_text()
    broken = failures(
        (tally.let_in == 0, f"{tally.let_in} were let in"),
        (tally.answered > tally.inputs // 10, f"only {tally.answered} answers: was the program running?"),
        (tally.tracebacks == 0 and "Traceback" not in log, "a traceback"),
        (after[0] <= before[0] + 2 and after[1] <= before[1] + 2, f"files and threads {before} before, {after} after"),
    )
    return Outcome(
        f"{tally.inputs} inputs ({tally.answered} answered at once): {tally.let_in} let in, counting went on", broken
    )


def _attack(target: Target, count: int, chance: random.Random, tally: Tally) -> None:
    with closing(HostileClient(target.address, chance)) as client:
        for _ in range(count):
            request = mutate(chance.choice(target.requests), chance)
            answer = client.send(request)
            tally.inputs += 1
            tally.answered += bool(answer)
            tally.let_in += target.let_in(request, answer)


def _rtsp_let_in(request: bytes, answer: bytes) -> bool:
    """Return True for a successful answer, except to OPTIONS and to a parameter without content.

    These only check that the server is there (RFC 2326, 10.1 and 10.8).
    """
    harmless = request.lstrip().startswith((b"OPTIONS", b"GET_PARAMETER", b"SET_PARAMETER"))
    return answer.startswith(b"RTSP/1.0 200") and not harmless


def read_malformed(tally: Tally, count: int, chance: random.Random, folder: Path) -> None:
    """Read malformed configuration files and command lines, in this process."""
    valid, path = example().encode(), folder / "fuzzed.toml"
    for number in range(count):
        tally.inputs += 1
        stderr = io.StringIO()
        with contextlib.redirect_stderr(stderr), contextlib.redirect_stdout(io.StringIO()):
            try:
                if number % 4:
                    path.write_bytes(mutate(valid, chance))
                    load(path)
                else:
                    words = chance.choice(COMMANDS)
                    words = [mutate(word.encode(), chance).decode("utf-8", "replace") for word in words]
                    with _stopped_after(_COMMAND_S):
                        cli.main([word for word in words if not word.startswith(("-h", "--h"))])
            except (ConfigError, SystemExit):
                pass
            except Exception as fault:
                tally.tracebacks += 1
                print(f"{type(fault).__name__}: {fault}", file=sys.__stderr__)
        tally.tracebacks += "Traceback" in stderr.getvalue()


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Stop a command as a person does, since a damaged command line may be valid and run for ever, as `watch` does.

    The signal handlers that the command sets are restored, otherwise Ctrl-C would no longer end the trial.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGALRM, lambda _number, _frame: cli.STOP.set())
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        cli.STOP.clear()
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _frames(port: int) -> int:
    """Return the number of processed frames from the metrics; 0 when there is no answer."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        line = re.search(r"^edge_app_frames_processed_total (\S+)", answer.read().decode(), re.MULTILINE)
        return int(float(line[1])) if line else 0
    return 0


def wait_until(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.2)


@contextmanager
def _page(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """Run `edge-app lines`; yield its port, its token, and the file with its output."""
    command = (sys.executable, "-u", "-m", "edge_app.cli", "lines", "--config", str(folder / "edge-app.toml"))
    output = folder / "page.log"
    with output.open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as child:
        try:
            wait_until(lambda: "token=" in output.read_text() or child.poll() is not None)
            address = re.search(r"http://\S+:(\d+)/\?token=(\S+)", output.read_text())
            assert address, f"the page ended: {output.read_text()}"
            yield int(address[1]), address[2], output
            assert child.poll() is None, "the page ended"
        finally:
            child.kill()


ROW = Row(
    "fuzz",
    "10,000 malformed inputs to everything that listens",
    "no crash, no traceback, nothing let in",
    run,
)
