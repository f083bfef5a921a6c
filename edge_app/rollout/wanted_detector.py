"""Give a detector to a device, by the office's layer, and take it back. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from edge_app.rollout.members import AGAIN_S, SENT_BACK, TRIES, WHY, Aim, Do, Kind, Member, Step, Told, away

SHADOW: Final = "detector.shadow"
_REFUSAL_S: Final = 30.0
"""A report that is still a refusal so long after the office's message is about that one."""
_ANSWERS_S: Final = 3600.0
"""A device that is there answers to the office's message within seconds, and has begun to count anew within minutes."""
_LOST: Final = "it has lost the candidate, and fetches it again"
_SILENT: Final = "does not answer to what it had before, a person must look"


@dataclass(frozen=True, slots=True)
class WantedDetector:
    """A detector. key: of the configuration that names it. candidate: its SHA-256."""

    key: str
    candidate: str

    @property
    def kind(self) -> Kind:
        """What a roll-out of it is called."""
        return "detector"

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"detector {self.candidate[:12]}"

    @property
    def others(self) -> str:
        """That somebody else has changed it."""
        return f"somebody else has changed {self.key}"

    @property
    def first(self) -> Do:
        """What a device is asked first."""
        return "fetch"

    def values(self, member: Member, aim: Aim) -> dict[str, Any]:
        """Return key -> value that the office's layer shall have; a key that it shall leave is not there.

        None: the default, whatever earlier layers say.
        """
        if aim == "former":
            return dict(member.before)
        beside = {SHADOW: member.before[SHADOW]} if SHADOW in member.before else {}
        if beside == {SHADOW: self.candidate}:  # no device lets a detector count beside itself
            beside = {}
        if aim == "candidate" and member.former:
            beside = {SHADOW: member.former}
        if aim == "alone":
            beside = {SHADOW: None}
        return {self.key: self.candidate, **beside}

    @property
    def keys(self) -> tuple[str, str]:
        """All keys that a roll-out may change."""
        return self.key, SHADOW

    def runs(self, model: str, _version: str) -> bool:
        """Return whether a device counts with it already."""
        return model == self.candidate

    def joined(self, member: Member, told: Told) -> Member:
        """Return a device with what it has before it gets anything."""
        before = {key: told.layer[key] for key in self.keys if key in told.layer and not self._set(told)}
        return replace(member, former=told.model, before=before, drifted=told.drifted)

    def forgotten(self, told: Told) -> bool:
        """Return whether the broker has no layer for a device."""
        return not told.revision

    def has(self, _member: Member, told: Told) -> bool:
        """Return whether the office sets the candidate there."""
        return self._set(told)

    def reported(self, member: Member, told: Told, aim: Aim, now: float) -> Step:
        """Return a device for which the office sets the candidate; at the end the former one counts beside no more."""
        if again := self._fetched_again(member, told, now):
            return again
        after = _reported(member, told, now)
        if aim == "settled":
            return self._settled(member, after, told, now)
        return (replace(after, reason=told.unpaired) if after.state == "running" else after), None

    def _fetched_again(self, member: Member, told: Told, now: float) -> Step | None:
        """Return the next step of a device that had the candidate and has it no more; None for any other.

        Its state folder is a new one: it refuses the layer for want of what it names, and is no worse a device for it.
        """
        refuses = told.report == "refused" and told.highest < told.revision
        if not refuses or told.model == self.candidate or away(told):
            return None
        if member.got and member.fetched:
            if member.state != "sent" or now - member.changed < _REFUSAL_S:
                return None
            if told.busy:
                return member, None
            return replace(member, reason=_LOST, fetched=False, tries=1, got=0.0), "fetch"
        if member.got or member.fetched or member.state not in ("sent", "gone"):
            return None
        if told.busy or now - member.changed < AGAIN_S:
            return member, None
        if member.tries >= TRIES:
            return replace(member, state="failed", reason=f"cannot fetch the candidate: {member.reason}"), None
        return replace(member, state="sent", reason=_LOST, tries=member.tries + 1), "fetch"

    def _settled(self, member: Member, after: Member, told: Told, now: float) -> Step:
        """Return a device at the end. after: the same by its report."""
        mine = {key: told.layer[key] for key in self.keys if key in told.layer}
        refuses = told.online and self.vain(told) and told.report == "refused"
        if refuses and mine == self._ends(member)[1] and told.model == self.candidate:
            return replace(member, state="running", reason=f"refuses the end of it: {_why(told)}"), None
        if refuses and after.state == "refused" and mine != self._ends(member)[1]:
            # Its own file or page may have the candidate count beside.
            return replace(member, state="sent", reason="the configuration was sent", changed=now), "alone"
        return after, "configure" if after.state == "running" and mine not in self._ends(member) else None

    def _ends(self, member: Member) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what the office may set at the end."""
        return self.values(member, "settled"), self.values(member, "alone")

    def lying(self, member: Member, _told: Told, _now: float) -> Step:
        """Return a device on which the candidate lies: the office's layer names it."""
        return replace(member, state="sent", reason="the configuration was sent"), "configure"

    def backward(self, member: Member, told: Told, now: float) -> Step:
        """Return a device that shall count with what it had."""
        if told.lost and member.fetched and member.state not in ("waiting", "returned"):
            return replace(member, state="stuck", reason=f"{told.lost}, so a person must look"), None
        if self._set(told):
            reason = member.reason if member.state in WHY else SENT_BACK
            return replace(member, state="sent", reason=reason, changed=now), "restore"
        if member.state in ("waiting", "returned"):
            return member, None
        if member.state == "gone" and not member.fetched:
            return replace(member, state="returned", reason="it never got the candidate"), None
        if not told.online:
            return replace(member, state="gone", reason=f"{away(told)}: {self._later(told)}"), None
        if told.highest < told.revision and told.report != "refused":
            late = member.state == "sent" and now - member.changed >= _ANSWERS_S
            return (replace(member, state="stuck", reason=_SILENT) if late else member), None
        if told.report == "trying":
            return member, None
        if told.report in ("rolled_back", "refused") and told.model == self.candidate:
            reason = f"has kept the candidate, a person must look: {_why(told)}"
            return replace(member, state="stuck", reason=reason), None
        kept = member.reason if member.state in ("sent", *WHY) and member.reason != SENT_BACK else ""
        return replace(member, state="returned", reason=kept), None

    def _later(self, told: Told) -> str:
        """Return what becomes of a device that is away while it is taken back."""
        if self.forgotten(told):
            return "the broker has forgotten what it was sent, so a person must look when it comes back"
        return "it takes it back when it comes back"

    def lost(self, _member: Member, _told: Told) -> bool:
        """Return False: a device tries a detector by itself, with or without a broker."""
        return False

    def left(self, _member: Member, told: Told) -> bool:
        """Return whether the office still sets it there."""
        return self._set(told)

    def vain(self, told: Told) -> bool:
        """Return whether the office sets it on a device that has refused it, or went back from it."""
        heard = told.highest >= told.revision
        return self._set(told) and told.report == ("rolled_back" if heard else "refused")

    def _set(self, told: Told) -> bool:
        return told.layer.get(self.key) == self.candidate


def _reported(member: Member, told: Told, now: float) -> Member:
    heard = told.highest >= told.revision
    if heard and told.report == "rolled_back":
        return replace(member, state="back", reason=f"took it back by itself: {_why(told)}")
    if gone := away(told):
        return replace(member, state="gone", reason=gone)
    if told.report == "refused" and not heard:
        sent = member if member.state == "sent" else replace(member, state="sent", changed=now)
        if now - sent.changed < _REFUSAL_S:
            return sent
        return replace(member, state="refused", reason=f"refuses it: {_why(told)}")
    if not heard:
        return replace(member, state="sent", reason="the configuration was sent")
    if told.report == "trying":
        return replace(member, state="trying", reason="on trial for two minutes")
    return replace(member, state="running", reason="")


def _why(told: Told) -> str:
    return "; ".join(told.problems) or "it gives no reason"
