"""Show roll-outs in the terminal: all of them, and one with its devices, what it is judged by, and its history."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Final

from edge_app.system.names import clean

if TYPE_CHECKING:
    from edge_app.city.database.rollouts import Kept
    from edge_app.rollout.leading import Rollout
    from edge_app.rollout.members import Member, MemberState

_MOST_EVENTS: Final = 30
_MOST_DEVICES: Final = 50
_STATES: Final[Mapping[MemberState, str]] = {
    "waiting": "waiting",
    "sent": "sent",
    "trying": "on trial",
    "running": "running",
    "back": "gone back",
    "refused": "refuses it",
    "failed": "could not get it",
    "changed": "changed by a person",
    "stuck": "cannot go back",
    "gone": "gone",
    "returned": "as before",
}
"""States of a device for people, for one and for several."""
_NEVER: Final = "did not get it"
_DECISIONS: Final = {
    "stop": "What was compared stops it",
    "pass": "What was compared lets this group pass",
    "wait": "What was compared is not enough yet to stop it, or to let it go on",
}
_HOUR_S: Final = 3600
NOBODY: Final = (
    "No process of the office runs: sudo systemctl enable --now edge-app-city-office, or edge-app fleet serve"
)


def show_all(connection: Any, found: Sequence[Kept]) -> None:
    """Print each roll-out with its whole name, by which the other commands ask for it."""
    from edge_app.city.database.rollouts import read_members

    for kept in found:
        print("\n".join(in_lines(kept.rollout, read_members(connection, kept.id))))


def in_lines(one: Rollout, members: Sequence[Member]) -> list[str]:
    """Return the lines of one roll-out in the list of all."""
    from edge_app.rollout.leading import words

    groups = 1 + max((member.group for member in members), default=0)
    running = sum(member.state == "running" for member in members)
    far = f"group {one.group + 1} of {groups}, {running} of {len(members)} devices run it"
    return [one.name, f"  {one.wanted.words}: {words(one.state)}, {far}", f"  {clean(one.why)}"]


def show_one(connection: Any, kept: Kept) -> None:
    from edge_app.city.database.orders import read_holder
    from edge_app.city.database.rollouts import read_events, read_members
    from edge_app.rollout.leading import words
    from edge_app.rollout.members import OUT

    one, members = kept.rollout, read_members(connection, kept.id)
    now = time.time()
    print(f"{one.name}: {words(one.state)} since {_at(one.changed)}, by {_person(one.who)}")
    print(f"  {clean(one.why)}")
    print(f"{one.wanted.words}, from {one.bundle['url']}\n")
    _show_groups(one, members)
    _show_evidence(kept)
    _show_open(kept, now)
    told = [one for one in members if one.reason and one.state in (*OUT, "gone", "trying", "sent", "running")]
    for member in sorted(told, key=lambda one: one.state)[:_MOST_DEVICES]:
        state = f"gone since {_at(member.changed)}" if member.state == "gone" else _STATES[member.state]
        print(f"{member.name}: {member.reason if member.reason.startswith(state) else f'{state}, {member.reason}'}")
    if len(told) > _MOST_DEVICES:
        print(f"... and {len(told) - _MOST_DEVICES} more")
    print()
    events = read_events(connection, kept.id)
    if len(events) > _MOST_EVENTS:
        print(f"... and {len(events) - _MOST_EVENTS} before")
    for event in events[-_MOST_EVENTS:]:
        about = f"{event.subject}: " if event.subject else ""
        print(f"{_at(event.at)}  {event.what.replace('_', ' ')}: {about}{event.why} (by {_person(event.who)})")
    if one.state in ("running", "taking_back") and not read_holder(connection).alive(now):
        print(f"\n{NOBODY}")


def waiting_for(members: Sequence[Member]) -> Mapping[str, str]:
    """Return what the way back of a roll-out waits for, and for each a device, with the number of others like it."""
    found: dict[str, list[str]] = {}
    for member in members:
        if member.state in ("sent", "trying") and member.reason and not member.follows:
            found.setdefault(clean(member.reason), []).append(member.name)
    return {why: f"{names[0]}{f' and {len(names) - 1} more' * (len(names) > 1)}" for why, names in found.items()}


def _person(who: str) -> str:
    """Return who has decided, for people."""
    from edge_app.rollout.leading import RULE

    return "the rule" if who == RULE else who


def _show_groups(one: Rollout, members: Sequence[Member]) -> None:
    from edge_app.console import terminal

    spared = {"waiting": _NEVER} if one.state in ("taking_back", "taken_back") else {}
    rows = terminal.table("group", "since", "devices", "of them")
    for number in sorted({one.group for one in members}):
        of_group = Counter[str](one.state for one in members if one.group == number)
        since = _at(one.begins[number]) if number < len(one.begins) else "-"
        told = ", ".join(
            f"{of_group[state]} {spared.get(state, text)}" for state, text in _STATES.items() if of_group[state]
        )
        rows.add_row(str(number + 1), since, str(of_group.total()), told)
    rows.columns[-1].no_wrap, rows.columns[-1].justify = False, "left"
    terminal.stdout().print(rows)


def _show_evidence(kept: Kept) -> None:
    from edge_app.console import terminal

    evidence = kept.evidence
    heads = ("candidate", "before") if kept.rollout.wanted.kind == "detector" else ("with it", "to be expected")
    rows = terminal.table("in all groups", *heads, "change")
    for name, (candidate, before) in evidence.sums.items():
        change = f"{(candidate - before) / before:+.1%}" if before else "-"
        rows.add_row(name, f"{candidate:,.0f}", f"{before:,.0f}", change)
    if evidence.sums:
        terminal.stdout().print(rows)
    group = kept.rollout.group + 1
    if evidence.decision == "pass" and not evidence.hours:
        print(f"There was nothing to compare the counts of group {group} with: health alone decides.")
        return
    print(f"{_DECISIONS[evidence.decision]}: {evidence.hours:,} hours of the devices of group {group} were compared.")
    for reason in evidence.reasons:
        print(f"  {reason}")


def _show_open(kept: Kept, now: float) -> None:
    """Print what the present group still lacks."""
    one, evidence = kept.rollout, kept.evidence
    if one.state not in ("running", "paused"):
        return
    lasted = ((now if one.state == "running" else one.changed) - one.since) / _HOUR_S
    if lasted < one.cascade.hours:
        print(f"Group {one.group + 1} has lasted for {lasted:.1f} of {one.cascade.hours:.0f} hours at least.")
    if evidence.starves:
        print(f"No device of group {one.group + 1} has compared anything, and pairs of other groups let none pass.")
    elif evidence.open:
        print(f"Too little was counted of: {', '.join(evidence.open)}.")
    if evidence.leans:
        print(f"More hours are needed: {evidence.leans}.")


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
