"""Give a release of the program to a device, by a signed order, and take it back. Pure: no clock, no I/O.

A command to a device that is away is lost. So one without an answer is sent again under the same id, which the device
answers without doing it twice; only after a refusal a new one is made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from edge_app.rollout.members import AGAIN_S, OUT, SENT_BACK, TRIES, WHY, Aim, Do, Kind, Member, Step, Told, away

BACK: Final = "rollback"
"""Begin of the ids of orders to go back; alone: a new order is to be made."""
SOON_S: Final = 60.0
"""An order to go back is refused in the seconds in which the installer ends its work."""
COMES_BACK_S: Final = 3600.0
"""A device installs and judges a release within a quarter of an hour, and is away for seconds of it."""
_TAKEN_S: Final = 7200.0
"""What lies on a device is taken by its installer at once."""
_LASTS_S: Final = 86_400.0
"""No installer carries out an order that is older."""
_LOST: Final = "has not come back since it was installed"
NEWS: Final = {
    "installing": "it is being installed",
    "judging": "it is installed, and has to count",
    "counts": "it counts, and is on probation for ten minutes",
}
"""States of the contract in which an order is on its way -> words for people."""


@dataclass(frozen=True, slots=True)
class WantedRelease:
    """A release. candidate: SHA-256 of its archive. version: as the program tells it."""

    candidate: str
    version: str

    @property
    def kind(self) -> Kind:
        """What a roll-out of it is called."""
        return "release"

    @property
    def words(self) -> str:
        """What it is, for people."""
        return f"release {self.version}"

    @property
    def others(self) -> str:
        """That somebody else has changed it."""
        return "another release was ordered there since"

    @property
    def first(self) -> Do:
        """What a device is asked first."""
        return "release"

    def runs(self, _model: str, version: str) -> bool:
        """Return whether a device has it already."""
        return version == self.version

    def joined(self, member: Member, told: Told) -> Member:
        """Return a device with the version that it has before."""
        return replace(member, former=told.version, drifted=told.drifted)

    def forgotten(self, told: Told) -> bool:
        """Return whether the broker knows nothing of a device."""
        return not told.version and not told.order

    def has(self, member: Member, told: Told) -> bool:
        """Return whether the release was given to the device: it reports of this very order, or has taken it."""
        taken = member.fetched and member.state in ("sent", "gone")
        return _reports(member, told) or (taken and bool(member.order)) or self._again(member, told)

    def reported(self, member: Member, told: Told, _aim: Aim, now: float) -> Step:
        """Return a device that has the order, by what it reports of it."""
        if self._again(member, told):
            gone = away(told)
            return replace(member, state="gone" if gone else "running", reason=gone), None
        if not _reports(member, told):
            return self.lying(member, told, now)
        why = told.order_problem or "it gives no reason"
        if told.order_state == "back":
            return replace(member, state="back", reason=f"took it back by itself: {why}"), None
        if told.order_state == "failed":
            return replace(member, state="failed", reason=f"could not install it: {why}"), None
        if told.order_state != "kept":
            return self._on_trial(member, told, now), None
        if told.version and told.version != self.version:
            reason = f"runs {told.version} again: somebody has changed it there"
            return replace(member, state="changed", reason=reason), None
        if gone := away(told):
            return replace(member, state="gone", reason=gone), None
        return replace(member, state="running", reason=""), None

    def _again(self, member: Member, told: Told) -> bool:
        """Return whether a device has it again, since a later one was taken back there."""
        return bool(member.got) and told.order.startswith(BACK) and told.version == self.version

    def _on_trial(self, member: Member, told: Told, now: float) -> Member:
        if told.online:
            return replace(member, state="trying", reason=NEWS.get(told.order_state, told.order_state))
        if member.state == "gone" or (member.state == "trying" and now - member.changed >= COMES_BACK_S):
            return replace(member, state="gone", reason=_LOST)
        return replace(member, state="trying", reason="it restarts")

    def lying(self, member: Member, told: Told, now: float) -> Step:
        """Return a device on which the release lies: its installer takes it from there."""
        if not told.online:
            late = member.state == "gone" or now - member.changed >= COMES_BACK_S
            return (replace(member, state="gone", reason=_LOST) if late else member), None
        if member.state == "gone" or now - member.changed < _TAKEN_S:
            return replace(member, state="sent"), None
        return replace(member, state="failed", reason="has the release, and its installer does not take it"), None

    def backward(self, member: Member, told: Told, now: float) -> Step:
        """Return a device that shall run the release before."""
        if member.state in ("waiting", "returned"):
            return member, None
        if not member.order:  # it was never asked, or has refused
            return replace(member, state="returned", reason=_kept(member) or "it never got the candidate"), None
        going_back = member.order.startswith(BACK)
        if told.busy:
            fetches = member.state == "sent" and not going_back
            return replace(member, reason=_then_back("it fetches the release")) if fetches else member, None
        if going_back:
            return self._going_back(member, told, now)
        reports = _reports(member, told)
        if reports and told.order_state in NEWS and self._must_be_awaited(member, told, now):
            return replace(member, reason=_then_back(NEWS[told.order_state] if told.online else "it restarts")), None
        if reports and told.order_state in ("back", "failed"):
            return replace(member, state="returned", reason=_kept(member) or told.order_problem), None
        if not told.online:
            return replace(member, state="gone", reason=f"{away(told)}: it goes back when it comes back"), None
        if told.version == self.version:
            after = replace(member, state="sent", reason=_kept(member) or SENT_BACK)
            return replace(after, order=BACK, fetched=False, tries=1), "rollback"
        if reports or member.state in OUT or now - member.changed >= _LASTS_S:
            return replace(member, state="returned", reason=_kept(member)), None
        if member.fetched and now - member.changed < _TAKEN_S:
            return member, None  # its installer is about to take it
        return replace(member, state="gone", reason="does not say whether it has the release"), None

    def _going_back(self, member: Member, told: Told, now: float) -> Step:
        """Return a device that was ordered to go back."""
        reports = _reports(member, told)
        if reports and told.order_state in ("back", "failed") and told.version == self.version:
            return replace(member, state="stuck", reason=_stuck(told.order_problem)), None
        if not told.online:
            return replace(member, state="gone", reason=f"{away(told)}: it goes back when it comes back"), None
        if reports and told.order_state in NEWS:
            return replace(member, state="sent"), None
        if told.version and told.version != self.version:
            return replace(member, state="returned", reason=_returned(member, told)), None
        if member.fetched:  # it has taken the order
            late = now - member.changed >= _TAKEN_S
            return (replace(member, state="stuck", reason=_stuck("it tells nothing")), None) if late else (member, None)
        again_s = SOON_S if member.tries == 1 else AGAIN_S
        if now - member.changed < again_s and member.state != "gone":
            return member, None
        if member.tries >= TRIES and member.state != "gone":
            return replace(member, state="stuck", reason=_stuck(member.reason)), None
        return replace(member, state="sent", tries=member.tries + 1), "rollback"

    def _must_be_awaited(self, member: Member, told: Told, now: float) -> bool:
        """Return whether a release on trial cannot be ordered back now.

        While it is installed, and until it counts, the installer takes no other order; that ends within minutes.
        """
        if told.online:
            return told.order_state != "counts" or told.version != self.version
        return member.state in ("sent", "trying") and now - member.changed < COMES_BACK_S and not told.absent

    def lost(self, member: Member, told: Told) -> bool:
        """Return whether a device has not come back since it was installed."""
        return not member.got and self.has(member, told) and (told.order_state in NEWS or not _reports(member, told))

    def left(self, _member: Member, _told: Told) -> bool:
        """Return False: what is left to do is in the states of the devices."""
        return False

    def vain(self, _told: Told) -> bool:
        """Return False: an order is carried out once, and nothing keeps it."""
        return False


def _reports(member: Member, told: Told) -> bool:
    """Return whether a device reports of the newest order to it."""
    return bool(member.order) and told.order == member.order


def _then_back(news: str) -> str:
    """Return what a device does that cannot be called off."""
    return f"{news}: it goes back when that is over"


def _kept(member: Member) -> str:
    """Return the reason of a device that stays with it: why it took the release back by itself, or why not at all."""
    return member.reason if member.state in WHY else ""


def _returned(member: Member, told: Told) -> str:
    other = member.former and told.version != member.former
    told_version = f"went back to {told.version}, and had {member.former} before" if other else ""
    return told_version or (member.reason if member.reason != SENT_BACK and member.state == "sent" else "")


def _stuck(why: str) -> str:
    return f"has kept the candidate, a person must look: {why or 'it gives no reason'}"
