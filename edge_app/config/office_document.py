"""Read the office's document of config/desired, and write it as the text of a layer of the configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from edge_app.config.layers import Layer, refused_keys
from edge_app.config.types import SHA256
from edge_app.errors import ConfigError
from edge_app.system.clock import read_utc, rfc3339
from edge_app.system.tables import flat

SCHEMA: Final = "edge-app/config-desired/1"
_KEY: Final = re.compile(r"[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})?")
LARGEST: Final = 2**53 - 1
"""Largest revision."""
_LONGEST_AUTHOR: Final = 200
_DEEPEST: Final = 8
"""Levels of lists within lists; a polygon needs three."""


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
    if type(revision) is not int or not 1 <= revision <= LARGEST:
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
    try:
        return isinstance(value, str) and read_utc(value) >= 0
    except ValueError:
        return False


def is_toml(value: object) -> bool:
    """Return whether a configuration file can hold what JSON has given."""
    return _is_toml(value, _DEEPEST)


def is_key(text: object) -> bool:
    """Return whether it is a text such as "detector.region"."""
    return isinstance(text, str) and bool(_KEY.fullmatch(text))


def _is_toml(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, bool | int | float):
        return value == value and abs(value) != float("inf")  # as 1e999 gives
    if not depth or not isinstance(value, dict | list):
        return False
    if isinstance(value, dict) and not all(_is_text(key) for key in value):
        return False
    return all(_is_toml(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value))


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone half of a surrogate pair, which no UTF-8 can hold
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
