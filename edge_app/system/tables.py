"""Take the tables of a configuration apart into keys, and put them together again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


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
