"""Malformed input to everything that listens or reads: nobody is let in, nothing crashes, counting goes on."""

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
from tests.support.brokers import free_port
from tests.support.paths import ROOT
from tests.support.program import Program
from tests.trials.survival.mutation import Crowd, mutated
from tests.trials.survival.rows import Outcome, Row, Trial, failures

_SEED: Final = 2026
_LINE_S: Final = 0.3
"""For one command line."""
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
"""What the page sends, and what it never would."""
HATCH: Final = [b"annotated 640\n", b"plain 100000\n", b"plain -1\n", b"annotated\n"]
LINES: Final = [
    ["count", "nothing.mp4", "--line", "a:0,0.5,1,0.5", "--out", "x.json"],
    ["check", "--config", "nothing.toml"],
    ["watch", "--broker", "mqtt://127.0.0.1:1"],
    ["snapshot", "--config", "nothing.toml", "--out", "x.jpg"],
    ["config", "--schemas", "--asyncapi"],
]


@dataclass(slots=True)
class Storm:
    """What came of it. let_in: answers nobody without the password or token should have had."""

    inputs: int = 0
    answered: int = 0
    let_in: int = 0
    tracebacks: int = 0


def inside(token: str) -> list[bytes]:
    """Requests of somebody who has the page's token, which most accidents leave alone."""
    head = f"Host: 127.0.0.1\r\nCookie: token={token}\r\nContent-Type: application/json\r\n"
    asked = [f"GET {path} HTTP/1.1\r\n{head}\r\n" for path in ("/", "/state", "/picture.jpg", "/../edge-app.toml")]
    sent = [
        f"POST /{path} HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n{body}"
        for path in ("lint", "save")
        for body in DRAWN
    ]
    return [text.encode() for text in asked + sent]


def run(trial: Trial) -> Outcome:
    """Raises RuntimeError without GStreamer's RTSP server."""
    try:
        choose_encoder()
    except PreviewError as error:
        raise RuntimeError(str(error)) from None
    count, storm, chance = (400 if trial.short else 10_000), Storm(), random.Random(_SEED)
    rtsp, metrics = free_port(), free_port()
    with closing(Program(trial.folder / "program")) as program:
        program.start(CONFIG.format(nobody=free_port(), rtsp=rtsp, metrics=metrics))
        until(lambda: _frames(metrics) > 5)
        before = program.process.num_fds(), program.process.num_threads()
        with _page(trial.folder / "program") as (page, token, page_log):
            crowds = [
                (Crowd(("127.0.0.1", rtsp), chance), RTSP, _seen, 0.35),
                (Crowd(("127.0.0.1", page), chance), HTTP, lambda _, said: said.startswith(b"HTTP/1.0 200"), 0.2),
                (Crowd(("127.0.0.1", page), chance), inside(token), lambda _, __: False, 0.05),
                (Crowd(("127.0.0.1", metrics), chance), HTTP, lambda _, __: False, 0.05),
                (
                    Crowd(str(trial.folder / "program" / "state" / "picture.sock"), chance),
                    HATCH,
                    lambda _, __: False,
                    0.1,
                ),
            ]
            for crowd, seeds, entered, share in crowds:
                with closing(crowd):
                    for _ in range(round(count * share)):
                        request = mutated(chance.choice(seeds), chance)
                        answer = crowd.ask(request)
                        storm.inputs, storm.answered = storm.inputs + 1, storm.answered + bool(answer)
                        storm.let_in += entered(request, answer)
                trial.report(f"{storm.inputs} of {count} inputs")
            storm.tracebacks += _printed(page_log)
        load(trial.folder / "program" / "edge-app.toml")  # whatever was saved is a configuration
        read_all(storm, count - storm.inputs, chance, trial.folder)
        seen = _frames(metrics)
        until(lambda: _frames(metrics) > seen + 5)
        until(lambda: program.process.num_fds() <= before[0] + 2, 40.0)
        after = program.process.num_fds(), program.process.num_threads()
        log = (trial.folder / "program" / "run-0.log").read_text()
    broken = failures(
        (storm.let_in == 0, f"{storm.let_in} were let in"),
        (storm.answered > storm.inputs // 10, f"only {storm.answered} answers: was anybody there?"),
        (storm.tracebacks == 0 and "Traceback" not in log, "a traceback"),
        (after[0] <= before[0] + 2 and after[1] <= before[1] + 2, f"files and threads {before} before, {after} after"),
    )
    return Outcome(
        f"{storm.inputs} inputs ({storm.answered} answered at once): {storm.let_in} let in, counting went on", broken
    )


def _seen(request: bytes, answer: bytes) -> bool:
    """OPTIONS and an empty parameter only ask whether anybody is there (RFC 2326, 10.1 and 10.8)."""
    harmless = request.lstrip().startswith((b"OPTIONS", b"GET_PARAMETER", b"SET_PARAMETER"))
    return answer.startswith(b"RTSP/1.0 200") and not harmless


def read_all(storm: Storm, count: int, chance: random.Random, folder: Path) -> None:
    """Configuration files and command lines, in this process."""
    whole, path = example().encode(), folder / "fuzzed.toml"
    for turn in range(count):
        storm.inputs += 1
        said = io.StringIO()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            try:
                if turn % 4:
                    path.write_bytes(mutated(whole, chance))
                    load(path)
                else:
                    words = [mutated(word.encode(), chance).decode("utf-8", "replace") for word in chance.choice(LINES)]
                    with _stopped_after(_LINE_S):
                        cli.main([word for word in words if not word.startswith(("-h", "--h"))])
            except (ConfigError, SystemExit):
                pass
            except Exception as fault:
                storm.tracebacks += 1
                print(f"{type(fault).__name__}: {fault}", file=sys.__stderr__)
        storm.tracebacks += "Traceback" in said.getvalue()


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """Stops a command as a person does: a damaged line may still be a right one that goes on for ever, as `watch` does.

    The handlers that the command sets for itself are taken back, else Ctrl-C would no longer end the trial.
    """
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGALRM, lambda _number, _frame: cli.STOP.set())
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        cli.STOP.clear()
        for number, handler in kept.items():
            signal.signal(number, handler)


def _frames(port: int) -> int:
    with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        found = re.search(r"^edge_app_frames_processed_total (\S+)", answer.read().decode(), re.MULTILINE)
        return int(float(found[1])) if found else 0
    return 0


def until(what: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not what() and time.monotonic() < deadline:
        time.sleep(0.2)


@contextmanager
def _page(folder: Path) -> Iterator[tuple[int, str, Path]]:
    """A running `edge-app lines`: its port, its token, and the file with all that it prints."""
    command = (sys.executable, "-u", "-m", "edge_app.cli", "lines", "--config", str(folder / "edge-app.toml"))
    said = folder / "page.log"
    with said.open("wb") as log, subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log) as child:
        try:
            until(lambda: "token=" in said.read_text() or child.poll() is not None)
            found = re.search(r"http://\S+:(\d+)/\?token=(\S+)", said.read_text())
            assert found, f"the page ended: {said.read_text()}"
            yield int(found[1]), found[2], said
            assert child.poll() is None, "the page ended"
        finally:
            child.kill()


def _printed(log: Path) -> int:
    return log.read_text().count("Traceback")


ROW = Row(
    "fuzz",
    "10,000 malformed inputs to everything that listens",
    "no crash, no traceback, nothing let in",
    run,
)
