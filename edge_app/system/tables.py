"""Take the tables of a configuration apart into keys, put them together again, and tell what they can hold. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_KEY: Final = re.compile(r"[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})?")
_LARGEST: Final = 2**63
"""Whole numbers have 64 bits."""
DEEPEST: Final = 8
"""Levels of lists within lists; a polygon needs three."""


def flat(tables: Mapping[str, Any]) -> dict[str, Any]:
    """Return key -> value, with "table.key" for the keys of a table; what is no table is one value."""
    values: dict[str, Any] = {}
    for name, table in tables.items():
        if isinstance(table, Mapping):
            values |= {f"{name}.{key}": value for key, value in table.items()}
        else:
            values[name] = table
    return values


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables that `flat` has taken apart."""
    tables: dict[str, Any] = {}
    for key, value in values.items():
        table, dot, name = key.partition(".")
        if not dot:
            tables[table] = value  # also a mistake such as `detector = 3`, which is to be reported
        elif isinstance(tables.setdefault(table, {}), dict):
            tables[table][name] = value
    return tables


def is_key(text: object) -> bool:
    """Return whether it is a text such as "detector.region"."""
    return isinstance(text, str) and bool(_KEY.fullmatch(text))


def is_toml(value: object) -> bool:
    """Return whether a configuration file can hold what JSON has given."""
    return _is_toml(value, DEEPEST)


def _is_toml(value: object, depth: int) -> bool:
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, int):  # true and false are some
        return -_LARGEST <= value < _LARGEST
    if isinstance(value, float):
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
