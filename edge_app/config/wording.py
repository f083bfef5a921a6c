"""Describe pydantic's errors in words: the path of the key, what its value must be, and a likely correction."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from edge_app.config.model import TABLES

_WORDS: Final = {
    "missing": "is required",
    "string_type": "must be a text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "dict_type": "must be a table",
    "model_type": "must be a table",
    "path_type": "must be a text in quotes, naming a file",
    "tuple_type": "must be a list in brackets",
    "string_unicode": "has bytes that are no text in UTF-8",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} values",
    "too_long": "must have at most {max_length} values",
    "string_pattern_mismatch": "may have only a-z, 0-9 and hyphens, and no hyphen in front",
    "finite_number": "must be a finite number",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def own_errors(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """Return the errors without those that only follow from another: a list is too short since a value was refused."""
    refused = [error["loc"][:-1] for error in errors]
    return [error for error in errors if error["type"] != "too_short" or error["loc"] not in refused]


def describe_error(
    error: ErrorDetails, tables: Mapping[str, Any], known: Mapping[str, type[BaseModel]] = TABLES
) -> str:
    """Return one sentence on an error. tables: the data that was validated. known: every table by its name."""
    loc, kind = error["loc"], error["type"]
    where = _path(loc, tables)
    if kind == "extra_forbidden":
        return f"{where}: unknown {'key' if len(loc) > 1 else 'table or key'}{_did_you_mean(loc, known)}"
    if where == "lines" and kind == "tuple_type":
        return "lines: must be written [[lines]] with double brackets, once for each line"
    if kind == "missing" and isinstance(loc[-1], int):
        return f"{where}: has too few values"
    return f"{where}: {describe_value(error)}"


def describe_value(error: ErrorDetails) -> str:
    """Return what the value must be, and what was found instead."""
    words = _WORDS.get(error["type"], error["msg"]).format(**error.get("ctx", {}))
    return re.sub(r"\b1 values$", "1 value", words) + _found(error)


def _path(loc: tuple[int | str, ...], tables: Mapping[str, Any]) -> str:
    """Return table.key; a line is named by its id, or by its number in the file when it has none."""
    names = [str(part) for part in loc if isinstance(part, str)]
    if names[0] == "lines" and len(loc) > 1 and isinstance(loc[1], int):
        line = tables["lines"][loc[1]]
        name = line.get("id") if isinstance(line, dict) else None
        names[0] = f"lines[{name if isinstance(name, str) else loc[1] + 1}]"
    return ".".join(names)


def _found(error: ErrorDetails) -> str:
    """Return the wrong value with the most similar valid one; nothing for a key that may hold a secret."""
    value = error["input"]
    if error["type"] in ("missing", "value_error", "string_unicode") or {"password", "url"} & set(error["loc"]):
        return ""
    if not isinstance(value, str | int | float):
        return ""
    # Python refuses to write out numbers of thousands of digits.
    if value.bit_length() > 199 if isinstance(value, int) else len(str(value)) > 60:
        return ""
    near = difflib.get_close_matches(str(value), re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected"))), 1)
    return f", not {json.dumps(value, ensure_ascii=False)}" + (f' (did you mean "{near[0]}"?)' if near else "")


def _did_you_mean(loc: tuple[int | str, ...], known: Mapping[str, type[BaseModel]]) -> str:
    key = str(loc[-1])
    own = known[str(loc[0])].model_fields if len(loc) > 1 else known
    near = [f"{name}.{key}" for name, model in known.items() if key in model.model_fields]
    near += difflib.get_close_matches(key, own, 1, cutoff=0.7)
    return f' (did you mean "{near[0]}"?)' if near else ""
