"""Read the office's document of config/desired, and write it as the text of a layer of the configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_app.config.layers import Layer, refused_keys
from edge_app.config.types import SHA256
from edge_app.errors import ConfigError
from edge_app.system.clock import read_utc, rfc3339
from edge_app.system.tables import flat, is_key, is_toml

SCHEMA: Final = "edge-app/config-desired/1"
_LARGEST: Final = 2**53 - 1
_LONGEST_AUTHOR: Final = 200


@dataclass(frozen=True, slots=True)
class Document:
    """What the office wants. at: when it was written, as it says. layer: what it sets. key: name of the signing one."""

    revision: int
    at: str
    layer: Layer
    key: str


def read_document(text: str, key: str = "") -> Document:
    """Return what a document says. text: JSON, whose signature by this key was checked.

    Raises ConfigError: with every problem of its form, and every key that the office may not set.
    """
    data = _object(text)
    problems = list(_problems(data))
    if problems:
        raise ConfigError(*problems)
    unset = tuple(dict.fromkeys(data.get("unset", ())))
    revision, at, author = data["revision"], data["at"], data["author"]
    layer = Layer("office", data["set"], unset, str(revision), author, read_utc(at))
    refused = refused_keys(layer)
    if refused:
        raise ConfigError(*(f"{key}: the office may not set it" for key in refused))
    shadow = flat(layer.tables).get("detector.shadow")
    if shadow is not None and not SHA256.fullmatch(str(shadow)):
        raise ConfigError("detector.shadow: the office names a candidate by its SHA-256, never by a file")
    return Document(revision, at, layer, key)


def as_toml(document: Document) -> str:
    """Return the layer as a file of the configuration holds one."""
    layer = document.layer
    head = {"revision": document.revision, "author": layer.author, "at": rfc3339(layer.at), "unset": layer.unset}
    tables = {"layer": head, **layer.tables}
    return "".join(f"{_text(name)} = {_value(value)}\n" for name, value in tables.items())


def _object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError, MemoryError):
        raise ConfigError("document: is no JSON") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise ConfigError(f"document: is no object of the schema {SCHEMA}")
    return data


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _problems(data: Mapping[str, Any]) -> Iterator[str]:
    revision, author, unset, tables = (data.get(key) for key in ("revision", "author", "unset", "set"))
    if type(revision) is not int or not 1 <= revision <= _LARGEST:
        yield "revision: must be a whole number from 1 on"
    if not isinstance(author, str) or not 1 <= len(author) <= _LONGEST_AUTHOR or not author.isprintable():
        yield f"author: must be a text of 1 to {_LONGEST_AUTHOR} characters that can be shown"
    if not _is_time(data.get("at")):
        yield "at: must be a time in RFC 3339 form"
    keys = [] if "unset" not in data else unset
    if not isinstance(keys, list) or not all(map(is_key, keys)):
        yield 'unset: must be a list of keys such as "detector.region"'
    if not isinstance(tables, dict):
        yield "set: must be an object with tables and keys as the configuration file has them"
    elif not is_toml(tables):
        yield "set: holds what a configuration file cannot, such as null, or lists within lists within lists"


def _is_time(value: object) -> bool:
    if not isinstance(value, str):
        return False
    try:
        read_utc(value)
    except ValueError:
        return False
    return True


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_text(key)} = {_value(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(_value(one) for one in value) + "]"
    return repr(value)


def _text(text: str) -> str:
    """Return a text in quotation marks: as JSON has it, but for one character that TOML wants escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
