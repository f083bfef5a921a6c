"""`edge-app city setup`: ask for broker, database and page of a city, write a valid city.toml, and check it."""

from __future__ import annotations

import argparse
import os
import shlex
import stat
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from edge_app.commands._answers import host_and_port, mqtt_table, toml_of
from edge_app.commands._options import CITY, credentials_folder, reach_secrets
from edge_app.commands._questions import Question, Rules, StoppedError, ask, problem_of, read_line, show, unreachable
from edge_app.commands._setup_files import explained, refuse_place, secret_places, write_secrets
from edge_app.errors import ConfigError, reason_of
from edge_app.system.files import write_atomic
from edge_app.system.names import url_host

_POSTGRESQL: Final = "postgresql://"
_SQLITE: Final = "sqlite:///"
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
    Question("page-port", "TCP port of the page on this machine", "8800", ("page.port",)),
    Question(
        "origin",
        "Address of the page for others, https://NAME of a proxy; empty: this machine alone",
        "",
        ("page.origin",),
    ),
)
_PASSWORDS: Final = {"username": "mqtt_password", "database-user": "database_password"}
_FILES: Final = {"mqtt_password": "mqtt-password-file", "database_password": "database-password-file"}
_OWN: Final = {
    "mqtt": ("host", "port", "tls", "ca_file", "cert_file", "key_file", "username"),
    "broker": ("kind",),
    "database": ("url", "username"),
    "page": ("port", "origin"),
}
"""Keys that the answers give; of a configuration that is replaced all others stay."""
_HARMLESS: Final = {"broker-kind": "mqtt", "broker": "localhost", "page-port": "8800"}


def add_setup(kinds: Any) -> None:
    """Add the command. kinds: subparsers of `city`."""
    setup = kinds.add_parser("setup", help="ask for broker, database and page, write city.toml and check it")
    for question in _QUESTIONS:
        setup.add_argument(f"--{question.flag}", help=question.text)
    setup.add_argument("--config", type=Path, default=CITY, metavar="FILE", help="TOML file to write (%(default)s)")
    for name, flag in _FILES.items():
        what = "the broker" if name.startswith("mqtt") else "PostgreSQL"
        help_text = f"file with the password at {what}; without one it is asked for, or EDGE_APP_{name.upper()} has it"
        setup.add_argument(f"--{flag}", type=Path, metavar="FILE", help=help_text)
    setup.add_argument(
        "--force",
        action="store_true",
        help="change a configuration that exists: what is not answered stays, and so do all other keys",
    )
    setup.add_argument("--no-check", action="store_true", help="write only; do not try broker and database")


def run_setup(check: Callable[[argparse.Namespace, threading.Event], int]) -> Callable[..., int]:
    """Return the command. check: `edge-app city check`, which has the last word."""

    def command(arguments: argparse.Namespace, stop: threading.Event) -> int:
        path: Path = arguments.config
        refuse_place(path, force=arguments.force, what="the city side")
        former = _former(path)
        answers, passwords = _asked(arguments, _questions(former, path), stop)
        _write(path, answers, passwords, former)
        show(f"edge-app: wrote {path}")
        code = 0
        if not arguments.no_check:
            reach_secrets(path)
            code = check(argparse.Namespace(config=path, tables=False), stop)
        if code:
            show("Correct what FAIL tells above, in the file or with --force here; `edge-app city check` looks again.")
        else:
            _show_next(path, answers)
        return code

    return command


# --- the answers


def _questions(former: Mapping[str, Any], path: Path) -> Sequence[Question]:
    """Return the questions, with the answers of the configuration that is there as their defaults."""
    known = _answers_of(former, path)
    return [replace(question, default=known.get(question.flag, question.default)) for question in _QUESTIONS]


