"""Divide a fleet into the groups of a roll-out, and lead it from one to the next. Pure: no clock, no I/O."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from edge_app.rollout.stop_rule import Decision

State = Literal["running", "paused", "stopped", "done"]
_HOUR_S: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Cascade:
    """How a roll-out grows.

    shares: of the fleet that have the candidate after each group, rising to 1. least: devices of the first group at
    least. hours: shortest time of a group, so that it has seen a day and a night. longest_hours: after it a group that
    has neither passed nor failed waits for a person. failed: share of a group whose devices may take the candidate back
    by themselves, refuse it, not get it, be gone, tell a drift or do worse than before, before it is stopped; the same
    of all groups together.
    """

    shares: tuple[float, ...] = (0.01, 0.1, 1.0)
    least: int = 2
    hours: float = 24.0
    longest_hours: float = 336.0
    failed: float = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a roll-out is. group: number of the present one, from 0. since: when it began, UTC s. why: one sentence."""

    state: State = "running"
    group: int = 0
    since: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the devices of a group say.

    counts: decision by their counts. reasons: for a stop. running: devices that run the candidate. back: those that
    took it back by themselves, with their reason; refused, failed: those that refuse it, or could not get it. gone:
    those that are offline or blind, and were not when they got it. drifted: those that tell a drift since. lost: those
    that are gone since it was installed. unwell: those that do worse than before, and how. open: those that are still
    to get it, or are trying it. One on which a person has changed it says nothing.
    """

    counts: Decision
    reasons: Sequence[str] = ()
    running: Collection[str] = ()
    back: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)
    gone: Collection[str] = ()
    drifted: Collection[str] = ()
    lost: Collection[str] = ()
    unwell: Mapping[str, str] = field(default_factory=dict)
    open: Collection[str] = ()


def groups(
    devices: Collection[str], candidate: str, cascade: Cascade = Cascade(), first: Collection[str] = ()
) -> list[list[str]]:
    """Return the devices that each group adds, in an order that is another one for each candidate.

    candidate: name of what is rolled out: so it is not always the same streets that try first. first: devices that are
    all in the first group.
    """
    wanted = {*first}
    order = sorted(devices, key=lambda one: (one not in wanted, _drawn(candidate, one)))
    chosen = sum(one in wanted for one in order)
    found, before = list[list[str]](), 0
    for share in cascade.shares:
        upto = min(len(order), max(math.ceil(share * len(order)), cascade.least, chosen, before))
        if upto > before:
            found.append(order[before:upto])
            before = upto
    return found


def _drawn(candidate: str, device: str) -> str:
    return hashlib.sha256(f"{candidate}/{device}".encode()).hexdigest()


def advance(
    progress: Progress,
    seen: Seen,
    of: int,
    now: float,
    cascade: Cascade = Cascade(),
    earlier: Sequence[Seen] = (),
) -> Progress:
    """Return where the roll-out goes from here.

    seen: what the present group says; counts are those of all groups. of: number of groups. now: UTC s. earlier: what
    the groups before say, from the first on: they do not have to pass again, but they still stop it. A roll-out that is
    paused is stopped as well, and goes on when a person says so; one that is stopped or done stays so.
    """
    if progress.state not in ("running", "paused"):
        return progress
    if why := _stops(seen, earlier, cascade):
        return replace(progress, state="stopped", why=why)
    if progress.state == "paused":
        return progress
    hours = (now - progress.since) / _HOUR_S
    if hours < cascade.hours:
        return progress
    if seen.counts == "pass" and len(seen.running) > len(seen.open):
        if progress.group + 1 == of:
            return replace(progress, state="done", why="every group has passed")
        return Progress("running", progress.group + 1, now, f"group {progress.group + 1} has passed")
    if hours >= cascade.longest_hours:
        lack = "too few counts" if seen.counts == "wait" else "too few devices that have it"
        why = f"after {hours:.0f} hours group {progress.group + 1} has {lack} to pass or to fail"
        return replace(progress, state="paused", why=why)
    return progress


def _stops(seen: Seen, earlier: Sequence[Seen], cascade: Cascade) -> str:
    """Return why the roll-out is stopped, empty when it is not: for one of its groups, or for all of them together."""
    if seen.counts == "stop":
        return "; ".join(seen.reasons) or "its counts differ from those of before"
    parts = [("", seen), *((f" of group {number}", one) for number, one in enumerate(earlier, 1))]
    if earlier:
        parts.append((" of all groups", _together([*earlier, seen])))
    return next(filter(None, (_trouble(one, where, cascade) for where, one in parts)), "")


def _together(groups: Sequence[Seen]) -> Seen:
    """Return what the devices of several groups say, without their counts."""
    return Seen(
        "wait",
        running={name for one in groups for name in one.running},
        back={name: why for one in groups for name, why in one.back.items()},
        refused={name: why for one in groups for name, why in one.refused.items()},
        failed={name: why for one in groups for name, why in one.failed.items()},
        gone={name for one in groups for name in one.gone},
        drifted={name for one in groups for name in one.drifted},
        lost={name for one in groups for name in one.lost},
        unwell={name: why for one in groups for name, why in one.unwell.items()},
        open={name for one in groups for name in one.open},
    )


def _trouble(seen: Seen, where: str, cascade: Cascade) -> str:
    """Return in how many devices there is too much trouble, and which, empty where there is not. where: of them."""
    without = {*seen.back, *seen.refused, *seen.failed}
    troubled = {*without, *seen.gone, *seen.drifted, *seen.unwell}
    certain = {*without, *seen.lost, *seen.unwell}
    had = {*seen.running, *troubled}
    every = {*had, *seen.open}

    def over(names: Collection[str], of: Collection[str], least: int = 0) -> bool:
        return len(names) > max(least, cascade.failed * len(of))

    # Who refuses it, or goes back at once, tells so before anybody has passed the trial: a share is of all that get it.
    # One device can lose its network by chance; that it goes back, or never comes back from the change, is no chance.
    for_certain = over(certain, every) or over({*seen.lost, *seen.unwell}, had)
    if not (for_certain or over(troubled, every, 1) or over(troubled - without, had, 1)):
        return ""
    words = (
        ("took it back by themselves", seen.back),
        ("refuse it", seen.refused),
        ("could not get it", seen.failed),
        ("have not come back since", seen.lost),
        ("are gone", {*seen.gone} - {*seen.lost}),
        ("tell a drift", seen.drifted),
        ("do worse than before", seen.unwell),
    )
    told = [f"{len(names)} {word} ({', '.join(sorted(names)[:3])})" for word, names in words if names]
    known = (reason for of in (seen.back, seen.refused, seen.failed, seen.unwell) for reason in of.values())
    reasons = sorted({reason for reason in known if reason})
    return "; ".join([f"of {len(every)} devices{where} " + ", ".join(told), *reasons[:2]])
