"""Decide what becomes of a message of the office: accepted, on trial, kept or taken back. Pure.

A trial compares what works with what worked before it, so that nothing that was broken already is a reason.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Final

from edge_app.system.office_state import OfficeState, TrialState

TRIAL_S: Final = 120.0
_HELD_S: Final = 20.0
"""What has worked within this time before the end of the trial works: a camera or a broker may blink."""
_MOST_ENDS: Final = 3
_ENDED: Final = "the program has ended three times within the two minutes of trial"


@dataclass(frozen=True, slots=True)
class Facets:
    """What must go on working. frames: some are processed. broker: it is connected."""

    frames: bool
    broker: bool


def digest(message: str) -> str:
    """Return the SHA-256 by which a message is known again."""
    return hashlib.sha256(message.encode()).hexdigest()


def accepted(
    state: OfficeState, message: str, revision: int, now: Facets, at: float, *, in_use: bool = False
) -> OfficeState:
    """Return the state in which a message is on trial.

    now: what works at this moment. at: UTC s. in_use: the program need not be started for it.

    A message that comes while another is on trial takes its place: what is used again when it fails is the one that
    was in use before both, and what worked before both is what counts.
    """
    before, former = now, state.used
    if state.trial is not None:
        before, former = Facets(state.trial.frames or now.frames, state.trial.broker or now.broker), state.former
    trial = TrialState(int(in_use), before.frames, before.broker)
    return OfficeState(revision, digest(message), message, former, trial, "trying", (), at, state.ran)


def started(state: OfficeState, at: float) -> OfficeState:
    """Return the state after one more start of the program. at: UTC s."""
    if state.trial is None:
        return state
    if state.trial.starts >= _MOST_ENDS:
        return rolled_back(state, [_ENDED], at)
    return replace(state, trial=replace(state.trial, starts=state.trial.starts + 1))


def stopped(state: OfficeState) -> OfficeState:
    """Return the state after an end that somebody has asked for, which is no sign of anything."""
    if state.trial is None or not state.trial.starts:
        return state
    return replace(state, trial=replace(state.trial, starts=state.trial.starts - 1))


def passed(state: OfficeState, at: float, ran: str = "") -> OfficeState:
    """Return the state in which the message on trial is kept.

    at: UTC s. ran: detector that is in use no more, SHA-256, empty where that is none.
    """
    return replace(state, former="", trial=None, outcome="applied", problems=(), at=at, ran=ran or state.ran)


def rolled_back(state: OfficeState, problems: list[str], at: float) -> OfficeState:
    """Return the state in which the message before is used again; the revision stays used up. at: UTC s."""
    return replace(
        state, used=state.former, former="", trial=None, outcome="rolled_back", problems=tuple(problems), at=at
    )


class Trial:
    """Two minutes in which what worked before must go on working.

    before: what worked. now: begin of the trial, s of a clock that never steps.
    """

    def __init__(self, before: TrialState, now: float) -> None:
        self._before, self._ends = before, now + TRIAL_S
        self._frames_at = self._broker_at = float("-inf")

    def observe(self, now: Facets, at: float) -> list[str] | None:
        """Return None while the trial is on; then one sentence for each thing that no longer works, none when all does.

        at: s of the clock by which the trial began.
        """
        self._frames_at = at if now.frames else self._frames_at
        self._broker_at = at if now.broker else self._broker_at
        if at < self._ends:
            return None
        lost: list[str] = []
        if self._before.frames and at - self._frames_at > _HELD_S:
            lost.append("frames no longer come, and they came before")
        if self._before.broker and at - self._broker_at > _HELD_S:
            lost.append("the broker is away, and it was connected before")
        return lost
