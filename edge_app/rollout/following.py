"""Follow a device that gets a release without an order of its own, with the first camera of its machine. Pure.

Several cameras of one machine share the program. The first one takes the order; the others count with what it has, and
are judged as all devices are.
"""

from __future__ import annotations

from dataclasses import replace

from edge_app.rollout.members import Aim, Member, Told, Wanted, away


def followed(member: Member, told: Told, aim: Aim, now: float, wanted: Wanted) -> Member:
    """Return a device as it is now. member: one with `follows`. now: UTC s."""
    runs = wanted.runs(told.model, told.version)
    after = _backward(member, told, runs=runs) if aim == "former" else _forward(member, told, runs=runs)
    if after.state == "running" and not after.got:
        after = replace(after, got=now)
    return replace(after, changed=now) if after.state != member.state else after


def _forward(member: Member, told: Told, *, runs: bool) -> Member:
    if why := away(told):
        return replace(member, state="gone", reason=why) if member.got else member
    if runs:
        return replace(member, state="running", reason="")
    if member.got:
        return replace(member, state="waiting", reason=f"runs {told.version} again, as {member.follows}")
    return replace(member, former=told.version or member.former, drifted=told.drifted)


def _backward(member: Member, told: Told, *, runs: bool) -> Member:
    if not member.got or member.state == "returned":
        return member
    if not told.online:
        return replace(member, state="gone", reason=f"{away(told)}: it goes back with {member.follows}")
    if runs:
        return replace(member, state="sent", reason=f"it goes back with {member.follows}")
    return replace(member, state="returned", reason="")
