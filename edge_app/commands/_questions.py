"""Ask the questions of a setup on a terminal, and judge each answer before the next question."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import sys
import termios
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_app.commands._answers import host_and_port
from edge_app.errors import ConfigError

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


@dataclass(frozen=True, slots=True)
class Rules:
    """How the answers of one setup are judged: by its configuration, and by what works now.

    questions: all of them. harmless: flag -> a valid answer, for those whose question is still to come; without one
    an empty text is valid. tables: flag -> answer into tables of the configuration; validated: judges these. Both raise
    ConfigError. own: returns one sentence on what no configuration judges. doubt: one on a valid answer that does not
    work now, since the service might be away. Both take a question, its answer and the answers before, by flag.
    """

    questions: Sequence[Question]
    harmless: Mapping[str, str]
    tables: Callable[[Mapping[str, str]], Mapping[str, Any]]
    validated: Callable[[Mapping[str, Any]], object]
    doubt: Callable[[Question, str, Mapping[str, str]], str]
    own: Callable[[Question, str, Mapping[str, str]], str] = lambda _question, _answer, _before: ""


def ask(
    question: Question,
    before: Mapping[str, str],
    rules: Rules,
    choices: Sequence[str] = (),
    stopped: Callable[[], bool] = lambda: False,
) -> str:
    """Ask until the answer is one that the configuration takes and, unless it is given again, one that works.

    before: flag -> answer so far. choices: answers that may be named by number, from 1; an empty one is the first.
    stopped: whether somebody has ended the program while an answer was tried. Raises StoppedError.
    """
    default, doubted = choices[0] if choices else question.default, None
    while True:
        if stopped():
            raise StoppedError
        answer = read_line(f"{question.text}{f' [{default}]' if default else ''}:") or default
        if answer is None:
            show("An answer is needed.")
            continue
        if answer.isdecimal() and 0 < int(answer) <= len(choices):
            answer = choices[int(answer) - 1]
        problem = problem_of(question, answer, before, rules)
        doubt = "" if problem or answer == doubted else rules.doubt(question, answer, before)
        if doubt:
            problem, default, doubted = f"{doubt} Enter keeps it all the same.", answer, answer
        if not problem:
            return answer
        show(problem)


def problem_of(question: Question, answer: str, before: Mapping[str, str], rules: Rules) -> str:
    """Return one sentence on what is wrong with an answer, empty when nothing is."""
    if problem := rules.own(question, answer, before):
        return problem
    answers = {q.flag: rules.harmless.get(q.flag, "") for q in rules.questions} | dict(before) | {question.flag: answer}
    try:
        tables = rules.tables(answers)
    except ConfigError as error:  # names the option, which nobody has typed
        return f"This {str(error).partition(': ')[2]}."
    try:
        rules.validated(tables)
    except ConfigError as error:
        own = [text.partition(": ")[2] for text in error.problems if text.startswith(question.keys)]
        return f"This {own[0]}." if own else ""
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

    Raises StoppedError: when the terminal is closed instead, Ctrl-C is pressed, or SIGTERM or SIGHUP comes.
    Raises ConfigError: for a secret of bytes that are no text.
    """
    # Without echo before it is asked, or a quick answer is shown.
    with _until_stopped(), _without_echo() if secret else contextlib.nullcontext():
        # A prompt ends no line, so nothing else would flush it.
        print(f"{_wrapped(prompt)} ", end="", file=sys.stderr, flush=True)
        _wait_for_line()
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


def _wait_for_line() -> None:
    """Wait until a terminal holds a line, which it gives at once then, or until a signal comes.

    A read alone would miss a signal between the prompt and the read, and wait for ever; the wakeup descriptor keeps it
    (https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd).
    """
    with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as ends:  # no terminal, such as a pipe
        if not os.isatty(terminal := sys.stdin.fileno()):
            return
        woken, waker = (ends.enter_context(end) for end in socket.socketpair())
        waker.setblocking(False)
        ends.callback(signal.set_wakeup_fd, signal.set_wakeup_fd(waker.fileno()))
        select.select([terminal, woken], [], [])


@contextlib.contextmanager
def _until_stopped() -> Iterator[None]:
    """End a read by signals that elsewhere only ask the program to stop: a read would go on for ever."""
    stops = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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
