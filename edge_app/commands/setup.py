"""`edge-app setup`: ask for the settings of a new device, write a valid configuration, and check it."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from edge_app.commands import check
from edge_app.commands._answers import is_address, source_table, tables_of, toml_of
from edge_app.commands._cameras import refuse_twin
from edge_app.commands._device_questions import QUESTIONS, RULES
from edge_app.commands._options import INSTALLED, credentials_folder, reach_secrets
from edge_app.commands._questions import StoppedError, ask, read_line, show
from edge_app.commands._setup_files import explained, refuse_place, secret_places, write_secrets
from edge_app.errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from edge_app.commands._enrolment import Enrolment
    from edge_app.sources.discovery import FoundCamera

HELP = "ask for site, device, camera, line and broker, write the configuration and check it"

_MODE: Final = 0o640  # the URL of a camera may contain its login
_ENROLLED: Final = ("site", "device", "broker", "ca", "cert", "key", "username")
"""Questions that an enrolment file answers."""


@dataclass(slots=True)
class _Setup:
    """Everything that is about to be written. secrets: name of a credential -> text. files: path -> public text."""

    answers: dict[str, str] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    files: dict[Path, str] = field(default_factory=dict)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    for question in QUESTIONS:
        parser.add_argument(f"--{question.flag}", help=question.text)
    parser.add_argument(
        "--config", type=Path, default=INSTALLED, metavar="FILE", help="TOML file to write (%(default)s)"
    )
    parser.add_argument("--state", default="/var/lib/edge-app", help="state folder, holds the counts (%(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a configuration that exists")
    parser.add_argument("--no-check", action="store_true", help="write only; do not try camera and broker")


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Write the configuration and return the exit code of `check`.

    Raises ConfigError: with every error of the answers; nothing is written then.
    """
    path: Path = arguments.config
    refuse_place(path, force=arguments.force, what="the program")
    setup = _asked(arguments, path, stop)
    if stop.is_set():  # while a camera was looked for, not while a question stood there
        raise StoppedError
    _write(path, setup, str(Path(arguments.state).absolute()))
    show(f"edge-app: wrote {path}")
    code = 0
    if not arguments.no_check:
        reach_secrets(path)
        code = check.main(argparse.Namespace(config=path, no_sandbox=False), stop)
    if credentials_folder(path).is_dir() and credentials_folder(path).name == "credentials":  # it serves no other
        _show_page(path)
    _show_next(path, failed=code != 0)
    return code


def _show_page(config: Path) -> None:
    """Print how to get to the page; a device without `openssl` is set up all the same."""
    from edge_app.commands._page_secrets import introduce

    try:
        introduce(credentials_folder(config), config)
    except (ConfigError, ResourceError) as error:
        show(f"edge-app: no page: {error}")


def _drawing_of(path: Path) -> str:
    """Return the command that leads to where lines are drawn: the page, once it has drawn some, else `lines`."""
    from edge_app.config.files import layer_path

    return "sudo edge-app page --fingerprint" if layer_path(path, "page").exists() else "sudo edge-app lines"


def _show_next(path: Path, *, failed: bool) -> None:
    if path == INSTALLED:
        again = {"sudo edge-app setup --force": "asks again, where an answer was wrong"} if failed else {}
        steps = again | {
            "sudo /opt/edge-app/current/install.sh start": "starts it, and waits until it counts",
            _drawing_of(path): "draw the line on the live picture",
            "sudo edge-app status": "tells whether it counts",
        }
    elif path.parent == INSTALLED.parent:
        steps = {
            f"sudo edge-app lines --config {path}": "draw the line on the live picture",
            "sudo edge-app camera list": "state, memory and processor time of each camera",
        }
    else:
        steps = {
            f"edge-app lines --config {path}": "a page on which the line is drawn",
            f"edge-app run --config {path}": "counts",
        }
    print(
        "\nNext:",
        *(f"  {command:<{max(map(len, steps))}}  {does}" for command, does in steps.items()),
        sep="\n",
        file=sys.stderr,
    )


# --- the answers


