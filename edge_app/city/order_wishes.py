"""What a person may ask of the office's process, as frozen models, and what is refused before it is asked."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from edge_app.config.layers import MAY_SET, Layer, refused_keys
from edge_app.config.model import Config
from edge_app.http.problems import RefusalError
from edge_app.system.tables import DEEPEST, is_toml, nested

_MOST_BYTES: Final = 32_000
"""Of the values of one order: a device takes 65,536 bytes of all that the office sets."""
_MOST_KEYS: Final = 100
DeviceName: TypeAlias = Annotated[
    str, StringConstraints(max_length=129, pattern=r"^[a-z0-9-]+/[a-z0-9-]+$"), Field(description="SITE/DEVICE")
]
Key: TypeAlias = Annotated[str, StringConstraints(max_length=80, pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]
Reason: TypeAlias = Annotated[str, StringConstraints(strip_whitespace=True, max_length=300, pattern=r"^[^\x00-\x1f]*$")]


class _Wish(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Configure(_Wish):
    """Set keys of a device's configuration, as the file has them."""

    kind: Literal["config"]
    device: DeviceName
    values: Annotated[Mapping[Key, Any], Field(max_length=_MOST_KEYS, description="Key -> value")] = {}
    unset: Annotated[Sequence[Key], Field(max_length=_MOST_KEYS, description="Keys that get their default")] = ()
    left: Annotated[
        Sequence[Key], Field(max_length=_MOST_KEYS, description="Keys that are the page's or the file's again")
    ] = ()
    comparable: Annotated[
        Sequence[Annotated[str, StringConstraints(max_length=64, pattern=r"^[a-z0-9-]+$")]],
        Field(max_length=_MOST_KEYS, description="Moved lines whose counts can be compared with those of before"),
    ] = ()


class Restart(_Wish):
    """Have a device count anew."""

    kind: Literal["restart"]
    device: DeviceName


class Snapshot(_Wish):
    """Have a device send its newest picture."""

    kind: Literal["snapshot"]
    device: DeviceName
    width: Annotated[int, Field(ge=160, le=1280, description="px")] = 1280
    lines: Annotated[bool, Field(description="With lines, boxes and totals drawn into it")] = False


class Harvest(_Wish):
    """Have a device keep frames to be labelled, or end that."""

    kind: Literal["harvest"]
    device: DeviceName
    enabled: bool
    hours: Annotated[int, Field(ge=1, le=168)] = 24


class Lead(_Wish):
    """Pause a roll-out, let it go on, or take it back."""

    kind: Literal["pause", "go_on", "take_back"]
    rollout: Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$"), Field(description="Its name")]
    why: Reason = ""


Wish: TypeAlias = Annotated[Configure | Restart | Snapshot | Harvest | Lead, Field(discriminator="kind")]


def office_keys() -> list[str]:
    """Return the keys that the office may set, `lines` as one."""
    return list(_office_keys())


def _office_keys() -> Iterator[str]:
    for table, keys in MAY_SET["office"].items():
        if table == "lines":
            yield table
            continue
        model: Any = Config.model_fields[table].annotation
        yield from (f"{table}.{key}" for key in keys or model.model_fields)


def args_of(wish: Wish) -> dict[str, Any]:
    """Return what is asked, as the order keeps it.

    Raises RefusalError: for keys that the office may not set, no change at all, what is no value, or too much.
    """
    if isinstance(wish, Configure):
        _judge(wish)
        return {"values": dict(wish.values), "unset": list(wish.unset), "left": list(wish.left)}
    if isinstance(wish, Harvest) and not wish.enabled:
        return {"enabled": False}
    return wish.model_dump(mode="json", exclude={"kind", "device", "rollout"})


def ends_of(wish: Configure) -> dict[str, list[list[float]]]:
    """Return line -> its two ends, of the lines that can be compared.

    Raises RefusalError: for one that is not among the values.
    """
    lines = wish.values.get("lines")
    found = {str(line.get("id")): line for line in lines if isinstance(line, dict)} if isinstance(lines, list) else {}
    try:
        return {
            name: [[float(value) for value in found[name][end]] for end in ("start", "end")] for name in wish.comparable
        }
    except (KeyError, TypeError, ValueError):
        sentence = "`comparable` names lines that are among the values, with start and end"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="no_such_line") from None


def _judge(wish: Configure) -> None:
    if _has_null(dict(wish.values)):
        sentence = "null is no value of a configuration: leave the key out, or name it in `unset`"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="null_value")
    if not is_toml(dict(wish.values)):
        sentence = f"a value is text, true, false, a number or, {DEEPEST} deep at most, lists and tables of those"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="odd_value", most=DEEPEST)
    if not (wish.values or wish.unset or wish.left):
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, "nothing would be changed: name a key", code="no_change")
    keys = [*wish.values, *wish.unset, *wish.left]
    layer = Layer("office", nested(wish.values), (*wish.unset, *wish.left))
    if refused := sorted({*refused_keys(layer), *(key for key in keys if key not in office_keys())}):
        named = ", ".join(refused)
        sentence = f"the office may not set {named}: that stands in the device's own file"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="not_by_office", keys=named)
    size = len(json.dumps(dict(wish.values)).encode())
    if size > _MOST_BYTES:
        sentence = f"an order has {_MOST_BYTES:,} bytes at most, and this one {size:,}"
        raise RefusalError(HTTPStatus.UNPROCESSABLE_ENTITY, sentence, code="long_order", most=_MOST_BYTES)


def _has_null(value: Any, depth: int = DEEPEST) -> bool:
    if not depth or not isinstance(value, dict | list):
        return value is None
    return any(_has_null(one, depth - 1) for one in (value.values() if isinstance(value, dict) else value))
