"""Say why pydantic refuses a value: as a sentence with the key first, and as a code for pages and programs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias, get_args

from pydantic_core.core_schema import ErrorType

from edge_app.http.problems import Reason

Place: TypeAlias = tuple[str, str | int]
"""Where in a file something is: its kind (`row`, `feature`) and its number."""
_OF_REQUESTS: Final = ("body", "path", "query", "header", "cookie")
_LIMITS: Final = ("ge", "gt", "le", "lt", "min_length", "max_length")
CODES: Final[Mapping[str, str]] = {
    "missing": "missing",
    "extra_forbidden": "unknown_key",
    **dict.fromkeys(("int_parsing", "int_from_float", "int_type", "int_parsing_size"), "no_whole_number"),
    **dict.fromkeys(("float_parsing", "float_type", "finite_number"), "no_number"),
    **dict.fromkeys(("greater_than_equal", "greater_than"), "too_small"),
    **dict.fromkeys(("less_than_equal", "less_than"), "too_large"),
    "string_too_short": "too_short",
    "string_too_long": "too_long",
    "string_type": "no_text",
    "string_pattern_mismatch": "wrong_form",
    "literal_error": "not_among",
    **dict.fromkeys(("bool_parsing", "bool_type"), "no_truth"),
    **dict.fromkeys(("datetime_type", "datetime_parsing", "datetime_from_date_parsing"), "no_time"),
    **dict.fromkeys(("datetime_object_invalid", "timezone_aware"), "no_time"),
    "too_short": "too_few",
    "too_long": "too_many",
    "json_invalid": "no_json",
}
"""Error of pydantic -> code. Those of validators are codes themselves."""
_OTHERS: Final = "wrong_value"
"""Code of all others, which come from programs alone."""
_TIME: Final = "must be a time with an offset, such as 2026-11-30T06:00:00Z or 2026-11-30T07:00:00+01:00"
_IN_ADDRESS: Final = "; in an address the + is written %2B"
_OF_PYDANTIC: Final = frozenset(get_args(ErrorType))


def reason_of_invalid(error: Any, place: Place | None = None) -> Reason:
    """Return one error of pydantic. place: of what was judged, which comes before the key."""
    keys, kind = [str(part) for part in error["loc"]], error["type"]
    field = ".".join(keys[1:] if keys[:1] and keys[0] in _OF_REQUESTS else keys)
    where = f"{place[0]} {place[1]}" if place else ""
    code = CODES.get(kind, _OTHERS if kind in _OF_PYDANTIC else kind)
    sentence = error["msg"].removeprefix("Value error, ")
    if code == "no_time":
        sentence = _TIME + (_IN_ADDRESS if keys[:1] == ["query"] else "")
    return Reason(
        detail=": ".join(filter(None, (where, ".".join(keys), sentence))),
        code=code,
        parameters={
            **(dict([place]) if place else {}),
            **({"field": field} if field else {}),
            **_named(error.get("ctx", {})),
        },
    )


def _named(context: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return what an error of pydantic names, any limit as `limit`."""
    named = {"limit" if key in _LIMITS else key: value for key, value in context.items()}
    return {key: value for key, value in named.items() if isinstance(value, str | int | float)}
