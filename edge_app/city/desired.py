"""Change what the office sets on a device: the layer of `config/desired` (docs/mqtt.md). Pure: no clock, no I/O."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from edge_app.system.clock import read_utc
from edge_app.system.names import clean
from edge_app.system.signed import Verify, is_from, read_signed
from edge_app.system.tables import flat, is_key, is_toml, nested

DESIRED: Final = "edge-app/config-desired/1"
REPORTED: Final = "edge-app/config-reported/1"
State: TypeAlias = Literal["none", "trying", "applied", "refused", "rolled_back", "unknown"]
_LARGEST: Final = 2**53 - 1
"""Largest revision."""
_DEEPEST: Final = 32
"""Levels of lists and tables within each other; a configuration has a third of it."""
_SAME_S: Final = 0.01
"""Seconds by which two texts of one time may differ."""
_STATES: Final[Collection[str]] = ("none", "trying", "applied", "refused", "rolled_back")


Origin: TypeAlias = Literal["signed", "foreign", "older", "unchecked"]
"""Of what the broker retains in the office's name: signed by it; by somebody else; by it, before a newer one that the
device has accepted; nobody knows."""
Genuine: TypeAlias = Callable[[str, bytes], bool]
"""Tells whether the office has signed a message. Arguments: full topic, payload."""


@dataclass(frozen=True, slots=True)
class Layer:
    """What the office sets. set: tables and keys as in a configuration file. unset: keys that get their default."""

    set: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What is to change. values: "table.key" -> value. left: keys that are the page's or the file's again."""

    values: Mapping[str, Any] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReleaseSaid:
    """What a device says of the newest release that was ordered. id: of the order. state: see the contract."""

    id: str
    state: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Reported:
    """What a device says of its configuration. revision: in use. highest: ever accepted. problems: in its own words.

    at: when the layer in use was written, UTC s, None where that is not told. release: what became of the newest
    release that was ordered, None without one.
    """

    state: State = "unknown"
    revision: int = 0
    highest: int = 0
    problems: tuple[str, ...] = ()
    release: ReleaseSaid | None = None
    at: float | None = None


def changed(layer: Layer, change: Change) -> Layer:
    """Return the layer after a change; keys of it that the change does not name stay."""
    values = flat(layer.set) | dict(change.values)
    for key in (*change.unset, *change.left):
        values.pop(key, None)
    kept = (key for key in layer.unset if key not in change.values and key not in change.left)
    return Layer(nested(values), tuple(dict.fromkeys((*kept, *change.unset))))


def differences(before: Layer, after: Layer) -> dict[str, list[Any]]:
    """Return key -> old and new value, None where the office does not set it, for the audit."""
    old, new = flat(before.set), flat(after.set)
    named = {key: [old.get(key), new.get(key)] for key in {**old, **new} if old.get(key) != new.get(key)}
    return named | {key: [old.get(key), "default"] for key in after.unset if key not in before.unset}


def document(layer: Layer, revision: int, at: str, author: str) -> dict[str, Any]:
    """Return the document that is signed. at: RFC 3339."""
    head = {"schema": DESIRED, "revision": revision, "at": at, "author": author}
    return {**head, "set": dict(layer.set), "unset": list(layer.unset)}


def genuine(keys: Mapping[str, str], verify: Verify) -> Genuine:
    """Return what tells whether a retained message was signed by the office. keys: its own, name -> public key."""

    def tell(topic: str, payload: bytes) -> bool:
        signed = read_signed(_raw(payload))
        return signed is not None and is_from(signed, topic, keys, verify)

    return tell


def signer_of(payload: bytes) -> str:
    """Return the name of the key by which a message says that it is signed, empty for another message."""
    signed = read_signed(_raw(payload))
    return "" if signed is None else signed.key


def written_at(payload: bytes) -> float | None:
    """Return when a retained message says that it was written, UTC s, None where it says nothing."""
    return _time(read_document(payload).get("at"))


def other_time(one: float | None, another: float | None) -> bool:
    """Return whether two texts are not of one time, UTC s; False where a time is not told."""
    return one is not None and another is not None and abs(one - another) > _SAME_S


