"""`edge-app setup`: ask for the settings of a new device, write a valid configuration, and check it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from edge_app.commands import check
from edge_app.commands._options import parse_line
from edge_app.errors import ConfigError, ResourceError

HELP = "ask for site, device, camera, line and broker, write the configuration and check it"

_MODE: Final = 0o640  # the URL of a camera may contain its login


@dataclass(frozen=True, slots=True)
class _Question:
    """One setting that is asked for.

    flag: its option on the command line. text: the question. default: what an empty answer means, None when an answer
    is required. keys: beginnings of the keys of the configuration that its answer gives.
    """

    flag: str
    text: str
    default: str | None = ""
    keys: tuple[str, ...] = ()


_QUESTIONS: Final = (
    _Question("site", "Site, such as harbour (a-z, 0-9, hyphen)", None, ("device.site",)),
    _Question("device", "Device, unique within the site, such as pole-7", None, ("device.device",)),
    _Question(
        "source",
        "Camera: /dev/video0, an rtsp:// or http:// address, a video file, or street",
        "/dev/video0",
        ("source.",),
    ),
    _Question("line", "Counting line ID:x0,y0,x1,y1 in 0..1 of the picture", "main:0.1,0.6,0.9,0.6", ("lines",)),
    _Question("broker", "Broker, HOST or HOST:PORT", None, ("mqtt.host", "mqtt.port")),
    _Question("ca", "Authority of the broker, a PEM file; empty: the system's, - for no encryption"),
    _Question("cert", "Certificate of this device, a PEM file; empty: none"),
    _Question("key", "Its key; empty: the service's credential mqtt_key"),
    _Question("username", "User name at the broker; empty: none", "", ("mqtt.username",)),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for question in _QUESTIONS:
        parser.add_argument(f"--{question.flag}", help=question.text)
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("/etc/edge-app/edge-app.toml"),
        metavar="FILE",
        help="TOML file to write (%(default)s)",
    )
    parser.add_argument("--state", default="/var/lib/edge-app", help="state folder, holds the counts (%(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a configuration that exists")
    parser.add_argument("--no-check", action="store_true", help="write only; do not try camera and broker")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Write the configuration and return the exit code of `check`.

    Raises ConfigError: with every error of the answers; nothing is written then.
    """
    path: Path = arguments.config
    if path.exists() and not arguments.force:
        raise ConfigError(f"{path} exists already: edit it, or replace it with --force")
    _write(path, _text(_answers(arguments), arguments.state))
    print(f"edge-app: wrote {path}", file=sys.stderr)
    secrets = path.parent / "credentials"  # where the systemd unit takes them from, so the check must too
    if secrets.is_dir():
        _tell_page(secrets, path)
    if arguments.no_check:
        return 0
    if secrets.is_dir():
        os.environ.setdefault("CREDENTIALS_DIRECTORY", str(secrets))
    return check.main(argparse.Namespace(config=str(path)), stop)


def _tell_page(secrets: Path, config: Path) -> None:
    """Print how to get to the page; a device without `openssl` is set up all the same."""
    from edge_app.commands._page_secrets import introduce

    try:
        introduce(secrets, config)
    except (ConfigError, ResourceError) as error:
        print(f"edge-app: no page: {error}", file=sys.stderr)


def _answers(arguments: argparse.Namespace) -> dict[str, str]:
    """Return flag -> answer: from the command line, else asked on a terminal, else the default.

    Raises ConfigError: for required answers without a terminal to ask on.
    """
    given = {question.flag: getattr(arguments, question.flag) for question in _QUESTIONS}
    if not sys.stdin.isatty():
        missing = [q.flag for q in _QUESTIONS if q.default is None and given[q.flag] is None]
        if missing:
            raise ConfigError(*(f"--{flag} is needed where there is no terminal to ask on" for flag in missing))
        return {q.flag: q.default or "" if given[q.flag] is None else given[q.flag] for q in _QUESTIONS}
    answers: dict[str, str] = {}
    for question in _QUESTIONS:
        answer: str | None = given[question.flag]
        if answer is None:
            answer = _ask(question, answers) if _is_needed(question, answers) else ""
        answers[question.flag] = answer
    return answers


def _is_needed(question: _Question, answers: dict[str, str]) -> bool:
    """Return False for a certificate without encryption, and a key without a certificate."""
    if question.flag == "cert":
        return answers["ca"] != "-"
    return question.flag != "key" or bool(answers["cert"])


def _ask(question: _Question, before: dict[str, str]) -> str:
    """Ask until the answer is one that the configuration takes. before: the answers so far."""
    while True:
        print(f"{question.text}{f' [{question.default}]' if question.default else ''}: ", end="", file=sys.stderr)
        answer = sys.stdin.readline()
        if not answer:
            raise ConfigError("setup was stopped before the last answer; nothing was written")
        if answer.strip() or question.default is not None:
            chosen = answer.strip() or question.default or ""
            problem = _problem(question, chosen, before)
            if not problem:
                return chosen
            print(problem, file=sys.stderr)


