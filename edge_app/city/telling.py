"""Put what was read into answers. Pure: no clock, no I/O."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final, get_args
from zoneinfo import ZoneInfo

from edge_app.city.calendar import moment, step_around
from edge_app.city.count_answers import CountsOfStep, Hours, LostDay
from edge_app.city.database.days import DAY_S
from edge_app.city.database.lost import LostFile
from edge_app.city.database.reading import AnyStep, Site, Total
from edge_app.city.database.recent import Recent
from edge_app.city.database.steps import HourSum
from edge_app.city.fleet_answers import DeviceAnswer
from edge_app.city.gap_answers import (
    Aside,
    AsideMessages,
    ClosedGapAnswer,
    Contradicted,
    Contradictions,
    GapPage,
    Whole,
)
from edge_app.city.inventory_files import feature
from edge_app.city.records import Change, number_in
from edge_app.city.site_answers import ChangeAnswer, LastMinutes, SiteAnswer, State, Way
from edge_app.city.sums import QUARTER_S, is_new
from edge_app.city.usual import SEEN
from edge_app.http.problems import Reason, because
from edge_app.mqtt.office_messages import ConfigState
from edge_app.records import DIRECTIONS, VEHICLES

_OFFICE_STATES: Final[Collection[str]] = get_args(ConfigState)
LATE_S: Final = 900
"""A device that is online and has told nothing for so long is late, where its intervals are not longer."""
_DELIVERY_S: Final = 60
"""Time for a long interval to be closed, to arrive and to be added up."""
_DISTRUSTED: Final[Mapping[State, str]] = {
    "moved": "The camera was moved: its lines lie elsewhere on the road, and counts cannot be trusted.",
    "blurred": "The picture is blurred: counts cannot be trusted.",
    "slow": "Frames come too rarely for the traffic.",
}
"""Quality flags, the worst first, with which a device counts something other than what passes; with their sentence.
Each is also the code of its reason."""
_ESTIMATED: Final = ("quarter", "hour")
LAST_S: Final = 3 * 3600
"""Time before now in which every quarter begins that is `newest_seen`, where no interval is longer than an hour."""
_PAIRS: Final = [(name, direction) for name in VEHICLES for direction in DIRECTIONS]


def end_of(total: Total, step: AnyStep, tz: ZoneInfo) -> int:
    """Return the end of a step."""
    return total.start + QUARTER_S if step == "quarter" else step_around(total.start, step, tz)[1]


def counts_of(
    total: Total,
    step: AnyStep,
    tz: ZoneInfo,
    classes: Collection[str] = VEHICLES,
    *,
    estimated_until: float | None = None,
) -> CountsOfStep:
    """Return a step as the API tells it.

    classes: that are asked for. estimated_until: UTC s, by which a step that is estimated too is over; None for no
    estimates. A longer step than an hour has none: a night that was not seen is not as the day.
    """
    end = end_of(total, step, tz)
    length = end - total.start
    counts: dict[str, dict[str, int]] = {name: {} for name in VEHICLES if name in classes}
    for (name, direction), many in zip(_PAIRS, total.counts, strict=True):
        if name in classes:
            counts[name][direction] = many
    seen = min(1.0, total.seen_s / length)
    is_over = estimated_until is not None and end <= estimated_until
    estimates = is_over and step in _ESTIMATED and seen >= SEEN
    return CountsOfStep(
        start=moment(total.start),
        end=moment(end),
        covered=round(seen, 4),
        flagged=round(min(1.0, total.flagged_s / length), 4),
        late=round(min(1.0, total.late_s / length), 4),
        synthetic=total.synthetic,
        straddling_s=total.straddling_s,
        length_s=total.length_s,
        seen_s=round(total.covered_s, 1),
        late_s=total.late_s,
        counts=counts,
        flags=sorted(total.flags),
        doubtful=total.doubtful,
        estimated=_grown(counts, 1 + length * (1 - seen) / total.covered_s) if estimates and total.covered_s else None,
    )


def _grown(counts: Mapping[str, Mapping[str, int]], scale: float) -> dict[str, dict[str, float]]:
    return {name: {way: round(many * scale, 1) for way, many in ways.items()} for name, ways in counts.items()}


def hours_of(site: Site, tz: ZoneInfo, begin: int, sums: Sequence[HourSum]) -> Hours:
    """Return the hours of a site as columns. tz: whose they are. begin: from which times are counted, UTC s."""
    ends = [step_around(one.start, "hour", tz)[1] for one in sums]
    return Hours(
        site=site.row.id,
        time_zone=tz.key,
        start=moment(begin),
        seconds=[one.start - begin for one in sums],
        vehicles=[one.vehicles for one in sums],
        covered=[round(min(1.0, one.seen_s / (end - one.start)), 3) for one, end in zip(sums, ends, strict=True)],
        seen_s=[round(one.covered_s, 1) for one in sums],
        synthetic=[one.synthetic for one in sums],
    )


def newest_seen(totals: Iterable[Total], now: int) -> Total | None:
    """Return the newest quarter whose intervals are over, which `is_new`, and was seen by half at least.

    totals: quarters of a site, by time. now: UTC s.
    """
    over = [total for total in totals if is_new(total.start, total.straddling_s, now) and counted_until(total) <= now]
    return next((one for one in reversed(over) if one.covered_s >= SEEN * max(QUARTER_S, one.length_s)), None)


def counted_until(quarter: Total) -> int:
    """Return when the last interval that counts in a quarter ends, or the quarter where none reaches beyond; UTC s."""
    return quarter.start + QUARTER_S + quarter.straddling_s


def site_of(site: Site, now: float, recent: Recent | None = None) -> SiteAnswer:
    """Return a site with its state at this time, UTC s. recent: its last minutes."""
    row, (state, why) = site.row, _state(site, now)
    words = why.parameters.get("device_says")
    return SiteAnswer(
        id=row.id,
        road=row.road,
        lat=row.lat,
        lon=row.lon,
        course=row.course,
        time_zone=row.time_zone,
        left_to_right=Way(name=row.left_name, bearing_deg=row.left_bearing),
        right_to_left=Way(name=row.right_name, bearing_deg=row.right_bearing),
        lanes=row.lanes,
        public=row.public,
        state=state,
        state_reason=str(words or why.detail),
        state_code=why.code,
        state_parameters=why.parameters,
        device=f"{row.topic_site}/{row.device}" if row.device else "",
        line=site.line,
        turned=bool(row.turned),
        newest=moment(site.newest) if site.newest else None,
        synthetic=site.synthetic,
        last_minutes=_last_minutes(recent) if recent else None,
    )


def _last_minutes(recent: Recent) -> LastMinutes:
    left, right = recent.vehicles
    seen_s = round(recent.seen_s, 1)
    return LastMinutes(
        end=moment(recent.end), length_s=recent.length_s, seen_s=seen_s, left_to_right=left, right_to_left=right
    )


def geojson_of(sites: Iterable[SiteAnswer]) -> str:
    """Return sites as a FeatureCollection (RFC 7946); the position of one without is null."""
    features = []
    for site in sites:
        told = site.model_dump(mode="json", exclude={"id", "lat", "lon", "last_minutes"})
        features.append(feature(site.id, site.lat, site.lon, told))
    return json.dumps({"type": "FeatureCollection", "features": features}, ensure_ascii=False) + "\n"


def _state(site: Site, now: float) -> tuple[State, Reason]:
    """Return the state of a site and why; what its device itself says of that is the parameter `device_says`."""
    device = site.device
    if device is None and site.row.device:
        return "unknown", because("The device has not been heard yet.", code="not_heard")
    if device is None:
        return "unknown", because("No device is attached.", code="no_device")
    quality, problem = device.health.get("quality", ()), device.health.get("problem", "")
    says = {"device_says": problem} if problem else {}
    if device.state != "online":
        return "offline", because(f"The device is {device.state}.", code=f"device_{device.state}")
    if "blind" in quality or device.health.get("source", {}).get("state", "ok") != "ok":
        return "blind", because("The camera sees nothing.", code="sees_nothing", **says)
    for flag, why in _DISTRUSTED.items():
        if flag in quality:
            return flag, because(why, code=flag, **says)
    # The newest interval has begun before the end of that quarter, and the next one is due when it and that are over.
    if site.newest and now - site.newest > QUARTER_S + max(LATE_S, 2 * site.longest_s + _DELIVERY_S):
        minutes = int(now - site.newest - QUARTER_S - site.longest_s) // 60  # at least: it may have begun earlier
        return "late", because(f"Nothing has come of the last {minutes} minutes.", code="late", minutes=minutes)
    return "counting", because("", code="")


def change_of(change: Change) -> ChangeAnswer:
    """Return a change at a site."""
    return ChangeAnswer.model_validate({**asdict(change), "at": moment(change.at)})


def device_of(row: Any) -> DeviceAnswer:
    """Return a device with its last health."""
    health: Mapping[str, Any] = row.health
    reported = row.reported or {}
    told = reported.get("state")
    office: Any = told if told in _OFFICE_STATES else "unknown"
    return DeviceAnswer(
        device=f"{row.topic_site}/{row.device}",
        state=row.state,
        heard=moment(row.heard),
        version=row.version,
        contract=row.contract,
        unsent=health.get("unsent"),
        lost=health.get("lost"),
        temperature_c=health.get("temperature_c"),
        frames_per_s=health.get("frames_per_s"),
        certificate_ends=health.get("certificate_ends"),
        quality=health.get("quality", ()),
        problem=health.get("problem", ""),
        model=row.meta.get("model", ""),
        model_name=row.meta.get("model_name", ""),
        config=row.meta.get("config", ""),
        drift=health.get("drift", ()),
        office=office,
        revision=reported.get("revision", 0),
    )


def lost_day_of(lost: LostFile) -> LostDay:
    """Return a file that is lost for good."""
    return LostDay(
        start=moment(lost.file.day),
        end=moment(lost.file.day + DAY_S),
        file=lost.file.name,
        intervals=lost.file.intervals,
        reason=lost.reason,
        noted=moment(lost.at),
    )


def whole_of(
    page: GapPage,
    closed: Iterable[Any],
    lost: Iterable[LostFile],
    contradictions: Contradictions,
    aside: AsideMessages,
    *,
    contradictions_so_far: int,
    aside_so_far: int,
) -> Whole:
    """Return what is missing, what contradicts and what was kept aside; of both latter ones the number so far too."""
    return Whole(
        gaps=page.gaps,
        next=page.next,
        found=page.found,
        closed=[
            ClosedGapAnswer(
                line=f"{row.topic_site}/{row.device}/{row.name}",
                installation=row.installation,
                first=row.first,
                last=row.last,
                lost=row.lost,
                asked=moment(row.asked),
                closed=moment(row.closed),
            )
            for row in closed
        ],
        lost=[lost_day_of(one) for one in lost],
        contradictions=contradictions.contradictions,
        contradictions_next=contradictions.next,
        contradictions_so_far=contradictions_so_far,
        aside=aside.aside,
        aside_next=aside.next,
        aside_so_far=aside_so_far,
    )


def contradictions_of(rows: Sequence[Any], most: int) -> Contradictions:
    """Return a page of contradictions. rows: one more than `most`, where there are so many."""
    told = [
        Contradicted(
            line=f"{row.topic_site}/{row.device}/{row.name}",
            kind=row.kind,
            what=row.what,
            number=number_in(row.kind, row.what),
            start=moment(row.start),
            end=moment(row.stop),
        )
        for row in rows[:most]
    ]
    return Contradictions(contradictions=told, next=next_of(rows, most))


def aside_of(rows: Sequence[Any], most: int) -> AsideMessages:
    """Return a page of messages that were kept aside. rows: one more than `most`, where there are so many."""
    told = [Aside(topic=row.topic, reason=row.reason, arrived=moment(row.arrived)) for row in rows[:most]]
    return AsideMessages(aside=told, next=next_of(rows, most))


def next_of(rows: Sequence[Any], most: int) -> str | None:
    """Return what the next page comes after: the id of the last row of this one, None where no more follow."""
    return str(rows[most - 1].id) if len(rows) > most else None