def _asked(arguments: argparse.Namespace, path: Path, stop: threading.Event) -> _Setup:
    """Return the answers: from the command line, else asked on a terminal, else the defaults.

    Raises ConfigError: for required answers without a terminal to ask on, or a wrong enrolment file.
    """
    given = {question.flag: getattr(arguments, question.flag.replace("-", "_")) for question in QUESTIONS}
    terminal, setup = sys.stdin.isatty(), _Setup()
    enrolment = None
    if given["enrolment"]:
        enrolment = _enrolment(_file(given["enrolment"]), terminal)
    elif terminal and given["enrolment"] is None:
        enrolment, given["enrolment"] = _asked_enrolment(), ""
    if enrolment:
        _take_over(enrolment, setup, given, path)
    if not terminal:
        missing = [q.flag for q in QUESTIONS if q.default is None and given[q.flag] is None]
        if missing:
            raise ConfigError(*(f"--{flag} is needed where there is no terminal to ask on" for flag in missing))
        setup.answers = {q.flag: q.default or "" if given[q.flag] is None else given[q.flag] for q in QUESTIONS}
        if problem := _taken(path, setup.answers):
            raise ConfigError(problem)
        return setup
    for question in QUESTIONS:
        if stop.is_set():
            raise StoppedError
        answer = given[question.flag]
        if answer is None:
            cameras = _cameras() if question.flag == "source" else ()
            sources, needed = [camera.source for camera in cameras], _is_needed(question.flag, setup.answers)
            answer = ask(question, setup.answers, RULES, sources) if needed else ""
        setup.answers[question.flag] = answer
        while question.flag == "device" and (problem := _taken(path, setup.answers)):
            if given["device"] is not None:
                raise ConfigError(problem)
            show(f"{problem}.")
            setup.answers["device"] = ask(question, setup.answers, RULES)
        _follow_up(question.flag, setup)
    return setup


def _taken(path: Path, answers: Mapping[str, str]) -> str:
    """Return one sentence where another camera of this device has the same site and device, else an empty text."""
    if path.absolute().parent != INSTALLED.parent:
        return ""
    try:
        refuse_twin(path.absolute(), f"{answers['site']}/{answers['device']}")
    except ConfigError as error:
        return str(error)
    return ""


def _asked_enrolment() -> Enrolment | None:
    """Return the enrolment of the file that a person names, None where there is none; ask again for a wrong one."""
    while answer := read_line(f"{QUESTIONS[0].text}:"):
        if not _file(answer).is_file():
            show(f"There is no file {answer}.")
            continue
        try:
            return _enrolment(_file(answer), terminal=True)
        except StoppedError:
            raise
        except ConfigError as error:
            show(f"{error}.")
    return None


def _file(text: str) -> Path:
    """Return the file that somebody names, whose ~ no shell has expanded."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # Path.expanduser fails for a user that is unknown


def _enrolment(file: Path, terminal: bool) -> Enrolment:
    from edge_app.commands._enrolment import read_enrolment, refuse_missing

    password = os.environ.get("EDGE_APP_ENROLMENT_PASSWORD")
    refuse_missing(file)
    while True:
        if password is None and not terminal:
            raise ConfigError("the password of the enrolment file is needed in EDGE_APP_ENROLMENT_PASSWORD")
        typed = read_line(f"Password of {file.name}:", secret=True) if password is None else password
        try:
            return read_enrolment(file, typed)
        except ConfigError as error:
            if not terminal or password is not None or not str(error).startswith("this is not the password"):
                raise
            show(f"{error}.")


def _take_over(enrolment: Enrolment, setup: _Setup, given: dict[str, str | None], path: Path) -> None:
    """Answer questions by the enrolment file; an option on the command line goes before it."""
    folder, name = path.absolute().parent, f"{enrolment.site}.{enrolment.device}"
    ca, cert = folder / f"{name}.ca.pem", folder / f"{name}.pem"
    found = (enrolment.site, enrolment.device, enrolment.broker, str(ca), str(cert), "", "")
    for flag, answer in zip(_ENROLLED, found, strict=True):
        given[flag] = answer if given[flag] is None else given[flag]
    setup.files = {ca: enrolment.authority, cert: enrolment.certificate}
    setup.secrets["mqtt_key"] = enrolment.key
    show(f"This is {enrolment.site}/{enrolment.device}, and reports to {enrolment.broker}.")


def _cameras() -> Sequence[FoundCamera]:
    """Look for cameras and show a numbered list of them."""
    from edge_app.sources.discovery import found_cameras

    show("Looking for cameras ...")
    cameras = found_cameras()
    for n, camera in enumerate(cameras, 1):
        show(f"  {n}  {camera.source}  ({camera.name})")
    if not cameras:
        show("  none found on this device, and no ONVIF camera answers in its networks")
    return cameras


def _is_needed(flag: str, answers: Mapping[str, str]) -> bool:
    """Return False for a login that no camera asks for, a certificate without encryption, a key without one."""
    if flag == "camera-user":
        source = answers["source"]
        return source_table(source)["kind"] == "stream" and "@" not in source
    if flag == "cert":
        return answers["ca"] != "-"
    return flag != "key" or bool(answers["cert"])


def _follow_up(flag: str, setup: _Setup) -> None:
    """Ask what an answer makes necessary: the password of a user, or the stream of a camera at an address."""
    answers, password = setup.answers, {"camera-user": "source_password", "username": "mqtt_password"}.get(flag)
    if password and answers[flag] and f"EDGE_APP_{password.upper()}" not in os.environ:
        setup.secrets[password] = read_line("Its password:", secret=True)
    if flag == "camera-user" and source_table(answers["source"])["kind"] == "stream":
        answers["source"] = _stream(setup)


def _stream(setup: _Setup) -> str:
    """Return the address of the camera's stream, tried; ask for another login or address where it does not work."""
    from edge_app.sources.diagnosis import is_about_login

    while True:
        source, problem = _tried(setup)
        if not problem:
            return source
        if not is_about_login(problem):
            show(problem)
            question = next(question for question in QUESTIONS if question.flag == "source")
            again = type(question)("source", "Enter keeps it, or another address", source, question.keys)
            return ask(again, setup.answers, RULES)
        show(f"{problem.rpartition(': ')[0]}.")
        user = read_line("User name at the camera; Enter keeps what was typed:")
        if not user:
            return source
        setup.answers["camera-user"] = user
        setup.secrets["source_password"] = read_line("Its password:", secret=True)


