"""Bring each device of a roll-out to where it shall be, one step at a time. Pure: no clock, no I/O.

What is next follows from what the device and the office's layer of it say now, never from what was done before. So a
step that was cut short is done again, and one that was done is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

from edge_app.rollout.plan import Seen
from edge_app.rollout.stop_rule import Decision

MemberState: TypeAlias = Literal["waiting", "sent", "trying", "running", "back", "gone", "returned"]
Aim: TypeAlias = Literal["wait", "candidate", "settled", "former"]
"""What a device is to have: nothing new yet; the candidate, with the former one beside it; the candidate alone; what it
had before."""
Do: TypeAlias = Literal["fetch", "configure", "restore"]
SHADOW: Final = "detector.shadow"
TRIES: Final = 3
"""A device that could not fetch the candidate so often is given up."""
_SENT_BACK: Final = "what it had before was sent"
_AGAIN_S: Final = 600.0
_REFUSAL_S: Final = 30.0
"""A report that is still a refusal so long after the office's message is about that one."""


@dataclass(frozen=True, slots=True)
class Member:
    """A device of a roll-out. reason: of its state, one sentence or empty. changed: when its state did, UTC s.

    fetched: the candidate lies on it. tries: how often it was asked to fetch. former: SHA-256 of the detector that was
    in service, empty where nobody knows. before: what the office's layer had of the keys that are set, without those
    that it left. drifted: it told a drift of its detector before it got the candidate.
    """

    name: str
    group: int
    state: MemberState = "waiting"
    reason: str = ""
    changed: float = 0.0
    fetched: bool = False
    tries: int = 0
    former: str = ""
    before: Mapping[str, Any] = field(default_factory=dict)
    drifted: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a device now.

    online: it has a connection. blind: why it sees nothing, empty while it sees. drifted: it tells a drift of its
    detector. model: SHA-256 of the detector in service, empty where it has not told. layer: what the office sets, by
    key. revision: of that, 0 where the broker retains none. lost: why neither is known although it should be. report:
    state of its newest report. highest: revision that it accepted last. problems: in its own words. busy: it is being
    asked something.
    """

    online: bool = False
    blind: str = ""
    drifted: bool = False
    model: str = ""
    layer: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    report: str = "unknown"
    highest: int = 0
    problems: Sequence[str] = ()
    busy: bool = False
    lost: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a roll-out sets. key: of the configuration. candidate: SHA-256 of the detector."""

    key: str
    candidate: str

    def values(self, member: Member, aim: Aim) -> dict[str, Any]:
        """Return key -> value that the office's layer shall have; a key that it shall leave is not there."""
        if aim == "former":
            return dict(member.before)
        beside = {SHADOW: member.before[SHADOW]} if SHADOW in member.before else {}
        if aim == "candidate" and member.former:
            beside = {SHADOW: member.former}
        return {self.key: self.candidate, **beside}

    @property
    def keys(self) -> tuple[str, str]:
        """All keys that a roll-out may change."""
        return self.key, SHADOW

    def has(self, told: Told) -> bool:
        """Return whether the office sets the candidate there."""
        return told.layer.get(self.key) == self.candidate

    def changes(self, member: Member, told: Told, aim: Aim) -> bool:
        """Return whether the office's layer is not what it shall be."""
        values = self.values(member, aim)
        return any(told.layer.get(key) != values.get(key) for key in self.keys)


def joined(member: Member, told: Told, wanted: Wanted) -> Member:
    """Return a device with what it has before it gets anything."""
    before = {key: told.layer[key] for key in wanted.keys if key in told.layer and not wanted.has(told)}
    return replace(member, former=told.model, before=before, drifted=told.drifted)


def step(member: Member, told: Told, aim: Aim, now: float, wanted: Wanted) -> tuple[Member, Do | None]:
    """Return a device as it is now, and what is to be sent to it, None for nothing. now: UTC s."""
    if aim == "former":
        after, do = _backward(member, told, wanted)
    else:
        after, do = _forward(member, told, aim, now, wanted)
    moved = after.state != member.state
    return replace(after, changed=now) if moved or do == "fetch" else after, do


