"""Ask the questions of `edge-app setup` on a terminal, and judge each answer before the next question."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import termios
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_app.commands._answers import host_and_port, is_address, source_table, tables_of
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.sources.discovery import FoundCamera

_REACH_S: Final = 3.0


class StoppedError(ConfigError):
    """Somebody has ended the questions before the last answer."""

    def __init__(self) -> None:
        super().__init__("stopped before the last answer: nothing was written")


@dataclass(frozen=True, slots=True)
class Question:
    """One setting that is asked for.

    flag: its option on the command line. text: the question. default: what an empty answer means, None when an answer
    is required. keys: beginnings of the keys of the configuration that its answer gives.
    """

    flag: str
    text: str
    default: str | None = ""
    keys: tuple[str, ...] = ()


QUESTIONS: Final = (
    Question("enrolment", "Enrolment file of the city, *.p12; empty: none"),
    Question("site", "Site, such as harbour (a-z, 0-9, hyphen)", None, ("device.site",)),
    Question("device", "Device, unique within the site, such as pole-7", None, ("device.device",)),
    Question(
        "source",
        "Camera: a number of the list, /dev/video0, picamera, jetson-csi, an IP address, rtsp://..., a video file, or "
        "street (invented counts)",
        "/dev/video0",
        ("source.",),
    ),
    Question("camera-user", "User name at the camera; empty: none", "", ("source.username",)),
    Question("line", "Counting line ID:x0,y0,x1,y1 in 0..1 of the picture", "main:0.1,0.6,0.9,0.6", ("lines",)),
    Question("broker", "Broker, HOST or HOST:PORT", None, ("mqtt.host", "mqtt.port")),
    Question("ca", "Authority of the broker, a PEM file; empty: the system's, - for no encryption"),
    Question("cert", "Certificate of this device, a PEM file; empty: none"),
    Question("key", "Its key; empty: the service's credential mqtt_key"),
    Question("username", "User name at the broker; empty: none", "", ("mqtt.username",)),
)


def ask(question: Question, before: Mapping[str, str], cameras: Sequence[FoundCamera] = ()) -> str:
    """Ask until the answer is one that the configuration takes and, unless it is given again, one that works.

    before: flag -> answer so far. cameras: for the question about the camera, those that may be named by number.
    """
    default, doubted = cameras[0].source if cameras else question.default, ""
    while True:
        answer = read_line(f"{question.text}{f' [{default}]' if default else ''}:") or default
        if answer is None:
            show("An answer is needed.")
            continue
        if question.flag == "source" and answer.isdecimal() and 0 < int(answer) <= len(cameras):
            answer = cameras[int(answer) - 1].source
        problem = problem_of(question, answer, before)
        doubt = "" if problem or answer == doubted else _doubt(question, answer, before)
        if doubt:
            problem, default, doubted = f"{doubt} Enter keeps it all the same.", answer, answer
        if not problem:
            return answer
        show(problem)


def problem_of(question: Question, answer: str, before: Mapping[str, str]) -> str:
    """Return one sentence on what is wrong with an answer, empty when nothing is: the rules are the configuration's."""
    from edge_app.config.load import validated

    harmless = {"site": "site", "device": "device", "source": "street", "line": "main:0,0,1,1", "broker": "localhost"}
    answers = {q.flag: harmless.get(q.flag, "") for q in QUESTIONS} | dict(before) | {question.flag: answer}
    try:
        tables = tables_of(answers, "/")
    except ConfigError as error:  # names the option, which nobody has typed
        return f"This {str(error).partition(': ')[2]}."
    try:
        validated(tables, Path.cwd())
    except ConfigError as error:
        own = [text.partition(": ")[2] for text in error.problems if text.startswith(question.keys)]
        return f"This {own[0]}." if question.keys and own else ""
    return ""