def _answers_of(former: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Return flag -> answer that a configuration gives. path: its own."""
    mqtt, database, page = (former.get(name, {}) for name in ("mqtt", "database", "page"))
    given: dict[str, Any] = {
        "broker-kind": former.get("broker", {}).get("kind"),
        "username": mqtt.get("username"),
        "database-user": database.get("username"),
        "page-port": page.get("port"),
        "origin": page.get("origin"),
    }
    if "host" in mqtt:
        given["broker"] = url_host(mqtt["host"]) + (f":{mqtt['port']}" if "port" in mqtt else "")
        given["ca"] = _beside(path, mqtt.get("ca_file")) if mqtt.get("tls") else "-"
    key = credentials_folder(path) / "mqtt_key"
    given["cert"] = _beside(path, mqtt.get("cert_file"))
    given["key"] = _beside(path, mqtt.get("key_file")) or (str(key) if given["cert"] and key.is_file() else "")
    if str(database.get("url", "")).startswith(_POSTGRESQL):
        given["database"] = database["url"].removeprefix(_POSTGRESQL)
    return {flag: str(answer) for flag, answer in given.items() if answer}


def _beside(path: Path, file: str | None) -> str:
    """Return where a file is that a configuration names, relative to its own folder."""
    return str(path.absolute().parent / file) if file else ""


def _asked(
    arguments: argparse.Namespace, questions: Sequence[Question], stop: threading.Event
) -> tuple[dict[str, str], dict[str, str]]:
    """Return flag -> answer: of the command line, else asked on a terminal, else the default.

    Also returns credential -> password, of a file or as typed on a terminal; without one the program takes it from the
    environment. stop: is set by Ctrl-C while a broker is tried. Raises ConfigError.
    """
    given = {question.flag: getattr(arguments, question.flag.replace("-", "_")) for question in questions}
    terminal = sys.stdin.isatty()
    answers: dict[str, str] = {}
    passwords: dict[str, str] = {}
    missing = [q.flag for q in questions if q.default is None and given[q.flag] is None]
    if missing and not terminal:
        raise ConfigError(*(f"--{flag} is needed where there is no terminal to ask on" for flag in missing))
    for question in questions:
        answer = given[question.flag]
        if answer is None:
            asks = terminal and _is_needed(question.flag, answers)
            default = question.default or ""
            answer = ask(question, answers, _RULES, stopped=stop.is_set) if asks else default
        elif problem := problem_of(question, answer, answers, _RULES):
            raise ConfigError(f"--{question.flag}: {problem}")
        answers[question.flag] = answer
        name = _PASSWORDS.get(question.flag)
        if name and answer and (password := _password(name, arguments, question, answer, terminal=terminal)):
            passwords[name] = password
    if stop.is_set():
        raise StoppedError
    return answers, passwords


def _password(
    name: str, arguments: argparse.Namespace, question: Question, answer: str, *, terminal: bool
) -> str | None:
    """Return the password of a user: of its file, else typed; None where it comes from elsewhere. name: its credential.

    Raises ConfigError: for a file that cannot be read.
    """
    variable, file = f"EDGE_APP_{name.upper()}", getattr(arguments, _FILES[name].replace("-", "_"))
    if file is not None:
        return _text_of(file, f"--{_FILES[name]}").rstrip("\r\n")
    if variable in os.environ:
        return None
    kept = answer == question.default  # the former one, which stays
    if terminal:
        return read_line("Its password (empty: as it was):" if kept else "Its password:", secret=True) or None
    if not kept:
        show(f"No password of {answer} is given: {variable} or --{_FILES[name]} would give one.")
    return None


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
        host, _, name = answers["database"].removeprefix(_POSTGRESQL).partition("/")
        if not name or not _is_address(host):
            raise ConfigError("--database: must be HOST:PORT/NAME, such as 127.0.0.1:5432/counts")
        database = {"url": f"postgresql://{host}/{name}"}
    if answers["database-user"]:
        database["username"] = answers["database-user"]
    if not answers["page-port"].isdecimal():
        raise ConfigError("--page-port: must be a number")
    page: dict[str, Any] = {"port": int(answers["page-port"])}
    if answers["origin"]:
        page["origin"] = answers["origin"]
    kind = {"kind": answers["broker-kind"]}
    return {"mqtt": mqtt_table(answers), "broker": kind, "database": database, "page": page}


def _is_address(text: str) -> bool:
    try:
        return int(host_and_port(text)[1] or 1) in range(1, 65_536)
    except ConfigError:
        return False


def _former(path: Path) -> dict[str, Any]:
    """Return the tables of a configuration that is there already, none of one that is not, or cannot be read."""
    if not path.exists():
        return {}
    from edge_app.config.files import read_tables

    try:
        return read_tables(path)
    except ConfigError as error:
        show(f"{error}: nothing of it is kept")
        return {}


def _merged(former: Mapping[str, Any], tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of the answers with all other keys of a configuration that was there."""
    merged: dict[str, Any] = {name: dict(table) for name, table in former.items()}
    for name, table in tables.items():
        before = merged.get(name, {})
        kept = {key: value for key, value in before.items() if key not in _OWN[name]}
        if "username" not in table:  # nobody's password
            kept = {key: value for key, value in kept.items() if not key.startswith("password")}
        merged[name] = {**table, **kept}
    url = former.get("database", {}).get("url", "")
    if url.startswith(_SQLITE) and tables["database"]["url"].startswith(_SQLITE):
        merged["database"]["url"] = url
    return merged


def _write(path: Path, answers: Mapping[str, str], passwords: Mapping[str, str], former: Mapping[str, Any]) -> None:
    """Write configuration and secrets, and only when they are valid as the service will read them.

    former: tables of the configuration that is there, of which a copy is kept.

    Raises ConfigError: for invalid settings, or when a file cannot be written.
    """
    from edge_app.city.config import validated

    installed = credentials_folder(path).is_dir()
    tables = _merged(former, _tables(answers, _STATE if installed else Path()))
    environment = {f"EDGE_APP_{name.upper()}": text for name, text in passwords.items()}
    validated(tables, path.absolute().parent, {**os.environ, **environment})
    secrets = dict(passwords)
    if installed:  # the service has not the environment of this command
        for flag, name in _PASSWORDS.items():
            if answers[flag] and (text := os.environ.get(f"EDGE_APP_{name.upper()}")):
                secrets[name] = text
    if installed and answers["key"]:  # the service's user cannot read the key where it lies
        secrets["mqtt_key"] = _text_of(Path(answers["key"]), "--key")
        del tables["mqtt"]["key_file"]
    for name, place in secret_places(path, secrets).items():
        table = tables[name.split("_")[0]]
        if name in _FILES:  # in place of the former one
            table.pop("password", None)
            table.pop("password_file", None)
        if not installed:
            table["password_file"] = str(place)
    with explained(path):
        write_secrets(path, secrets)
        mode = 0o644  # it holds no secret, and the service's user reads it
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)  # that of before, which may hold one
            copy = path.with_name(f"{path.name}.before")
            write_atomic(copy, path.read_text("utf-8", "replace"), mode=mode)
            show(f"the former one, with its comments, is {copy}")
        write_atomic(path, toml_of(tables), mode=mode)


def _text_of(path: Path, option: str) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be read ({reason_of(error)})") from error
    except ValueError as error:
        raise ConfigError(f"{option} {path}: is no text") from error


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
