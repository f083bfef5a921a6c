"""`edge-app setup`: asks what a new device must know, writes a configuration that is valid, and checks it."""

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

_MODE: Final = 0o640  # the address of a camera may hold its login


@dataclass(frozen=True, slots=True)
class _Question:
    """flag: of the command line. default: what an empty answer means; None where there must be one."""

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
    parser.add_argument("--config", type=Path, default=Path("/etc/edge-app/edge-app.toml"), metavar="FILE")
    parser.add_argument("--state", default="/var/lib/edge-app", help="folder of the counts (%(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a configuration that is there")
    parser.add_argument("--no-check", action="store_true", help="write only; do not try camera and broker")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """What `check` returns. Raises ConfigError with all that is wrong; then nothing was written."""
    path: Path = arguments.config
    if path.exists() and not arguments.force:
        raise ConfigError(f"{path} is there already: edit it, or replace it with --force")
    _write(path, _text(_answers(arguments), arguments.state))
    print(f"edge-app: wrote {path}", file=sys.stderr)
    if arguments.no_check:
        return 0
    secrets = path.parent / "credentials"  # where the unit takes them from, and the check must too
    if secrets.is_dir():
        os.environ.setdefault("CREDENTIALS_DIRECTORY", str(secrets))
    return check.main(argparse.Namespace(config=str(path)), stop)


def _answers(arguments: argparse.Namespace) -> dict[str, str]:
    """By flag. What the command line leaves open is asked on a terminal, and has its default elsewhere."""
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
            raise ConfigError("setup was given up; nothing was written")
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
    # JSON's texts, numbers and lists are TOML's as well
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
    """In one step, and only when it is valid as the service will read it."""
    from edge_app.config.load import load
    from edge_app.system.files import write_atomic

    try:
        with _beside(path) as draft:
            draft.write_text(text, "utf-8")
            load(draft, _as_the_service(text, draft.parent))
        write_atomic(path, text, mode=_MODE)
        with contextlib.suppress(LookupError, PermissionError):  # elsewhere than on an installed device
            shutil.chown(path, group="edge-app")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror}); run as root, or choose --config") from error


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix=".edge-app-", dir=path.parent) as folder:
        yield Path(folder) / path.name


def _as_the_service(text: str, folder: Path) -> dict[str, str]:
    """The environment, and a key where the service will have one as a credential."""
    if "cert_file" not in text or "key_file" in text:
        return dict(os.environ)
    (folder / "mqtt_key").write_text("-\n")
    return {**os.environ, "CREDENTIALS_DIRECTORY": str(folder)}
