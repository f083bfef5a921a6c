"""Keep what the office has sent in the state folder: the signed messages themselves, and what became of them.

The configuration is read from this file, so it is replaced as a whole. Whoever reads it checks the signatures again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

from edge_app.system.clock import utc_of
from edge_app.system.files import read_json, write_atomic

NAME: Final = "office.json"
_SCHEMA: Final = "edge-app/office/1"
Outcome: TypeAlias = Literal["none", "trying", "applied", "rolled_back"]


@dataclass(frozen=True, slots=True)
class TrialState:
    """Trial that is on. starts: of the program since it began. frames, broker: what worked before it."""

    starts: int
    frames: bool
    broker: bool


@dataclass(frozen=True, slots=True)
class OfficeState:
    """What the office has sent.

    highest: revision of the newest message that was accepted, which `newest` is the SHA-256 of. used: the signed
    message in use, empty without one; former: the one before it, used again when the trial fails. outcome: of the
    newest one, since `at`, UTC s. problems: one sentence each on why it was taken back. ran: SHA-256 of the fetched
    detector that was in use before the present one, which stays on the device for a way back; empty without one.
    """

    highest: int = 0
    newest: str = ""
    used: str = ""
    former: str = ""
    trial: TrialState | None = None
    outcome: Outcome = "none"
    problems: tuple[str, ...] = ()
    at: float = 0.0
    ran: str = ""


def read_state(folder: Path) -> OfficeState:
    """Return what the state folder holds, nothing where the office has sent nothing.

    Raises OSError: when the file cannot be read. ValueError: when it is damaged.
    """
    try:
        return _state_of(read_json(folder / NAME))
    except (FileNotFoundError, NotADirectoryError):
        return OfficeState()
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / NAME} is damaged") from error


def write_state(folder: Path, state: OfficeState) -> None:
    """Replace the file as a whole. Raises OSError."""
    write_atomic(folder / NAME, json.dumps({"schema": _SCHEMA, **asdict(state)}), mode=0o600)


def taken_back(state: OfficeState) -> str:
    """Return one sentence on a message that was taken back."""
    why = "; ".join(state.problems) or "it did not pass its trial"
    return f"configuration {state.highest} of the office was taken back: {why}"


def _state_of(data: Any) -> OfficeState:
    if data["schema"] != _SCHEMA or data["outcome"] not in get_args(Outcome):
        raise ValueError("is of another release")
    return OfficeState(
        highest=_number(data, "highest"),
        newest=_text(data["newest"]),
        used=_text(data["used"]),
        former=_text(data["former"]),
        trial=None if data["trial"] is None else _trial_of(data["trial"]),
        outcome=data["outcome"],
        problems=tuple(_text(problem) for problem in data["problems"]),
        at=utc_of(data["at"]),
        ran=_text(data.get("ran", "")),  # a release before this one does not write it
    )


def _trial_of(data: Mapping[str, Any]) -> TrialState:
    return TrialState(_number(data, "starts"), bool(data["frames"]), bool(data["broker"]))


def _number(data: Mapping[str, Any], key: str) -> int:
    value = data[key]
    if type(value) is not int or value < 0:
        raise ValueError(f"{key} is no number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("is no text")
    return value