def _tried(setup: _Setup) -> tuple[str, str]:
    """Return the address of the camera's stream, found where only that of the camera is known, and why it fails."""
    from edge_app.sources.diagnosis import why_no_server
    from edge_app.sources.discovery import stream_of

    source, user = setup.answers["source"], setup.answers["camera-user"]
    password = setup.secrets.get("source_password", os.environ.get("EDGE_APP_SOURCE_PASSWORD", ""))
    login = f"{quote(user, safe='')}:{quote(password, safe='')}" if user else ""
    if is_address(source):
        show(f"Asking {source} for its stream ...")
        found = stream_of(source, login)
        if found:
            show(f"  {found}")
        source = found or f"rtsp://{source}/"
    url = urlsplit(source)._replace(netloc=f"{login}@{urlsplit(source).netloc}").geturl() if login else source
    return source, why_no_server(url, 3.0) if source.startswith(("rtsp:", "http:")) else ""


# --- the files


def _write(path: Path, setup: _Setup, state: str) -> None:
    """Write configuration, certificates and secrets, and only when they are valid as the service will read them.

    Raises ConfigError: for invalid settings, or when a file cannot be written.
    """
    from edge_app.config.load import load
    from edge_app.system.files import write_atomic

    tables = tables_of(setup.answers, state)
    for name, file in secret_places(path, setup.secrets).items():
        if file.parent != credentials_folder(path):  # nobody hands them over there: the configuration names them
            table, key = ("mqtt", "key_file") if name == "mqtt_key" else (name.split("_")[0], "password_file")
            tables[table].setdefault(key, str(file))
    text = toml_of(tables)
    with explained(path):
        with _beside(path) as draft:
            draft.write_text(text, "utf-8")
            load(draft, _service_environment(text, draft.parent, setup.secrets))
        write_secrets(path, setup.secrets)
        for file, content in setup.files.items():
            write_atomic(file, content, mode=0o644)
        write_atomic(path, text, mode=_MODE)
        with contextlib.suppress(LookupError, PermissionError):  # the group exists only on an installed device
            shutil.chown(path, group="edge-app")


@contextlib.contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """Yield a path of the same name in a temporary folder beside it, so that relative paths mean the same."""
    with tempfile.TemporaryDirectory(prefix=".edge-app-", dir=path.parent) as folder:
        yield Path(folder) / path.name


def _service_environment(text: str, folder: Path, secrets: Mapping[str, str]) -> dict[str, str]:
    """Return the environment, with stand-ins for secrets that the service gets and that are not written yet."""
    passwords = {f"EDGE_APP_{name.upper()}": text for name, text in secrets.items() if name.endswith("password")}
    if "cert_file" not in text or "key_file" in text:
        return {**os.environ, **passwords}
    (folder / "mqtt_key").write_text("-\n")
    return {**os.environ, **passwords, "CREDENTIALS_DIRECTORY": str(folder)}
