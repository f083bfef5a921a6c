"""Put together what a roll-out is judged by, from what the city has stored: all hours that are over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final
from zoneinfo import ZoneInfo

from edge_app.city.calendar import offset_s
from edge_app.city.compared import is_night
from edge_app.city.database.comparing import HOUR_S, Pair, read_pairs
from edge_app.city.database.engine import Connection
from edge_app.city.database.figures import read_output
from edge_app.city.database.hours import read_hours
from edge_app.rollout.leading import Evidence, Rollout, evidence_of
from edge_app.rollout.members import OUT, Member
from edge_app.rollout.output_rule import FIGURES, OutputRule, shifts, usual_of
from edge_app.rollout.stop_rule import Decision, StopRule
from edge_app.rollout.usual_rule import WEEKS, Hour, UsualRule, Vehicles, expected, usual_hour

_LATE_S: Final = 300
"""An hour is looked at when it is over for so long: its last intervals have come."""
_FIGURES_LATE_S: Final = 1200
"""The same of figures: a quarter of an hour is told with the messages of the next one."""
_WEEK_S: Final = 7 * 86_400
_MOST_JUDGED: Final = 200
"""Devices with it whose usual counts are read; the first ones, which were judged longest, are among them."""
_MOST_OTHERS: Final = 50
_LOOKED_S: Final = 14 * 86_400
"""Time before a roll-out whose output is the usual one."""
_MOST_TOLD: Final = 10
_MOST_TOLD_OTHERS: Final = 20
"""Devices of each group, and others without the candidate, whose output is read."""
UNPAIRED_HOURS: Final = 6
"""Whole hours without a comparison after which that is told: a device that rests at noon compares at night."""
_UTC: Final = ZoneInfo("UTC")
Zones = Mapping[str, ZoneInfo]
"""Time zones of devices."""


def read_evidence(
    connection: Connection, rollout: Rollout, members: Mapping[str, Member], zones: Zones, now: float
) -> Evidence:
    """Return what a roll-out is judged by. members: by name. now: UTC s."""
    read = _of_release if rollout.wanted.kind == "release" else _of_detector
    return read(connection, rollout, members, zones, now)


def _of_detector(
    connection: Connection, rollout: Rollout, members: Mapping[str, Member], zones: Zones, now: float
) -> Evidence:
    formers = {name: one.former[:12] for name, one in members.items() if one.former}
    since, until = int(rollout.begins[0]), int(now) - _LATE_S - HOUR_S
    pairs = read_pairs(connection, rollout.wanted.candidate[:12], formers, since - HOUR_S, until + 1)
    rule = StopRule(group=rollout.group)
    for (hour, name), (candidate, before) in sorted(pairs.items()):
        night = is_night(hour, zones.get(name, _UTC))
        rule.add(candidate, before, night=night, group=members[name].group)
    found = evidence_of(rule, now)
    # Pairs are of the frames that were processed: what is lost with the others shows beside the usual day.
    usual = _usual(connection, rollout, members, zones, now).reasons()
    output = _output(connection, rollout, members, now)
    reasons, unpaired = (*found.reasons, *usual, *output.reasons()), tuple(_unpaired(pairs, members, until))
    leans = "" if reasons else output.leans()
    decision: Decision = "stop" if reasons else "wait" if leans else found.decision
    return replace(found, decision=decision, reasons=reasons, unpaired=unpaired, leans=leans)


def _output(connection: Connection, rollout: Rollout, members: Mapping[str, Member], now: float) -> OutputRule:
    """Return the rule that has seen what devices tell of the output of their detectors."""
    begin, until = -(-int(rollout.begins[0]) // HOUR_S) * HOUR_S, (int(now) - _FIGURES_LATE_S) // HOUR_S * HOUR_S
    rule, groups = OutputRule(), range(rollout.group + 1)
    running = [one for one in members.values() if one.state == "running" and one.got]
    mine = [one for group in groups for one in [each for each in running if each.group == group][:_MOST_TOLD]]
    others = [one.name for one in members.values() if not one.got][:_MOST_TOLD_OTHERS]
    names = [*(one.name for one in mine), *others]
    hours = read_output(connection, names, FIGURES, begin - _LOOKED_S, until) if mine and others else {}
    usual = {name: usual_of({at: told for at, told in of.items() if at < begin}) for name, of in hours.items()}
    for at in range(begin, until, HOUR_S):
        shifted = shifts(at, {name: hours[name][at] for name in others if at in hours.get(name, ())}, usual)
        for one in mine:
            if one.got <= at and at in hours.get(one.name, ()):
                rule.add(one.name, at, hours[one.name][at], usual[one.name], shifted, group=one.group)
    return rule


def _unpaired(pairs: Mapping[tuple[int, str], Pair], members: Mapping[str, Member], until: int) -> Iterator[str]:
    """Yield the devices that run the candidate, and on which nothing was compared with it. until: UTC s."""
    since = until - UNPAIRED_HOURS * HOUR_S
    compared = {name for hour, name in pairs if hour > since}
    for name, one in sorted(members.items()):
        if one.state == "running" and one.got <= since and name not in compared:
            yield name


def _of_release(
    connection: Connection, rollout: Rollout, members: Mapping[str, Member], zones: Zones, now: float
) -> Evidence:
    return _usual(connection, rollout, members, zones, now).evidence(now)


def _usual(
    connection: Connection, rollout: Rollout, members: Mapping[str, Member], zones: Zones, now: float
) -> UsualRule:
    """Return the rule that has seen what the devices with it count beside what is usual there."""
    names = _judged(members)
    begin = -(-int(rollout.begins[0]) // HOUR_S) * HOUR_S
    until = (int(now) - _LATE_S) // HOUR_S * HOUR_S
    hours = read_hours(connection, names, _spans(begin, until)) if names and until > begin else {}
    lines: Mapping[str, list[str]] = {name: [] for name in names}
    for line in sorted({line for _, line in hours}):
        lines[line.rpartition("/")[0]].append(line)
    rule = UsualRule(rollout.cascade.failed, more=rollout.wanted.kind == "release", group=rollout.group)
    for hour in range(begin, until, HOUR_S):
        of_hour = _hour(hours, lines, members, zones, hour, begin)
        for name, (counted, usual) in sorted(expected(of_hour).items()):
            night = is_night(hour, zones.get(name, _UTC))
            rule.add(name, counted, usual, night=night, group=members[name].group)
    return rule


def _spans(begin: int, until: int) -> list[tuple[int, int]]:
    """Return the time since a roll-out began, and the same hours of the weeks before.

    With those beside them: where clocks were changed since, these are the same ones.
    """
    lasted = min(until - begin, _WEEK_S)
    before = (begin - week * _WEEK_S for week in range(1, WEEKS + 1))
    return [(begin, until), *((at - HOUR_S, at + lasted + HOUR_S) for at in before)]


def _judged(members: Mapping[str, Member]) -> list[str]:
    """Return the devices whose counts are read: of those that have it, and of others by which an hour is judged.

    One that took it back, or on which a person has changed it, counts with something else.
    """
    have = [one.name for one in members.values() if one.got and one.state not in OUT]
    others = [one.name for one in members.values() if not one.got]
    return have[:_MOST_JUDGED] + others[:: max(1, len(others) // _MOST_OTHERS)][:_MOST_OTHERS]


def _hour(
    hours: Mapping[tuple[int, str], Vehicles],
    lines: Mapping[str, Sequence[str]],
    members: Mapping[str, Member],
    zones: Zones,
    hour: int,
    begin: int,
) -> Hour:
    """Return what is known of an hour, of lines that have counted in it and before: people draw lines, and remove them.

    A device that got it in that hour is left out. lines: of each device. begin: of the roll-out.
    """
    counted, usual = dict[str, Vehicles](), dict[str, Vehicles]()
    for name, its_lines in lines.items():
        offset, got = partial(offset_s, tz=zones.get(name, _UTC)), members[name].got
        present = [] if hour < got < hour + HOUR_S else [line for line in its_lines if (hour, line) in hours]
        before = {line: usual_hour(hours, line, hour, begin, offset) for line in present}
        known = {line: of_line for line, of_line in before.items() if of_line is not None}
        if known:
            counted[name] = _added(hours[hour, line] for line in known)
            usual[name] = _added(known.values())
    return Hour(counted, usual, {name for name in counted if 0.0 < members[name].got <= hour})


def _added(parts: Iterable[Vehicles]) -> Vehicles:
    sums = Counter[str]()
    for part in parts:
        sums.update(part)
    return dict(sums)