def _problem(question: _Question, answer: str, before: dict[str, str]) -> str:
    """Return one sentence on what is wrong with an answer, empty when nothing is: the rules are the configuration's."""
    from edge_app.config.load import validated

    harmless = {"site": "site", "device": "device", "source": "street", "line": "main:0,0,1,1", "broker": "localhost"}
    answers = {q.flag: harmless.get(q.flag, "") for q in _QUESTIONS} | before | {question.flag: answer}
    try:
        tables = _tables(answers, "/")
    except ConfigError as error:  # names the option, which nobody has typed
        return _sentence(str(error).partition(": ")[2])
    try:
        validated(tables, Path.cwd())
    except ConfigError as error:
        own = [text.partition(": ")[2] for text in error.problems if text.startswith(question.keys)]
        return _sentence(own[0]) if question.keys and own else ""
    return ""


def _sentence(problem: str) -> str:
    from edge_app.system.names import clean
    from edge_app.system.redaction import redacted

    return clean(redacted(f"This {problem}."))


def _text(answers: dict[str, str], state: str) -> str:
    tables = _tables(answers, state)
    (line,) = tables.pop("lines")
    parts = [_table(f"[{name}]", values) for name, values in tables.items()]
    return "\n".join([*parts, _table("[[lines]]", line)])


def _tables(answers: dict[str, str], state: str) -> dict[str, Any]:
    return {
        "device": {"site": answers["site"], "device": answers["device"]},
        "source": _source(answers["source"]),
        "mqtt": _mqtt(answers),
        "store": {"folder": state},
        "lines": [parse_line(answers["line"])],
    }


def _table(title: str, values: dict[str, object]) -> str:
    # JSON's strings, numbers and lists are valid TOML too
    return "\n".join(
        [title, *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()), ""]
    )


def _source(text: str) -> dict[str, object]:
    if text == "street":
        return {"kind": "street"}
    if "://" in text:
        return {"kind": "stream", "url": text}
    if text.startswith("/dev/"):
        return {"kind": "camera", "device": text}
    return {"kind": "file", "path": str(Path(text).absolute()), "loop": True}


def _mqtt(answers: dict[str, str]) -> dict[str, object]:
    tls = answers["ca"] != "-"
    host, port = _host_and_port(answers["broker"])
    files = {"ca_file": answers["ca"] if tls else "", "cert_file": answers["cert"], "key_file": answers["key"]}
    absolute = {key: str(Path(file).absolute()) for key, file in files.items() if file}
    login = {"username": answers["username"]} if answers["username"] else {}
    return {"host": host, "port": int(port or (8883 if tls else 1883)), "tls": tls, **absolute, **login}


def _host_and_port(broker: str) -> tuple[str, str]:
    """Return host and port, empty when it is not given. Raises ConfigError: without repeating a login."""
    if "://" in broker:
        host, port = _of_url(broker)
        also = (
            " (for WebSockets, set mqtt.transport in the file afterwards)" if broker.startswith(("ws", "http")) else ""
        )
        raise ConfigError(f"--broker: is a URL; write {host}{f':{port}' if port else ''}{also}")
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", broker)
    if bracketed or broker.count(":") > 1:  # an IPv6 address
        host, port = (bracketed[1], bracketed[2] or "") if bracketed else (broker, "")
    else:
        host, _, port = broker.partition(":")
    if not host or (port and not port.isdecimal()) or (broker.endswith(":") and not broker.endswith("::")):
        raise ConfigError(f"--broker {broker}: must be HOST or HOST:PORT, such as broker.example.org:8883")
    return host, port


def _of_url(url: str) -> tuple[str, str]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "HOST", parts.port
    except ValueError:
        return "HOST", "PORT"
    return (f"[{host}]" if ":" in host else host), str(port or "")


def _write(path: Path, text: str) -> None:
    """Write the configuration in one step, and only when it is valid as the service will read it.

    Raises ConfigError: for invalid settings, or when the file cannot be written.
    """
    from edge_app.config.load import load
    from edge_app.system.files import write_atomic

    try:
        with _beside(path) as draft:
            draft.write_text(text, "utf-8")
            load(draft, _service_environment(text, draft.parent))
        write_atomic(path, text, mode=_MODE)
        with contextlib.suppress(LookupError, PermissionError):  # the group exists only on an installed device
            shutil.chown(path, group="edge-app")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); run as root, or choose --config") from error


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside it, so that relative paths mean the same."""
    with tempfile.TemporaryDirectory(prefix=".edge-app-", dir=path.parent) as folder:
        yield Path(folder) / path.name


def _service_environment(text: str, folder: Path) -> dict[str, str]:
    """Return the environment, with a stand-in for the key when the service gets its key as a credential."""
    if "cert_file" not in text or "key_file" in text:
        return dict(os.environ)
    (folder / "mqtt_key").write_text("-\n")
    return {**os.environ, "CREDENTIALS_DIRECTORY": str(folder)}