def read_document(payload: bytes) -> Mapping[str, Any]:
    """Return what a retained message says, signed or not, without trusting it; nothing for another one."""
    signed = read_signed(_raw(payload))
    given = _raw(signed.document) if signed is not None else None
    return given if isinstance(given, dict) and given.get("schema") == DESIRED else {}


def kept_of(payload: bytes) -> dict[str, Any]:
    """Return what the city keeps of a retained message: what it says, and `message`, the whole as it came.

    Whether the office has signed it is judged when somebody looks, by the keys that are known then. Nothing for another
    message.
    """
    document = read_document(payload)
    return {**document, "message": payload.decode(errors="replace")} if document else {}


def origin_of(kept: Mapping[str, Any], highest: int, topic: str, is_genuine: Genuine | None) -> Origin:
    """Return from whom it is what the city keeps of a retained message.

    highest: revision that the device has accepted. topic: on which it came. is_genuine: None while no key is known.
    """
    message = kept.get("message")
    if is_genuine is None or not isinstance(message, str):
        return "unchecked"
    if not is_genuine(topic, message.encode(errors="replace")):
        return "foreign"
    return "older" if _number(kept.get("revision")) < highest else "signed"


def read_desired(payload: bytes) -> tuple[Layer, int]:
    """Return the layer and the revision of a retained message, none and 0 where there is no such message.

    Nothing here says who has written it: what is to be changed and signed has to be genuine.
    """
    given = read_document(payload)
    tables, unset, revision = given.get("set"), given.get("unset"), given.get("revision")
    if not isinstance(tables, dict) or not is_toml(tables) or not isinstance(unset, list) or not _number(revision):
        return Layer(), 0
    return Layer(tables, tuple(filter(is_key, unset))), _number(revision)


def read_reported(payload: bytes) -> Reported:
    """Return what a device reports; `unknown` for a payload that is no report."""
    given = json_in(payload)
    if not isinstance(given, dict) or given.get("schema") != REPORTED or given.get("state") not in _STATES:
        return Reported()
    problems = given.get("problems")
    told = tuple(str(one) for one in problems) if isinstance(problems, list) else ()
    numbers = _number(given.get("revision")), _number(given.get("highest"))
    return Reported(given["state"], *numbers, told, _release(given.get("release")), _used_since(given.get("layers")))


def _used_since(layers: object) -> float | None:
    """Return when the office's layer among those in use was written, UTC s."""
    for layer in layers if isinstance(layers, list) else ():
        if isinstance(layer, dict) and layer.get("name") == "office":
            return _time(layer.get("at"))
    return None


def _time(value: object) -> float | None:
    try:
        return read_utc(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _release(given: object) -> ReleaseSaid | None:
    if not isinstance(given, dict) or not isinstance(given.get("id"), str) or not isinstance(given.get("state"), str):
        return None
    return ReleaseSaid(given["id"], given["state"], str(given.get("problem") or ""))


def _number(value: object) -> int:
    return value if type(value) is int and 0 <= value <= _LARGEST else 0


def json_in(payload: bytes) -> Any:
    """Return what a payload is as JSON; None for one that is none, and for null.

    Texts have spaces for what a terminal could take for a command, and for what no database takes: one device must not
    keep the office from noting what becomes of all others.
    """
    return _fit(_raw(payload))


def _fit(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isprintable() else clean(value)
    if isinstance(value, list):
        return [_fit(one) for one in value]
    return {_fit(key): _fit(one) for key, one in value.items()} if isinstance(value, dict) else value


def _raw(payload: bytes | str) -> Any:
    """Return the same with its texts as they are: what was signed.

    What is nested deeper than any message is none: who writes it into a database would reach the end of Python's stack.
    """
    try:
        given = json.loads(payload, parse_constant=_finite, parse_float=_finite)
        json.dumps(given, ensure_ascii=False).encode()  # a lone half of a surrogate pair is no text
    except (ValueError, RecursionError):
        return None
    return None if _is_deep(given) else given


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is no JSON")
    return number