def _doubt(question: Question, answer: str, before: Mapping[str, str]) -> str:
    """Return one sentence on a valid answer that does not work now, empty when it does: the service might be away."""
    if question.flag == "broker":
        return unreachable(answer, encrypted=before.get("ca") != "-")
    if question.flag in ("ca", "cert", "key") and answer not in ("", "-") and not Path(answer).is_file():
        return f"There is no file {answer}."
    if question.flag != "source" or is_address(answer):
        return ""
    table = source_table(answer)
    if table["kind"] == "file" and not Path(answer).is_file():
        return f"There is no file {answer}, and this is no other camera that is known."
    if table["kind"] == "camera" and answer.startswith("/") and not Path(answer).exists():
        present = ", ".join(str(path) for path in sorted(Path("/dev").glob("video*"))) or "no /dev/video at all"
        return f"There is no camera {answer} (the system has {present})."
    return ""


def unreachable(broker: str, *, encrypted: bool) -> str:
    """Return one sentence where nothing answers at HOST or HOST:PORT, else an empty text."""
    host, port = host_and_port(broker)
    ports = [int(port)] if port else [8883, 1883] if encrypted else [1883]
    for number in ports:
        try:
            socket.create_connection((host, number), _REACH_S).close()
        except (socket.gaierror, UnicodeError):  # the latter for what no host can be called, such as a..b
            return f"The name {host} is unknown here."
        except OSError:
            continue
        return ""
    return f"Nothing answers at {host}, port {' or '.join(map(str, ports))}."


def show(text: str) -> None:
    """Print a line on stderr, without secrets, before anything else happens."""
    from edge_app.system.names import clean
    from edge_app.system.redaction import redacted

    print(_wrapped(clean(redacted(text), keep="\n")), file=sys.stderr, flush=True)


def _wrapped(text: str) -> str:
    lines = (
        textwrap.wrap(line, 80, break_long_words=False, break_on_hyphens=False) or [""] for line in text.split("\n")
    )
    return "\n".join(part for line in lines for part in line)


def ask_new_password(prompt: str) -> str:
    """Return a password that is typed twice without being shown, or read from a pipe.

    Raises ConfigError: for one that is too short, or two that differ.
    """
    from edge_app.web.passwords import judge_password

    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    first = read_line(prompt, secret=True)
    judge_password(first)  # before it is typed again
    if first != read_line("Once more:", secret=True):
        raise ConfigError("the two passwords differ; nothing is changed")
    return first


def read_line(prompt: str, *, secret: bool = False) -> str:
    """Show a prompt and return what is typed, without blanks around it. secret: what is typed is not shown.

    Raises StoppedError: when the terminal is closed instead, Ctrl-C is pressed, or SIGTERM comes.
    Raises ConfigError: for a secret of bytes that are no text.
    """
    # Without echo before it is asked, or a quick answer is shown.
    with _until_stopped(), _without_echo() if secret else contextlib.nullcontext():
        # A prompt ends no line, so nothing else would flush it.
        print(f"{_wrapped(prompt)} ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
    if not line:
        raise StoppedError
    if not secret:
        return line.strip()  # other answers are judged, and asked for again
    try:
        line.encode()
    except UnicodeEncodeError:  # it could be written nowhere
        raise ConfigError("what was typed is no UTF-8 text: set the terminal to UTF-8, and begin again") from None
    return line.rstrip("\r\n")


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """End a read by Ctrl-C or SIGTERM, which elsewhere only ask the program to stop: a read would go on for ever."""
    stops = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(stop, signal.default_int_handler) for stop in stops]
    try:
        yield
    except KeyboardInterrupt as error:
        show("")
        raise StoppedError from error
    finally:
        for stop, handler in zip(stops, before, strict=True):
            signal.signal(stop, handler)


@contextlib.contextmanager
def _without_echo() -> Iterator[None]:
    try:
        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
    except (OSError, ValueError, termios.error):  # no terminal
        yield
        return
    hidden = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    try:
        termios.tcsetattr(terminal, termios.TCSADRAIN, hidden)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
        print(file=sys.stderr, flush=True)  # the line end that was typed was not shown either
