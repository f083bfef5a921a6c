"""What happened, in order: one JSON line an event, never changed. What is in production follows from it alone. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from models.common.errors import RegistryError

Kind: TypeAlias = Literal["added", "evaluated", "adopted", "promoted", "rolled back"]
Status: TypeAlias = Literal["candidate", "production", "former", "withdrawn"]
_TAKES_OVER: Final = ("adopted", "promoted")
CHANGES: Final = (*_TAKES_OVER, "rolled back")
"""What changes the model in production."""


@dataclass(frozen=True, slots=True)
class Event:
    """at: RFC 3339 UTC. size: input size, "512x288". sha256: of the model; for "rolled back" of the one that came
    back. replaces: of the model that went out of production. why: in the words of whoever did it."""

    at: str
    kind: Kind
    name: str
    size: str
    sha256: str
    replaces: str = ""
    why: str = ""


def event(row: Any) -> Event:
    """Raises RegistryError."""
    names = {field.name for field in fields(Event)}
    if not isinstance(row, dict) or {*row} - names or row.get("kind") not in get_args(Kind):
        raise RegistryError(f"The history holds what is no event: {json.dumps(row)[:80]}.")
    try:
        return Event(**{name: str(value) for name, value in row.items()})  # type: ignore[arg-type]  # kind: seen above
    except TypeError as error:
        raise RegistryError(f"The history holds an incomplete event: {json.dumps(row)[:80]}.") from error


def line(one: Event) -> str:
    return json.dumps(asdict(one), ensure_ascii=False) + "\n"


def succession(events: Sequence[Event], size: str) -> list[Event]:
    """The models of an input size that are or were in production, the one that is now last; what was rolled back has
    gone from it."""
    line_up: list[Event] = []
    for one in events:
        if one.size == size and one.kind in _TAKES_OVER:
            line_up.append(one)
        elif one.size == size and one.kind == "rolled back" and line_up:
            line_up.pop()
    return line_up


def status(events: Sequence[Event], sha256: str, size: str) -> Status:
    """What a model is now."""
    line_up = [one.sha256 for one in succession(events, size)]
    if line_up and line_up[-1] == sha256:
        return "production"
    if withdrawn(events, sha256):
        return "withdrawn"
    return "former" if sha256 in line_up else "candidate"


def withdrawn(events: Sequence[Event], sha256: str) -> str:
    """Why a model was rolled back, unless it was measured or promoted again since; empty when it was not."""
    reason = ""
    for one in events:
        if one.kind == "rolled back" and one.replaces == sha256:
            reason = f"rolled back on {one.at[:10]} ({one.why or 'no reason given'}): measure it again"
        elif one.sha256 == sha256 and one.kind in ("evaluated", *_TAKES_OVER):
            reason = ""
    return reason
