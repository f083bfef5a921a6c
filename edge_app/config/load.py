"""Reading the configuration: TOML and secrets in, a Config or every problem at once in words out; lint; the example."""

from __future__ import annotations

import difflib
import json
import os
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from edge_app.config.model import Config, LineConfig
from edge_app.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # type: ignore[import-not-found, unused-ignore]  # not installed where it is not needed

EDGE: Final = 0.02
"""A line that lies wholly within this part of the frame's edge sees vehicles only in halves."""

_TABLES: Final[Mapping[str, type[BaseModel]]] = {
    **{name: type(field.default) for name, field in Config.model_fields.items() if name != "lines"},
    "lines": LineConfig,
}
_WORDS: Final = {
    "missing": "is required",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "model_type": "must be a table",
    "path_type": "must be a text in quotes, naming a file",
    "tuple_type": "must be a list in brackets",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} values",
    "too_long": "must have at most {max_length} values",
    "string_pattern_mismatch": "may have only a-z, 0-9 and hyphens, and no hyphen in front",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def load(path: Path | str, environment: Mapping[str, str] = os.environ) -> Config:
    """The configuration in a TOML file. Relative paths in it are relative to its folder.

    Secrets come from `environment` (EDGE_APP_MQTT_PASSWORD, EDGE_APP_SOURCE_PASSWORD,
    EDGE_APP_PREVIEW_PASSWORD), from the systemd credentials mqtt_password and so on, from a
    password_file or from the file itself, in this order; the certificate's key also from the
    credential mqtt_key, where the file names none.
    Raises ConfigError with every problem that was found.
    """
    path = Path(path)
    return validated(_read(path), path.parent, environment)