def _forward(member: Member, told: Told, aim: Aim, now: float, wanted: Wanted) -> tuple[Member, Do | None]:
    if member.state == "back" or (not told.revision and member.state not in ("waiting", "sent", "gone")):
        return member, None  # a broker that has forgotten everything: the device has not
    if wanted.has(told):
        after = _reported(member, told, now)
        if after.state == "running" and aim == "settled" and wanted.changes(member, told, aim):
            return after, "configure"
        return after, None
    if member.state in ("trying", "running"):
        return replace(member, state="back", reason=f"somebody else has changed {wanted.key}"), None
    if aim == "wait":
        return member, None
    if why := _away(told):
        return replace(member, state="gone", reason=f"{why}: it gets the candidate when that is over"), None
    if told.busy:
        return member, None
    if member.fetched:
        return replace(member, state="sent", reason="the configuration was sent"), "configure"
    if member.tries and now - member.changed < _AGAIN_S:
        return member, None
    if member.tries >= TRIES:
        return replace(member, state="back", reason=f"cannot fetch the candidate: {member.reason}"), None
    before = member if member.tries else joined(member, told, wanted)
    return replace(before, state="sent", reason="it fetches the candidate", tries=member.tries + 1), "fetch"


def _reported(member: Member, told: Told, now: float) -> Member:
    """Return a device for which the office sets the candidate."""
    why = "; ".join(told.problems) or "it gives no reason"
    heard = told.highest >= told.revision
    if heard and told.report == "rolled_back":
        return replace(member, state="back", reason=f"took it back by itself: {why}")
    if away := _away(told):
        return replace(member, state="gone", reason=away)
    if told.report == "refused" and not heard:
        sent = member if member.state == "sent" else replace(member, state="sent", changed=now)
        if now - sent.changed < _REFUSAL_S:
            return sent
        return replace(member, state="back", reason=f"refuses it: {why}")
    if not heard:
        return replace(member, state="sent", reason="the configuration was sent")
    if told.report == "trying":
        return replace(member, state="trying", reason="on trial for two minutes")
    return replace(member, state="running", reason="")


def _backward(member: Member, told: Told, wanted: Wanted) -> tuple[Member, Do | None]:
    if told.lost and _may_have(member):
        return replace(member, state="back", reason=f"{told.lost}, so a person must look"), None
    if wanted.has(told):
        reason = member.reason if member.state == "back" else _SENT_BACK
        return replace(member, state="sent", reason=reason), "restore"
    if member.state in ("waiting", "returned"):
        return member, None
    if member.state == "gone" and not member.fetched:
        return replace(member, state="returned", reason="it never got the candidate"), None
    if not told.online:
        return replace(member, state="gone", reason="offline: it takes it back when it comes back"), None
    if told.highest < told.revision and told.report != "refused":
        return member, None  # it has not answered yet
    if told.report == "trying":
        return member, None
    if told.report in ("rolled_back", "refused") and told.model == wanted.candidate:
        problem = "; ".join(told.problems) or "it gives no reason"
        return replace(member, state="back", reason=f"has kept the candidate, a person must look: {problem}"), None
    kept = member.reason if member.state in ("sent", "back") and member.reason != _SENT_BACK else ""
    return replace(member, state="returned", reason=kept), None


def _may_have(member: Member) -> bool:
    return member.fetched and member.state not in ("waiting", "returned")


def _away(told: Told) -> str:
    if not told.online:
        return "offline"
    if told.lost:
        return told.lost
    return f"blind ({told.blind})" if told.blind else ""


def returned(members: Iterable[Member], told: Mapping[str, Told], wanted: Wanted) -> bool:
    """Return whether nothing is left to be taken back.

    A device that is away takes back what the broker keeps for it, so nobody waits for it.
    """
    return not any(
        wanted.has(told.get(one.name, Told())) or one.state in ("sent", "trying", "running") for one in members
    )


def seen(
    members: Iterable[Member], told: Mapping[str, Told], decision: Decision, reasons: Sequence[str], wanted: Wanted
) -> Seen:
    """Return what the devices of a group say. decision, reasons: of the stop rule."""
    running, back, gone, drifted = list[str](), dict[str, str](), list[str](), list[str]()
    for member in members:
        known = told.get(member.name, Told())
        if member.state == "back":
            back[member.name] = member.reason
        elif member.state == "gone" and wanted.has(known):  # one that was away before it got anything says nothing
            gone.append(member.name)
        elif member.state == "running":
            if known.drifted and not member.drifted:
                drifted.append(member.name)
            running.append(member.name)
    return Seen(decision, reasons, running, back, gone, drifted)
