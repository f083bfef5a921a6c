"""Put what was read of the fleet into answers. Pure: no clock, no I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edge_app.city.calendar import moment
from edge_app.city.database.changes import Use
from edge_app.city.database.devices import Day
from edge_app.city.database.rollouts import Kept
from edge_app.city.desired import Genuine, origin_of
from edge_app.city.fleet_answers import (
    ConfigUse,
    DeviceDay,
    EventAnswer,
    Fleet,
    GroupAnswer,
    LineAnswer,
    MemberAnswer,
    OfficeLayer,
    OrderAnswer,
    RolloutAnswer,
    RolloutWhole,
    Sums,
    Tally,
)
from edge_app.city.telling import device_of
from edge_app.city.wording import parts_of
from edge_app.records import DIRECTIONS
from edge_app.rollout.wanted_release import WantedRelease
from edge_app.system.topics import DESIRED

_KEPT_OF_LINE = ("lanes", "queue", "enters")


def fleet_of(tallies: Mapping[str, Counter[Any]]) -> Fleet:
    """Return what the fleet runs."""

    def told(name: str) -> list[Tally]:
        return [Tally(value=value, devices=many) for value, many in tallies[name].most_common()]

    models = [Tally(value=model, name=name, devices=many) for (model, name), many in tallies["model"].most_common()]
    drifting = sum(many for drift, many in tallies["drift"].items() if drift)
    return Fleet(
        devices=sum(tallies["state"].values()),
        drifting=drifting,
        states=told("state"),
        versions=told("version"),
        models=models,
        office=told("office"),
    )


def lines_of(meta: Mapping[str, Any]) -> list[LineAnswer]:
    """Return the lines of a device as its configuration file would have them. meta: as it was stored."""
    return [_line_of(line) for line in meta.get("lines", ())]


def _line_of(line: Mapping[str, Any]) -> LineAnswer:
    told: dict[str, Any] = {name: line[name] for name in _KEPT_OF_LINE if line.get(name) is not None}
    for direction in DIRECTIONS:
        known = line.get("directions", {}).get(direction, {})
        told[direction] = known.get("name") or line.get("names", {}).get(direction)
        told[f"{direction}_bearing_deg"] = known.get("bearing_deg")
    return LineAnswer(id=line["id"], start=line["start"], end=line["end"], road=line.get("road") or None, **told)


def day_of(day: Day) -> DeviceDay:
    """Return how a device has done on a day."""
    possible = day.possible_s
    return DeviceDay(
        start=moment(day.start),
        end=moment(day.end),
        seen=min(1.0, day.seen_s / possible) if possible else None,
        flagged=min(1.0, day.flagged_s / possible) if possible else None,
        flags=day.flags,
    )


def use_of(use: Use) -> ConfigUse:
    """Return a configuration that a device has counted under."""
    model_before, before = use.before or (None, None)
    return ConfigUse(
        at=moment(use.at),
        config=use.config,
        model=use.model,
        before=before,
        model_before=model_before,
        drawn=use.drawn,
        keys=use.keys,
    )


def layer_of(row: Any, root: str, is_genuine: Genuine | None) -> OfficeLayer:
    """Return what the office sets on a device, from whom that is, and what the device says of it.

    root: beginning of all topics. is_genuine: None while the office's public key is not known.
    """
    desired, origin = row.desired, None
    if desired:
        highest = (row.reported or {}).get("highest", 0)
        origin = origin_of(desired, highest, f"{root}/{row.topic_site}/{row.device}/{DESIRED}", is_genuine)
        desired = {name: value for name, value in desired.items() if name != "message"}
    return OfficeLayer(state=device_of(row).office, desired=desired, origin=origin, reported=row.reported)


def order_of(row: Any, files: Collection[int]) -> OrderAnswer:
    """Return an order. files: ids of those for which a device has sent something that is still there."""
    return OrderAnswer(
        id=row.id,
        at=moment(row.at),
        who=row.who,
        kind=row.kind,
        subject=row.subject,
        args=row.args,
        state=row.state,
        answer=row.answer,
        answer_parts=parts_of(row.answer),
        changed=moment(row.changed),
        file=row.id in files,
    )


def rollout_of(kept: Kept, groups: Mapping[int, Counter[str]]) -> RolloutAnswer:
    """Return a roll-out. groups: number, from 0 -> devices by state."""
    one = kept.rollout
    return RolloutAnswer(
        id=kept.id,
        name=one.name,
        kind=one.wanted.kind,
        candidate=one.wanted.candidate,
        version=one.wanted.version if isinstance(one.wanted, WantedRelease) else "",
        state=one.state,
        group=one.group + 1,
        groups=[_group_of(number, states, one.begins) for number, states in sorted(groups.items())],
        why=one.why,
        why_parts=parts_of(one.why),
        who=one.who,
        changed=moment(int(one.changed)),
    )


def _group_of(number: int, states: Counter[str], begins: Sequence[float]) -> GroupAnswer:
    begun = moment(int(begins[number])) if number < len(begins) else None
    by_state: Any = states
    return GroupAnswer(number=number + 1, devices=sum(states.values()), begun=begun, states=by_state)


def rollout_whole_of(
    kept: Kept, groups: Mapping[int, Counter[str]], members: Sequence[Any], events: Sequence[Any]
) -> RolloutWhole:
    """Return a roll-out with what it is judged by. members, events: rows of their tables."""
    evidence = kept.evidence
    return RolloutWhole(
        rollout=rollout_of(kept, groups),
        decision=evidence.decision,
        reasons=evidence.reasons,
        reasons_parts=[parts_of(reason) for reason in evidence.reasons],
        hours=evidence.hours,
        judged=moment(int(evidence.at)) if evidence.at else None,
        sums=[Sums(name=name, candidate=pair[0], before=pair[1]) for name, pair in evidence.sums.items()],
        lacking=evidence.open,
        starves=evidence.starves,
        leans=evidence.leans,
        leans_parts=parts_of(evidence.leans),
        since=moment(int(kept.rollout.since)),
        hours_of_group=kept.rollout.cascade.hours,
        members=[
            MemberAnswer(
                device=f"{row.topic_site}/{row.device}",
                group=row.group_no + 1,
                state=row.state,
                reason=row.reason,
                reason_parts=parts_of(row.reason),
                changed=moment(row.changed),
            )
            for row in members
        ],
        events=[
            EventAnswer(
                at=moment(row.at),
                who=row.who,
                what=row.what,
                subject=row.subject,
                why=row.why,
                why_parts=parts_of(row.why),
            )
            for row in events
        ],
    )
