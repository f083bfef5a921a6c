"""Lead a roll-out through its groups: by the rule, and as people say. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from edge_app.errors import ConfigError
from edge_app.rollout.members import Aim, Member, Out, Told, Wanted, returned, seen
from edge_app.rollout.plan import Cascade, Progress, advance
from edge_app.rollout.stop_rule import StopRule

RolloutState: TypeAlias = Literal["running", "paused", "taking_back", "taken_back", "done"]
What: TypeAlias = Literal["started", "group", "paused", "gone_on", "stopped", "taken_back", "done"] | Out
RULE: Final = "rule"
"""Who decides where no person does."""
ACTIVE: Final[Collection[RolloutState]] = ("running", "paused", "taking_back")
"""States of a roll-out that has not ended. Devices that were away are reached after the end too."""
_HOUR_S: Final = 3600.0
_KEPT: Final = "those that have it keep it until a person decides"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A roll-out. begins: when each group began so far, UTC s. since: from when the hours of the present group count.

    why, who, changed: of the newest change of its state or group. bundle: what devices fetch: arguments of the command.
    """

    name: str
    wanted: Wanted
    bundle: Mapping[str, Any]
    cascade: Cascade
    state: RolloutState
    group: int
    begins: Sequence[float]
    since: float
    why: str
    who: str
    changed: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened to a roll-out. subject: site/device for what happened to one."""

    what: What
    who: str
    why: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a roll-out is judged by. hours: pairs of the devices of the present group. sums: class -> vehicles of
    candidate and of before, in all groups.

    Of a release the latter is what is usual on its devices, as far as those count that which do not have it yet.
    open: of what the present group has not counted enough to pass. at: when it was put together, UTC s. unpaired:
    devices that run the candidate, and on which nothing was compared with it for hours. leans: that the output of some
    seems to be worse, so that the group waits, one sentence or empty.
    """

    decision: Literal["stop", "pass", "wait"] = "wait"
    reasons: Sequence[str] = ()
    hours: int = 0
    sums: Mapping[str, Sequence[float]] = field(default_factory=dict)
    open: Sequence[str] = ()
    at: float = 0.0
    unpaired: Sequence[str] = ()
    leans: str = ""

    @property
    def starves(self) -> bool:
        """True while the present group waits and none of its devices has compared anything."""
        return self.decision == "wait" and not self.hours


def evidence_of(rule: StopRule, at: float) -> Evidence:
    """Return what a rule knows."""
    sums = {name: [known.candidate, known.before] for name, known in rule.of.items() if known.candidate or known.before}
    return Evidence(rule.decide(), tuple(rule.reasons()), rule.hours, sums, tuple(rule.open()), at)


def begun(name: str, wanted: Wanted, bundle: Mapping[str, Any], cascade: Cascade, who: str, now: float) -> Rollout:
    """Return a roll-out whose first group begins now, UTC s."""
    return Rollout(name, wanted, bundle, cascade, "running", 0, (now,), now, "it has begun", who, now)


def aim_of(rollout: Rollout, member: Member) -> Aim:
    """Return what a device is to have."""
    if rollout.state in ("taking_back", "taken_back"):
        return "former"
    if rollout.state == "done":
        return "settled"
    return "wait" if rollout.state == "paused" or member.group > rollout.group else "candidate"


def led(
    rollout: Rollout, members: Sequence[Member], told: Mapping[str, Told], evidence: Evidence, now: float
) -> tuple[Rollout, Sequence[Event]]:
    """Return where a roll-out goes from here, and what has happened.

    members: all of its devices. told: what is known of each now. now: UTC s.
    """
    if rollout.state == "taking_back" and returned(members, told, rollout.wanted):
        away = sum(one.state == "gone" for one in members)
        stuck = sum(one.state == "stuck" for one in members)
        why = f"every device has what it had before{f', {away} when they come back' if away else ''}"
        why += f"; at {stuck} a person must look" if stuck else ""
        return _moved(rollout, Event("taken_back", RULE, f"{rollout.why}; {why}"), "taken_back", now)
    if rollout.state not in ("running", "paused"):
        return rollout, ()
    *earlier, state = (
        seen([one for one in members if one.group == number], told, evidence.decision, evidence.reasons, rollout.wanted)
        for number in range(rollout.group + 1)
    )
    groups = 1 + max((one.group for one in members), default=0)
    at = Progress("running" if rollout.state == "running" else "paused", rollout.group, rollout.since)
    after = advance(at, state, groups, now, rollout.cascade, earlier)
    if after.state == "stopped":
        return _moved(rollout, Event("stopped", RULE, after.why), "taking_back", now)
    if rollout.state == "paused":
        return rollout, ()
    blindly = "" if evidence.hours else "; there was nothing to compare the counts of this group with"
    if after.state == "done":
        return _moved(rollout, Event("done", RULE, after.why + blindly), "done", now)
    if after.state == "paused":
        starving = "none of its devices has compared anything" if evidence.starves else ""
        why = "; ".join(filter(None, (after.why, starving, evidence.leans, _KEPT)))
        return _moved(rollout, Event("paused", RULE, why), "paused", now)
    if after.group == rollout.group:
        return rollout, ()
    next_one, events = _moved(rollout, Event("group", RULE, after.why + blindly), "running", now)
    return replace(next_one, group=after.group, since=now, begins=(*rollout.begins, now)), events


def paused(rollout: Rollout, who: str, why: str, now: float) -> tuple[Rollout, Sequence[Event]]:
    """Return a roll-out that gives the candidate to no further device. Raises ConfigError: when it does not run."""
    if rollout.state != "running":
        raise ConfigError(f"{rollout.name}: is {words(rollout.state)}, so there is nothing to pause")
    return _moved(rollout, Event("paused", who, why or "a person wants it"), "paused", now)


def gone_on(rollout: Rollout, who: str, why: str, now: float) -> tuple[Rollout, Sequence[Event]]:
    """Return a roll-out that goes on. Raises ConfigError: when it is not paused.

    What its group has lasted counts up to the shortest time of a group: one that was paused because it lasted too long
    has all of the longest time before it again.
    """
    if rollout.state != "paused":
        raise ConfigError(f"{rollout.name}: is {words(rollout.state)}; only one that is paused can go on")
    lasted = min(rollout.changed - rollout.since, rollout.cascade.hours * _HOUR_S)
    after, events = _moved(rollout, Event("gone_on", who, why or "a person wants it"), "running", now)
    return replace(after, since=now - lasted), events


def taken_back(rollout: Rollout, who: str, why: str, now: float) -> tuple[Rollout, Sequence[Event]]:
    """Return a roll-out whose devices get what they had before; also one that is done.

    Raises ConfigError: when that is so already.
    """
    if rollout.state in ("taking_back", "taken_back"):
        raise ConfigError(f"{rollout.name}: is {words(rollout.state)} already")
    return _moved(rollout, Event("stopped", who, why or "a person takes it back"), "taking_back", now)


def words(state: RolloutState) -> str:
    """Return a state for people."""
    return {"taking_back": "being taken back", "taken_back": "taken back"}.get(state, state)


def _moved(rollout: Rollout, event: Event, state: RolloutState, now: float) -> tuple[Rollout, Sequence[Event]]:
    return replace(rollout, state=state, why=event.why, who=event.who, changed=now), (event,)
