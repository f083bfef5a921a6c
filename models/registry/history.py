"""Read the history: one JSON event a line, never changed. What is in production follows from it alone. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, TypeAlias, get_args

from models.common.errors import RegistryError

Kind: TypeAlias = Literal["added", "evaluated", "adopted", "promoted", "rolled back"]
Status: TypeAlias = Literal["candidate", "production", "former", "withdrawn"]
_TAKES_OVER: Final = ("adopted", "promoted")


@dataclass(frozen=True, slots=True)
class Event:
    """One change of the registry.

    at: RFC 3339, UTC. name: of the entry. size: input size, "512x288".
    sha256: of the model; for "rolled back" of the one that came back.
    replaces: hash of the model that went out of production, empty when there was none.
    why: the reason as the person typed it.
    """

    at: str
    kind: Kind
    name: str
    size: str
    sha256: str
    replaces: str = ""
    why: str = ""


def parse_event(row: Any) -> Event:
    """Return the event of one parsed JSON line. Raises RegistryError: when it is not one."""
    names = {field.name for field in fields(Event)}
    if not isinstance(row, dict) or {*row} - names or row.get("kind") not in get_args(Kind):
        raise RegistryError(f"The history holds what is no event: {json.dumps(row)[:80]}.")
    try:
        return Event(**{name: str(value) for name, value in row.items()})  # type: ignore[arg-type]  # kind: seen above
    except TypeError as error:
        raise RegistryError(f"The history holds an incomplete event: {json.dumps(row)[:80]}.") from error


def as_line(event: Event) -> str:
    """Return the event as one line of the history, with its line feed."""
    return json.dumps(asdict(event), ensure_ascii=False) + "\n"


def succession(events: Sequence[Event], size: str) -> list[Event]:
    """Return the events that put the models of an input size into production, the present one last.

    A model that was rolled back is not among them.
    """
    models: list[Event] = []
    for event in events:
        if event.size == size and event.kind in _TAKES_OVER:
            models.append(event)
        elif event.size == size and event.kind == "rolled back" and models:
            models.pop()
    return models


def status(events: Sequence[Event], sha256: str, size: str) -> Status:
    """Return what a model of an input size is now."""
    models = [event.sha256 for event in succession(events, size)]
    if models and models[-1] == sha256:
        return "production"
    if withdrawn(events, sha256):
        return "withdrawn"
    return "former" if sha256 in models else "candidate"


def withdrawn(events: Sequence[Event], sha256: str) -> str:
    """Return why a model was rolled back; empty when it was not, or was measured or promoted again since."""
    reason = ""
    for event in events:
        if event.kind == "rolled back" and event.replaces == sha256:
            reason = f"rolled back on {event.at[:10]} ({event.why or 'no reason given'}): measure it again"
        elif event.sha256 == sha256 and event.kind in ("evaluated", *_TAKES_OVER):
            reason = ""
    return reason
