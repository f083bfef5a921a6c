"""`edge-app setup`: ask for the settings of a new device, write a valid configuration, and check it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_app.commands import check
from edge_app.commands._options import parse_line
from edge_app.errors import ConfigError

HELP = "ask for site, device, camera, line and broker, write the configuration and check it"

_MODE: Final = 0o640  # the URL of a camera may contain its login


@dataclass(frozen=True, slots=True)
class _Question:
    """One setting that is asked for.

    flag: its option on the command line. text: the question. default: what an empty answer means, None when an answer
    is required.
    """

    flag: str
    text: str
    default: str | None = ""


_QUESTIONS: Final = (
    _Question("site", "Site, such as harbour (a-z, 0-9, hyphen)", None),
    _Question("device", "Device, unique within the site, such as pole-7", None),
    _Question("source", "Camera: /dev/video0, an rtsp:// or http:// address, a video file, or street", "/dev/video0"),
    _Question("line", "Counting line ID:x0,y0,x1,y1 in 0..1 of the picture", "main:0.1,0.6,0.9,0.6"),
    _Question("broker", "Broker, HOST or HOST:PORT", None),
    _Question("ca", "Authority of the broker, a PEM file; empty: the system's, - for no encryption"),
    _Question("cert", "Certificate of this device, a PEM file; empty: none"),
    _Question("key", "Its key; empty: the service's credential mqtt_key"),
    _Question("username", "User name at the broker; empty: none"),
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
    if arguments.no_check:
        return 0
    secrets = path.parent / "credentials"  # where the systemd unit takes them from, so the check must too
    if secrets.is_dir():
        os.environ.setdefault("CREDENTIALS_DIRECTORY", str(secrets))
    return check.main(argparse.Namespace(config=str(path)), stop)


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
    return {q.flag: _ask(q) if given[q.flag] is None else given[q.flag] for q in _QUESTIONS}


def _ask(question: _Question) -> str:
    while True:
        print(f"{question.text}{f' [{question.default}]' if question.default else ''}: ", end="", file=sys.stderr)
        answer = sys.stdin.readline()
        if not answer:
            raise ConfigError("setup was stopped before the last answer; nothing was written")
        if answer.strip() or question.default is not None:
            return answer.strip() or question.default or ""


def _text(answers: dict[str, str], state: str) -> str:
    line = parse_line(answers["line"])
    tables: dict[str, dict[str, object]] = {
        "device": {"site": answers["site"], "device": answers["device"]},
        "source": _source(answers["source"]),
        "mqtt": _mqtt(answers),
        "store": {"folder": state},
    }
    parts = [_table(f"[{name}]", values) for name, values in tables.items()]
    return "\n".join([*parts, _table("[[lines]]", line)])


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
    host, _, port = answers["broker"].partition(":")
    if port and not port.isdecimal():
        raise ConfigError(f"--broker {answers['broker']}: must be HOST or HOST:PORT, such as broker.example.org:8883")
    files = {"ca_file": answers["ca"] if tls else "", "cert_file": answers["cert"], "key_file": answers["key"]}
    absolute = {key: str(Path(file).absolute()) for key, file in files.items() if file}
    login = {"username": answers["username"]} if answers["username"] else {}
    return {"host": host, "port": int(port or (8883 if tls else 1883)), "tls": tls, **absolute, **login}


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
