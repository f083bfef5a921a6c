"""`edge-app city setup`: ask for broker, database and page of a city, write a valid city.toml, and check it."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from edge_app.commands._answers import host_and_port, mqtt_table, toml_of
from edge_app.commands._options import CITY, credentials_folder, reach_secrets
from edge_app.commands._questions import Question, Rules, StoppedError, ask, problem_of, read_line, show, unreachable
from edge_app.commands._setup_files import explained, refuse_place, secret_places, write_secrets
from edge_app.errors import ConfigError, reason_of
from edge_app.system.files import write_atomic

_STATE: Final = Path("/var/lib/edge-app-city")
_KINDS: Final = ("mqtt", "nats", "rabbitmq")
_QUESTIONS: Final = (
    Question("broker-kind", "Broker: mqtt (mosquitto and others), nats or rabbitmq", "mqtt", ("broker.kind",)),
    Question("broker", "Its address, HOST or HOST:PORT (the port of MQTT)", None, ("mqtt.host", "mqtt.port")),
    Question("ca", "Authority of the broker, a PEM file; empty: the system's, - for no encryption"),
    Question("cert", "Certificate of the city at the broker, a PEM file; empty: none"),
    Question("key", "Its key"),
    Question("username", "User name at the broker; empty: none", "", ("mqtt.username",)),
    Question("database", "PostgreSQL, HOST:PORT/NAME; empty: SQLite, one file for a small town", "", ("database.url",)),
    Question("database-user", "User of PostgreSQL; empty: none", "", ("database.username",)),
    Question(
        "origin", "Address of the page for others, https://NAME of a proxy; empty: this machine alone", "", ("page.",)
    ),
)
_PASSWORDS: Final = {"username": "mqtt_password", "database-user": "database_password"}
_HARMLESS: Final = {"broker-kind": "mqtt", "broker": "localhost"}


def add_setup(kinds: Any) -> None:
    """Add the command. kinds: subparsers of `city`."""
    setup = kinds.add_parser("setup", help="ask for broker, database and page, write city.toml and check it")
    for question in _QUESTIONS:
        setup.add_argument(f"--{question.flag}", help=question.text)
    setup.add_argument("--config", type=Path, default=CITY, metavar="FILE", help="TOML file to write (%(default)s)")
    setup.add_argument("--force", action="store_true", help="replace a configuration that exists")
    setup.add_argument("--no-check", action="store_true", help="write only; do not try broker and database")


def run_setup(check: Callable[[argparse.Namespace, threading.Event], int]) -> Callable[..., int]:
    """Return the command. check: `edge-app city check`, which has the last word."""

    def command(arguments: argparse.Namespace, stop: threading.Event) -> int:
        path: Path = arguments.config
        refuse_place(path, force=arguments.force, what="the city side")
        answers, passwords = _asked(arguments, stop)
        _write(path, answers, passwords)
        show(f"edge-app: wrote {path}")
        code = 0
        if not arguments.no_check:
            reach_secrets(path)
            code = check(argparse.Namespace(config=path, tables=False), stop)
        _show_next(path, answers)
        return code

    return command


# --- the answers


def _asked(arguments: argparse.Namespace, stop: threading.Event) -> tuple[dict[str, str], dict[str, str]]:
    """Return flag -> answer: of the command line, else asked on a terminal, else the default.

    Also returns credential -> password, as typed on a terminal; without one the program takes it from the environment.
    stop: is set by Ctrl-C while a broker is tried. Raises ConfigError.
    """
    given = {question.flag: getattr(arguments, question.flag.replace("-", "_")) for question in _QUESTIONS}
    terminal = sys.stdin.isatty()
    answers: dict[str, str] = {}
    passwords: dict[str, str] = {}
    missing = [q.flag for q in _QUESTIONS if q.default is None and given[q.flag] is None]
    if missing and not terminal:
        raise ConfigError(*(f"--{flag} is needed where there is no terminal to ask on" for flag in missing))
    for question in _QUESTIONS:
        answer = given[question.flag]
        if answer is None:
            asks = terminal and _is_needed(question.flag, answers)
            default = question.default or ""
            answer = ask(question, answers, _RULES, stopped=stop.is_set) if asks else default
        elif problem := problem_of(question, answer, answers, _RULES):
            raise ConfigError(f"--{question.flag}: {problem}")
        answers[question.flag] = answer
        name = _PASSWORDS.get(question.flag)
        if name and answer and terminal and f"EDGE_APP_{name.upper()}" not in os.environ:
            passwords[name] = read_line("Its password:", secret=True)
    if stop.is_set():
        raise StoppedError
    return answers, passwords


def _is_needed(flag: str, answers: Mapping[str, str]) -> bool:
    needs = {
        "cert": answers.get("ca") != "-",
        "key": bool(answers.get("cert")),
        "database-user": answers.get("database"),
    }
    return bool(needs.get(flag, True))


def _own_problem(question: Question, answer: str, before: Mapping[str, str]) -> str:
    """Return one sentence on what is wrong with an answer and no configuration judges, empty when nothing is."""
    if question.flag == "broker-kind" and answer not in _KINDS:
        return f"This is none of {', '.join(_KINDS)}."
    if question.flag == "key" and before.get("cert") and not answer:
        return "A certificate needs its key."
    if question.flag in ("cert", "key") and answer and not Path(answer).is_file():
        return f"There is no file {answer}."
    return ""


def _validated(tables: Mapping[str, Any]) -> object:
    from edge_app.city.config import validated

    return validated(tables, Path.cwd(), {})


def _doubt(question: Question, answer: str, before: Mapping[str, str]) -> str:
    if question.flag == "broker":
        return unreachable(answer, encrypted=before.get("ca") != "-")
    if question.flag == "ca" and answer not in ("", "-") and not Path(answer).is_file():
        return f"There is no file {answer}."
    if question.flag == "database" and answer:
        return unreachable(answer.partition("/")[0], encrypted=False) if ":" in answer else ""
    return ""


_RULES: Final = Rules(
    _QUESTIONS,
    _HARMLESS,
    lambda answers: _tables({**answers, "cert": "", "key": ""}, Path()),
    _validated,
    _doubt,
    _own_problem,
)


# --- the files


def _tables(answers: Mapping[str, str], state: Path) -> dict[str, Any]:
    """Return the tables of city.toml. state: folder of a SQLite database. Raises ConfigError."""
    database: dict[str, str] = {"url": f"sqlite:///{state / 'city.sqlite3'}"}
    if answers["database"]:
        host, _, name = answers["database"].removeprefix("postgresql://").partition("/")
        if not name or not _is_address(host):
            raise ConfigError("--database: must be HOST:PORT/NAME, such as 127.0.0.1:5432/counts")
        database = {"url": f"postgresql://{host}/{name}"}
    if answers["database-user"]:
        database["username"] = answers["database-user"]
    page = {"page": {"origin": answers["origin"]}} if answers["origin"] else {}
    return {"mqtt": mqtt_table(answers), "broker": {"kind": answers["broker-kind"]}, "database": database, **page}


def _is_address(text: str) -> bool:
    try:
        return int(host_and_port(text)[1] or 1) in range(1, 65_536)
    except ConfigError:
        return False


def _write(path: Path, answers: Mapping[str, str], passwords: Mapping[str, str]) -> None:
    """Write configuration and secrets, and only when they are valid as the service will read them.

    Raises ConfigError: for invalid settings, or when a file cannot be written.
    """
    from edge_app.city.config import validated

    installed = credentials_folder(path).is_dir()
    tables = _tables(answers, _STATE if installed else Path())
    environment = {f"EDGE_APP_{name.upper()}": text for name, text in passwords.items()}
    validated(tables, path.absolute().parent, {**os.environ, **environment})
    secrets = dict(passwords)
    if installed:  # the service has not the environment of this command
        for flag, name in _PASSWORDS.items():
            if answers[flag] and (text := os.environ.get(f"EDGE_APP_{name.upper()}")):
                secrets[name] = text
    if installed and answers["key"]:  # the service's user cannot read the key where it lies
        secrets["mqtt_key"] = _text_of(Path(answers["key"]))
        del tables["mqtt"]["key_file"]
    if not installed:
        for name, place in secret_places(path, secrets).items():
            tables[name.split("_")[0]]["password_file"] = str(place)
    with explained(path):
        write_secrets(path, secrets)
        write_atomic(path, toml_of(tables), mode=0o644)  # it holds no secret, and the service's user reads it


def _text_of(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError as error:
        raise ConfigError(f"--key {path}: cannot be read ({reason_of(error)})") from error
    except ValueError as error:
        raise ConfigError(f"--key {path}: is no PEM file") from error


def _show_next(path: Path, answers: Mapping[str, str]) -> None:
    installed = path == CITY
    sudo, named = ("sudo ", "") if installed else ("", f" --config {shlex.quote(str(path))}")
    serve = {"sudo /opt/edge-app-city/current/install.sh start": "starts it, and waits until it answers"}
    steps = (serve if installed else {f"edge-app city serve{named}": "takes counts and shows the page"}) | {
        f"{sudo}edge-app city user add NAME --role administrator{named}": "from then on everybody has to log in"
    }
    if answers["broker-kind"] != "mqtt":
        steps = {"docs/deploy/city-brokers.md": "how this broker is set up"} | steps
    width = max(map(len, steps))
    print("\nNext:", *(f"  {step:<{width}}  {does}" for step, does in steps.items()), sep="\n", file=sys.stderr)
