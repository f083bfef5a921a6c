"""Bring each device of a roll-out to where it shall be, one step at a time. Pure: no clock, no I/O.

What is next follows from what the device and the office say of it now, never from what was done before. So a step that
was cut short is done again, and one that was done is not repeated. What is given, a detector or a release of the
program, has its own way to the device and back: `WantedDetector`, `WantedRelease`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from edge_app.rollout.plan import Seen
from edge_app.rollout.stop_rule import Decision

Kind: TypeAlias = Literal["detector", "release"]
Out: TypeAlias = Literal["back", "refused", "failed", "changed", "stuck"]
MemberState: TypeAlias = Literal["waiting", "sent", "trying", "running", "gone", "returned"] | Out
OUT: Final[Collection[MemberState]] = get_args(Out)
"""States of a device that gets no more of it: it took it back by itself, it refuses it, it could not get it, a person
has changed it there, it cannot go back."""
Aim: TypeAlias = Literal["wait", "candidate", "settled", "alone", "former"]
"""What a device is to have: nothing new yet; the candidate, with the former one beside it where that is possible; the
candidate, with what counted beside before; the candidate with nothing beside, whatever its own file says; what it had
before."""
Do: TypeAlias = Literal["fetch", "configure", "alone", "restore", "release", "rollback"]
COMMANDS: Final = ("fetch", "release", "rollback")
"""What is a command, which a device that is away does not get."""
TRIES: Final = 3
"""A device that could not fetch the candidate so often is given up."""
SENT_BACK: Final = "what it had before was sent"
WHY: Final[Collection[MemberState]] = ("back", "refused", "failed", "changed")
"""States whose reason stays with a device that is taken back."""
AGAIN_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class Member:
    """A device of a roll-out. reason: of its state, one sentence or empty. changed: when its state did, UTC s.

    fetched: the candidate lies on it. tries: how often it was asked to fetch. former: what was in service, SHA-256 of
    a detector or version of a program, empty where nobody knows. before: what the office's layer had of the keys that
    are set, None for the default, without those that it left. drifted: it told a drift before it got the candidate.
    order: id of the newest command to it, empty where a new one is to be made. got: when it had the candidate first,
    UTC s, 0 before. follows: the device on the same machine that is ordered in its place, empty for one that is asked
    itself. usual: its figures of before it got the candidate, None until they are known.
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
    order: str = ""
    got: float = 0.0
    follows: str = ""
    usual: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a device now.

    online: it has a connection. blind: why it sees nothing, empty while it sees. drifted: it tells a drift.
    model: SHA-256 of the detector in service, version: of the program, each empty where it has not told. layer: what
    the office sets, by key, None for the default. revision: of that, 0 where the broker retains none. lost: why neither
    is known although it should be, empty where it makes no difference. report: state of its newest report.
    highest: revision that it accepted last. problems: in its own words. busy: it is being asked something.
    order, order_state, order_problem: what it says of the newest release that was ordered, empty without one.
    unwell: how it does worse than before it got the candidate, one sentence, empty where it does not.
    absent: why it counts as away although nobody says "offline", one sentence, empty where it does not.
    unpaired: that nothing is compared with the candidate there, one sentence, empty where something is.
    """

    online: bool = False
    blind: str = ""
    drifted: bool = False
    model: str = ""
    version: str = ""
    layer: Mapping[str, Any] = field(default_factory=dict)
    revision: int = 0
    report: str = "unknown"
    highest: int = 0
    problems: Sequence[str] = ()
    busy: bool = False
    order: str = ""
    order_state: str = ""
    order_problem: str = ""
    unwell: str = ""
    lost: str = ""
    absent: str = ""
    unpaired: str = ""


Step: TypeAlias = tuple[Member, Do | None]


class Wanted(Protocol):
    """What a roll-out gives, and its way to a device and back.

    candidate: SHA-256 of what devices fetch or count with. others: that somebody else has changed it, one sentence.
    first: what a device is asked first.
    """

    @property
    def kind(self) -> Kind: ...

    @property
    def candidate(self) -> str: ...

    @property
    def words(self) -> str:
        """What it is, for people."""

    @property
    def others(self) -> str: ...

    @property
    def first(self) -> Do: ...

    def runs(self, model: str, version: str) -> bool:
        """Return whether a device with this detector and this program has it already."""

    def joined(self, member: Member, told: Told) -> Member:
        """Return a device with what it has before it gets anything."""

    def forgotten(self, told: Told) -> bool:
        """Return whether the broker has forgotten what it should know of a device that has it."""

    def has(self, member: Member, told: Told) -> bool:
        """Return whether the device was given it, so that its report is about that."""

    def reported(self, member: Member, told: Told, aim: Aim, now: float) -> Step:
        """Return a device that was given it, by its report."""

    def lying(self, member: Member, told: Told, now: float) -> Step:
        """Return a device that has fetched it, and reports nothing of it yet."""

    def backward(self, member: Member, told: Told, now: float) -> Step:
        """Return a device that shall have what it had before."""

    def lost(self, member: Member, told: Told) -> bool:
        """Return whether a device that is gone went away while it was on trial."""

    def left(self, member: Member, told: Told) -> bool:
        """Return whether the office has not yet taken it back there."""

    def vain(self, told: Told) -> bool:
        """Return whether the office still sets it on a device that does not use it."""


def step(member: Member, told: Told, aim: Aim, now: float, wanted: Wanted) -> Step:
    """Return a device as it is now, and what is to be sent to it, None for nothing. now: UTC s."""
    if aim == "former":
        after, do = wanted.backward(member, told, now)
    else:
        after, do = _forward(member, told, aim, now, wanted)
    if after.state == "running" != member.state and not after.got:
        after = replace(after, got=now)
    return replace(after, changed=now) if after.state != member.state or do in COMMANDS else after, do


def _forward(member: Member, told: Told, aim: Aim, now: float, wanted: Wanted) -> Step:
    if member.state in OUT and not (member.state == "changed" and wanted.has(member, told)):
        # The next change of its configuration must not bring it again.
        return member, "restore" if wanted.vain(told) else None
    if wanted.forgotten(told) and (member.got or member.state not in ("waiting", "sent", "gone")):
        return _forgotten(member, told, wanted), None
    if wanted.has(member, told):
        return wanted.reported(member, told, aim, now)
    if member.state in ("trying", "running") or (member.state == "gone" and member.got):
        return replace(member, state="changed", reason=wanted.others), None
    if aim == "wait":
        return member, None
    if why := away(told):
        return replace(member, state="gone", reason=f"{why}: it gets the candidate when that is over"), None
    if told.busy:
        return member, None
    if member.fetched:
        return wanted.lying(member, told, now)
    if member.tries and now - member.changed < AGAIN_S:
        return member, None
    if member.tries >= TRIES:
        return replace(member, state="failed", reason=f"cannot fetch the candidate: {member.reason}"), None
    before = member if member.tries else wanted.joined(member, told)
    return replace(before, state="sent", reason="it fetches the candidate", tries=member.tries + 1), wanted.first


def _forgotten(member: Member, told: Told, wanted: Wanted) -> Member:
    """Return a device of which a broker has forgotten everything: the device itself has not, unless it is gone too."""
    if told.absent:
        return replace(member, state="gone", reason=told.absent)
    if member.state == "gone" and told.online and wanted.runs(told.model, told.version):
        return replace(member, state="running", reason="")
    return member


def away(told: Told) -> str:
    """Return why a device cannot count now, empty where it can."""
    if not told.online:
        return told.absent or "offline"
    if told.lost:
        return told.lost
    return f"blind ({told.blind})" if told.blind else ""


def returned(members: Iterable[Member], told: Mapping[str, Told], wanted: Wanted) -> bool:
    """Return whether nothing is left to be taken back, except on devices that are away, or follow another one."""
    return not any(
        wanted.left(one, told.get(one.name, Told())) or one.state in ("sent", "trying", "running")
        for one in members
        if not one.follows
    )


def seen(
    members: Iterable[Member], told: Mapping[str, Told], decision: Decision, reasons: Sequence[str], wanted: Wanted
) -> Seen:
    """Return what the devices of a group say. decision, reasons: of the stop rule."""
    running, gone, drifted, lost, open_ones = (list[str]() for _ in range(5))
    back, refused, failed, unwell = (dict[str, str]() for _ in range(4))
    troubled: Mapping[str, dict[str, str]] = {"back": back, "refused": refused, "failed": failed}
    members = list(members)
    dark = {one.name for one in members if one.state == "gone"}
    for member in members:
        known = told.get(member.name, Told())
        if member.state in troubled:
            troubled[member.state][member.name] = member.reason
        elif member.state == "gone" and not (member.got or wanted.has(member, known)):
            continue  # one that was away before says nothing
        elif member.follows and (member.state == "waiting" or {member.name, member.follows} <= dark):
            continue  # what has become of the machine, its first camera says
        elif member.state == "gone":
            gone.append(member.name)
            lost += [member.name] if wanted.lost(member, known) else []
        elif member.state == "running":
            if known.drifted and not member.drifted:
                drifted.append(member.name)
            if known.unwell:
                unwell[member.name] = known.unwell
            running.append(member.name)
        elif member.state in ("waiting", "sent", "trying"):
            open_ones.append(member.name)
    return Seen(decision, reasons, running, back, refused, failed, gone, drifted, lost, unwell, open_ones)