def validated(data: Mapping[str, Any], folder: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """As `load`, of what a TOML file in `folder` would hold."""
    # a table that is left out is checked like an empty one, so that its default paths are placed beside the file too
    tables: dict[str, Any] = {name: {} for name in _TABLES if name != "lines"} | dict(data)
    _fill_key(tables, environment)
    problems = [*_fill_secrets(tables, folder, environment), *_expand_url(tables, environment)]
    try:
        config = Config.model_validate(tables, context={"folder": folder})
    except ValidationError as exc:
        problems += [_in_words(error, tables) for error in exc.errors(include_url=False)]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        return data
    except FileNotFoundError:
        reason = "no such file; `edge-app config` prints an example to begin with"
    except IsADirectoryError:
        reason = "is a folder, not a file"
    except OSError as exc:
        reason = f"cannot be read: {exc.strerror}"
    except UnicodeDecodeError as exc:
        reason = f"is not UTF-8 text (byte {exc.start}); save it as UTF-8"
    except tomllib.TOMLDecodeError as exc:
        reason = f"is not valid TOML: {exc}"
    raise ConfigError(f"{path}: {reason}")


def _fill_secrets(tables: dict[str, Any], folder: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Puts the passwords of the logins where the models expect them; yields what went wrong."""
    for name in ("source", "mqtt", "preview"):
        table = tables[name]
        # without a login there is nothing a password could belong to: a stray variable must not become an error
        if not isinstance(table, dict) or "username" not in table:
            continue
        if "password" in table and "password_file" in table:
            yield f"{name}.password_file: give either password or password_file"
        try:
            secret = _secret(name, table, folder, environment)
        except (OSError, UnicodeDecodeError) as exc:
            yield f"{name}.password_file: cannot be read: {getattr(exc, 'strerror', None) or 'it is not UTF-8 text'}"
            continue
        if secret is not None:
            tables[name] = table | {"password": secret}


def _secret(name: str, table: dict[str, Any], folder: Path, environment: Mapping[str, str]) -> SecretStr | None:
    variable = environment.get(f"EDGE_APP_{name.upper()}_PASSWORD")
    if variable is not None:
        return SecretStr(variable)
    credential = Path(environment.get("CREDENTIALS_DIRECTORY", ""), f"{name}_password")
    # The unit names each credential it may need, and one without use is an empty file.
    if "CREDENTIALS_DIRECTORY" in environment and credential.is_file() and (text := _first_line(credential)):
        return SecretStr(text)
    if isinstance(table.get("password_file"), str):
        return SecretStr(_first_line(folder / Path(table["password_file"]).expanduser()))
    return None


def _fill_key(tables: dict[str, Any], environment: Mapping[str, str]) -> None:
    """The certificate's key may be the systemd credential mqtt_key, so that it need not be readable to our user."""
    table = tables["mqtt"]
    credential = Path(environment.get("CREDENTIALS_DIRECTORY", ""), "mqtt_key")
    given = "CREDENTIALS_DIRECTORY" in environment and credential.is_file() and credential.stat().st_size > 0
    if given and isinstance(table, dict) and "cert_file" in table and "key_file" not in table:
        tables["mqtt"] = table | {"key_file": str(credential)}


def _first_line(path: Path) -> str:
    return path.read_text("utf-8").partition("\n")[0].rstrip("\r")


def _expand_url(tables: dict[str, Any], environment: Mapping[str, str]) -> Iterator[str]:
    """Replaces ${NAME} in the stream's URL; yields the names that the environment lacks."""
    source = tables["source"]
    if not isinstance(source, dict) or not isinstance(source.get("url"), str):
        return
    for name in re.findall(r"\$\{(\w+)\}", source["url"]):
        if name not in environment:
            yield f"source.url: the environment has no variable {name}"
    url = re.sub(r"\$\{(\w+)\}", lambda match: environment.get(match[1], ""), source["url"])
    tables["source"] = source | {"url": url}


def _in_words(error: ErrorDetails, tables: Mapping[str, Any]) -> str:
    loc, kind = error["loc"], error["type"]
    where = _where(loc, tables)
    if kind == "extra_forbidden":
        return f"{where}: unknown {'key' if len(loc) > 1 else 'table or key'}{_did_you_mean(loc)}"
    if where == "lines" and kind == "tuple_type":
        return "lines: must be written [[lines]] with double brackets, once for each line"
    if kind == "missing" and isinstance(loc[-1], int):
        return f"{where}: has too few values"
    words = _WORDS.get(kind, error["msg"]).format(**error.get("ctx", {}))
    return f"{where}: {words}{_instead(error)}"


def _where(loc: tuple[int | str, ...], tables: Mapping[str, Any]) -> str:
    """section.key; a line goes by its id, or by its place in the file when it has none."""
    names = [str(part) for part in loc if isinstance(part, str)]
    if names[0] == "lines" and len(loc) > 1 and isinstance(loc[1], int):
        line = tables["lines"][loc[1]]
        name = line.get("id") if isinstance(line, dict) else None
        names[0] = f"lines[{name if isinstance(name, str) else loc[1] + 1}]"
    return ".".join(names)


def _instead(error: ErrorDetails) -> str:
    """What was found in place of it, with the nearest choice; never the value of a key that may hold a secret."""
    value = error["input"]
    if error["type"] in ("missing", "value_error") or {"password", "url"} & set(error["loc"]):
        return ""
    if not isinstance(value, str | int | float) or len(str(value)) > 60:
        return ""
    near = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected"))), 1)
    return f", not {json.dumps(value, ensure_ascii=False)}" + (f' (did you mean "{near[0]}"?)' if near else "")


def _did_you_mean(loc: tuple[int | str, ...]) -> str:
    key = str(loc[-1])
    own = _TABLES[str(loc[0])].model_fields if len(loc) > 1 else _TABLES
    near = [f"{name}.{key}" for name, model in _TABLES.items() if key in model.model_fields]
    near += difflib.get_close_matches(key, own, 1, cutoff=0.7)
    return f' (did you mean "{near[0]}"?)' if near else ""


def lint(config: Config) -> list[str]:
    """What is allowed but seldom meant, one sentence each."""
    x0, y0, x1, y1 = config.detector.region or (0.0, 0.0, 1.0, 1.0)
    seen = "the frame" if config.detector.region is None else "detector.region"
    findings = [
        f"lines[{line.id}]: lies at the very edge of {seen} or outside of it, where vehicles are seen only in part; "
        "move it inwards"
        for line in config.lines
        if _at_edge(line.start[0], line.end[0], x0, x1) or _at_edge(line.start[1], line.end[1], y0, y1)
    ]
    source, mqtt = config.source, config.mqtt
    if source.kind not in ("camera", "gstreamer", "picamera") and source.device != type(source)().device:
        findings.append(f'source.device: is not used, because source.kind is "{source.kind}"')
    if mqtt.tls and mqtt.port == 1883:
        findings.append("mqtt.port: is 1883 although mqtt.tls is true; brokers usually speak TLS on 8883")
    if mqtt.password and not mqtt.tls and mqtt.host not in ("127.0.0.1", "::1", "localhost"):
        findings.append("mqtt.tls: is false, so the password crosses the network unencrypted")
    if config.metrics.enabled and config.metrics.open_to_network:
        findings.append(
            f"metrics.address: is {config.metrics.address}, so whoever can reach it reads the figures, without a "
            "password; let a firewall admit the Prometheus server alone"
        )
    if config.harvest.enabled and not config.privacy.masks:
        findings.append(
            "privacy.masks: is empty, so frames are kept with everything the camera sees; mask windows, doors and "
            "pavements"
        )
    if source.kind in ("camera", "stream", "gstreamer", "picamera") and config.device == type(config.device)():
        findings.append("device.device: is still the default; two devices of one name push each other off the broker")
    return findings


def _at_edge(a: float, b: float, low: float, high: float) -> bool:
    return max(a, b) <= low + EDGE or min(a, b) >= high - EDGE


def example() -> str:
    """A commented TOML file with every key and its default; what has no default is commented out."""
    head = "# Every key of edge-app with its default. A key behind a # has no default: remove the # to set it.\n"
    head += "# Generated by `edge-app config` from the program itself.\n"
    return head + "".join(_table(name, model) for name, model in _TABLES.items())


def _table(name: str, model: type[BaseModel]) -> str:
    title = "#[[lines]]" if name == "lines" else f"[{name}]"
    keys = "".join(_key(key, field, optional=name == "lines") for key, field in model.model_fields.items())
    return f"\n{_comment(model.__doc__ or '')}{title}\n{keys}"


def _key(name: str, field: FieldInfo, *, optional: bool) -> str:
    optional = optional or field.default is None
    value = field.examples[0] if optional and field.examples else field.default
    text = json.dumps(str(value) if isinstance(value, Path) else value, ensure_ascii=False)
    return f"{_comment(field.description or '')}{'#' if optional else ''}{name} = {text}\n"


def _comment(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 100, initial_indent="# ", subsequent_indent="# ") + "\n"
