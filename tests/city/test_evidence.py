"""What a roll-out is judged by, from the city's database: whole hours, usual ones, and figures."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import insert, select, update

from edge_app.city.database.comparing import HOUR_S, note_compared
from edge_app.city.database.engine import Database
from edge_app.city.database.figures import forget_figures, read_output
from edge_app.city.database.fleet import note_heard
from edge_app.city.database.hours import read_hours
from edge_app.city.database.rollouts import change_rollout, find_rollout, read_led, read_members
from edge_app.city.database.tables import LINE, QUARTER
from edge_app.city.evidence import read_evidence
from edge_app.city.health_watch import HealthWatch
from edge_app.city.office import KnownDevice
from edge_app.city.rollouts import change_by_hand, start_rollout
from edge_app.errors import ConfigError
from edge_app.mqtt.count_messages import ShadowMessage
from edge_app.mqtt.examples import EXAMPLES
from edge_app.rollout.leading import Evidence, begun
from edge_app.rollout.members import Kind, Member, MemberState
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector
from edge_app.rollout.wanted_release import WantedRelease
from edge_app.system.clock import rfc3339
from tests.support.city_memory import WELL, add_figures, add_hours, add_lines
from tests.support.fleet_city import add_device, add_release_rollout

NOW = 1_796_083_200
DAY = 86_400
WEEK = 7 * DAY
NAMES = [f"harbour/pole-{number}" for number in range(1, 8)]
RELEASE = WantedRelease("c" * 64, "0.2.0")


def remember(database: Database, hours: int, shares: Mapping[str, float]) -> None:
    """Let all devices count 400 an hour in four weeks, and a share of that since."""
    with database.begin() as connection:
        lines = add_lines(connection, NAMES)
        for name, line in lines.items():
            for hour in range(hours):
                for week in range(1, 5):
                    add_hours(connection, {(line, NOW - week * WEEK + hour * HOUR_S): {"car": 400 + hour}})
                counts = {"car": round(shares.get(name, 1.0) * (400 + hour))}
                add_hours(connection, {(line, NOW + hour * HOUR_S): counts})


def judged(database: Database, hours: int, state: MemberState = "running") -> Any:
    """Return the evidence of a release that the first two devices have had from the begin. state: of these."""
    rollout = begun("next", RELEASE, {}, Cascade(), "anna", NOW)
    members = {name: Member(name, 0, state, got=float(NOW)) for name in NAMES[:2]}
    members |= {name: Member(name, 1) for name in NAMES[2:]}
    with database.connect() as connection:
        return read_evidence(connection, rollout, members, {}, NOW + hours * HOUR_S + 600)


@pytest.mark.parametrize(("covered_s", "whole"), [(540.0, True), (539.0, False)])
def test_hours_of_which_less_than_nine_tenths_were_seen_are_left_out(
    database: Database, covered_s: float, whole: bool
) -> None:
    remember(database, 3, {})
    with database.begin() as connection:
        line = add_lines(connection, NAMES)[NAMES[0]]
        at = QUARTER.c.line_id == line, QUARTER.c.start == NOW + HOUR_S
        connection.execute(update(QUARTER).where(*at).values(covered_s=covered_s))
        found = read_hours(connection, NAMES[:2], [(NOW, NOW + 2 * HOUR_S)])
    first, second = (f"{name}/main" for name in NAMES[:2])
    rest = [(NOW, first), (NOW, second), (NOW + HOUR_S, second)]
    assert sorted(found) == sorted([*rest, *[(NOW + HOUR_S, first)] * whole])
    assert found[NOW, first]["car"] == 400


@pytest.mark.parametrize(("share", "rain", "decision"), [(1.0, 1.0, "pass"), (0.5, 0.5, "pass"), (0.5, 1.0, "stop")])
def test_counts_are_compared_with_the_usual_ones_and_with_others(
    database: Database, share: float, rain: float, decision: str
) -> None:
    remember(database, 24, dict.fromkeys(NAMES, rain) | dict.fromkeys(NAMES[:2], share))
    found = judged(database, 24)
    assert (found.decision, found.hours) == (decision, 48)
    assert found.sums["car"][0] == pytest.approx(share * sum(400 + hour for hour in range(24)) * 2, rel=0.01)


@pytest.mark.parametrize(
    ("state", "decision", "hours"),
    [("running", "stop", 60), ("gone", "stop", 60), ("changed", "pass", 0), ("back", "pass", 0)],
)
def test_a_device_that_runs_something_else_by_now_counts_for_nothing(
    database: Database, state: MemberState, decision: str, hours: int
) -> None:
    remember(database, 30, dict.fromkeys(NAMES[:2], 0.3))
    found = judged(database, 30, state)
    assert (found.decision, found.hours) == (decision, hours)


@pytest.mark.parametrize("drawn", [True, False])
def test_a_line_that_is_drawn_or_removed_meanwhile_is_no_other_count(database: Database, *, drawn: bool) -> None:
    remember(database, 30, {})
    with database.begin() as connection:
        for row in connection.execute(select(LINE).where(LINE.c.device.in_(("pole-1", "pole-2")))).mappings().all():
            values = {**row, "name": "second"}
            del values["id"]
            line = connection.execute(insert(LINE).values(values).returning(LINE.c.id)).scalar_one()
            hours = range(NOW, NOW + 24 * HOUR_S, HOUR_S)
            weeks = (0,) if drawn else range(1, 5)
            add_hours(connection, {(line, at - week * WEEK): {"car": 300} for at in hours for week in weeks})
    assert judged(database, 30).decision == "pass"


def test_what_is_usual_is_that_of_the_same_clock_where_clocks_have_been_changed(database: Database) -> None:
    """By UTC each hour of the weeks before lay an hour later, since clocks were set forward in between.

    The two streets that have the release fill in the course of the day, the others empty: by the hour beside, neither
    is as it was.
    """
    zone, change = ZoneInfo("Europe/Berlin"), int(datetime(2027, 3, 28, 1, tzinfo=timezone.utc).timestamp())
    begin = change + 86_400
    with database.begin() as connection:
        lines = add_lines(connection, NAMES)
        for name, line in lines.items():
            for hour in range(-1, 25):
                many = {"car": 100 + 50 * (hour if name in NAMES[:2] else 24 - hour)}
                for week in range(1, 5):
                    add_hours(connection, {(line, begin - week * WEEK + (hour + 1) * HOUR_S): many})
                add_hours(connection, {(line, begin + hour * HOUR_S): many})
    rollout = begun("next", RELEASE, {}, Cascade(), "anna", begin)
    members = {name: Member(name, 0, got=float(begin) if at < 2 else 0.0) for at, name in enumerate(NAMES)}
    zones = dict.fromkeys(NAMES, zone)
    with database.connect() as connection:
        found = read_evidence(connection, rollout, members, zones, begin + 24 * HOUR_S + 600)
    assert found.hours == 48
    assert found.sums["car"][0] == found.sums["car"][1]


def test_the_hour_in_which_a_device_got_it_is_nobodys(database: Database) -> None:
    remember(database, 4, {})
    assert judged(database, 4).hours == 8
    rollout = begun("next", RELEASE, {}, Cascade(), "anna", NOW)
    members = {name: Member(name, 0, got=NOW + 1800.0 if at < 2 else 0.0) for at, name in enumerate(NAMES)}
    with database.connect() as connection:
        found = read_evidence(connection, rollout, members, {}, NOW + 4 * HOUR_S + 600)
    assert found.hours == 6


def test_a_city_that_remembers_nothing_holds_nothing_up(database: Database) -> None:
    found = judged(database, 24)
    assert (found.decision, found.hours) == ("pass", 0)


def compare(database: Database, hours: int, *, silent_from: int) -> None:
    """Let both detectors agree over the frames that were processed; on the second device until some hour."""
    with database.begin() as connection:
        for hour in range(hours):
            for name in NAMES[: 2 if hour < silent_from else 1]:
                site, _, device = name.partition("/")
                start = datetime.fromtimestamp(NOW + hour * HOUR_S, timezone.utc)
                ways = {"car": {"left_to_right": 100 + hour, "right_to_left": 20}}
                told = {**EXAMPLES["shadow"], "site": site, "device": device, "seq": hour, "model": "d" * 12}
                told |= {"id": f"{name}-{hour}", "start": start.isoformat(), "counts": ways}
                told |= {"in_service": {**EXAMPLES["shadow"]["in_service"], "model": "f" * 12, "counts": ways}}
                told |= {"end": (start + timedelta(minutes=1)).isoformat()}
                note_compared(connection, [ShadowMessage.model_validate(told)])


def judged_detector(database: Database, hours: int) -> Evidence:
    """Return the evidence of a detector that the first two devices have had from the begin."""
    rollout = begun("new", WantedDetector("detector.fetched", "d" * 64), {}, Cascade(), "anna", NOW)
    members = {
        name: Member(name, 0, "running", former="f" * 64, got=float(NOW)) if at < 2 else Member(name, 1)
        for at, name in enumerate(NAMES)
    }
    with database.connect() as connection:
        return read_evidence(connection, rollout, members, {}, NOW + hours * HOUR_S + 600)


@pytest.mark.parametrize(("share", "decision"), [(1.0, "pass"), (0.3, "stop"), (1.9, "pass")])
def test_what_a_detector_loses_with_frames_that_it_leaves_out_shows_beside_the_usual_day(
    database: Database, share: float, decision: str
) -> None:
    remember(database, 24, dict.fromkeys(NAMES[:2], share))
    compare(database, 24, silent_from=24)
    found = judged_detector(database, 24)
    assert (found.decision, found.hours, found.unpaired) == (decision, 48, ())
    assert found.sums["car"][0] == found.sums["car"][1], "the pairs see nothing of it"
    if share < 1:
        (why,) = found.reasons
        assert why.startswith(
            f"of 2 devices 2 count otherwise than is usual there; {NAMES[0]} 70% fewer of all classes"
        )


def test_a_device_on_which_nothing_is_compared_is_named_after_six_hours(database: Database) -> None:
    compare(database, 20, silent_from=10)
    assert [judged_detector(database, hours).unpaired for hours in (5, 15, 16, 20)] == [
        (),
        (),
        (NAMES[1],),
        (NAMES[1],),
    ]


@pytest.mark.parametrize(("names", "decision", "hours"), [(NAMES[2:4], "wait", 0), (NAMES[:2], "pass", 48)])
def test_a_group_passes_by_the_pairs_of_its_own_devices(
    database: Database, names: list[str], decision: str, hours: int
) -> None:
    compare(database, 24, silent_from=24)
    rollout = begun("new", WantedDetector("detector.fetched", "d" * 64), {}, Cascade(), "anna", NOW)
    rollout = replace(rollout, group=1, begins=(NOW, NOW + 1.0))
    members = {name: Member(name, int(name in names), "running", former="f" * 64, got=float(NOW)) for name in NAMES[:4]}
    with database.connect() as connection:
        found = read_evidence(connection, rollout, members, {}, NOW + 24 * HOUR_S + 600)
    assert (found.decision, found.hours, found.starves) == (decision, hours, not hours)
    assert found.sums["car"][0] == 2 * sum(120 + hour for hour in range(24)), "sums are of all groups"


def output(doubtful: float | None, crossings: int = 30) -> dict[str, Any]:
    told = {"doubtful_share": doubtful, "fragment_share": 0.08, "died_share": 0.35, "score": 0.9, "detections": None}
    return told | {"directions": {"left_to_right": crossings, "right_to_left": 0}, "classes": {"car": crossings}}


def test_quarters_of_an_hour_weigh_by_their_crossings_and_few_say_nothing(database: Database) -> None:
    with database.begin() as connection:
        for quarter, told in enumerate((output(0.3, 10), output(0.0, 20), output(None, 0), None)):
            at = NOW + 900 * quarter
            add_figures(connection, NAMES[0], at, at + 900, output=told)
        add_figures(connection, NAMES[0], NOW + HOUR_S, NOW + 2 * HOUR_S, output=output(0.5, 4))
        add_figures(connection, NAMES[0], NOW + 3 * HOUR_S, NOW + 3 * HOUR_S + 900, output=output(0.5, 19))
        add_figures(connection, NAMES[0], NOW + 4 * HOUR_S, NOW + 4 * HOUR_S + 900, output=output(0.5, 20))
        add_figures(connection, NAMES[0], NOW + 2 * HOUR_S, NOW + 3 * HOUR_S, output=output(None, 20))
        add_figures(connection, NAMES[1], NOW, NOW + HOUR_S, output=output(0.5))
        figures = ("doubtful_share", "died_share")
        found = read_output(connection, NAMES[:1], figures, NOW, NOW + 5 * HOUR_S)
    assert found.keys() == {NAMES[0]}
    assert found[NAMES[0]][NOW] == pytest.approx({"doubtful_share": 0.1, "died_share": 0.35})
    assert found[NAMES[0]][NOW + 2 * HOUR_S] == pytest.approx({"died_share": 0.35})
    assert found[NAMES[0]].keys() == {NOW, NOW + 2 * HOUR_S, NOW + 4 * HOUR_S}


@pytest.mark.parametrize(
    ("mine", "others", "hours", "decision"),
    [(0.06, 0.06, 24, "pass"), (0.3, 0.06, 24, "stop"), (0.3, 0.3, 24, "pass"), (0.3, 0.06, 8, "wait")],
)
def test_output_that_is_worse_stops_a_detector_whose_counts_agree(
    database: Database, mine: float, others: float, hours: int, decision: str
) -> None:
    compare(database, 24, silent_from=24)
    with database.begin() as connection:
        for number, name in enumerate(NAMES):
            for at in range(NOW - 5 * 86_400, NOW, HOUR_S):
                add_figures(connection, name, at, at + HOUR_S, output=output(0.05 + 0.01 * (at // HOUR_S % 3)))
            after = output(mine if number < 2 else others)
            add_figures(connection, name, NOW, NOW + hours * HOUR_S, output=after)
    found = judged_detector(database, 24)
    assert found.decision == decision
    assert bool(found.leans) == (decision == "wait")
    if decision == "stop":
        assert found.reasons[0].startswith("of 2 devices 2 tell a worse output than before; harbour/pole-1 30% of the")


@pytest.mark.parametrize(("days", "decision"), [(10, "stop"), (11, "pass")])
def test_the_usual_output_is_that_of_two_weeks(database: Database, days: int, decision: str) -> None:
    """Four days say what is usual, and the fourth of them began `days` and four days before the roll-out."""
    compare(database, 24, silent_from=24)
    with database.begin() as connection:
        for number, name in enumerate(NAMES):
            for at in range(NOW - (days + 4) * DAY, NOW - days * DAY, HOUR_S):
                add_figures(connection, name, at, at + HOUR_S, output=output(0.05 + 0.01 * (at // HOUR_S % 3)))
            add_figures(connection, name, NOW, NOW + DAY, output=output(0.3 if number < 2 else 0.06))
    assert judged_detector(database, 24).decision == decision


def test_so_many_devices_are_read_and_no_more(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    counts, figures = list[Collection[str]](), list[Collection[str]]()

    def read(into: list[Collection[str]]) -> Callable[..., dict[str, Any]]:
        def noted(_: object, names: Collection[str], *__: object) -> dict[str, Any]:
            into.append(names)
            return {}

        return noted

    monkeypatch.setattr("edge_app.city.evidence.read_hours", read(counts))
    monkeypatch.setattr("edge_app.city.evidence.read_output", read(figures))
    have = [Member(f"h/{n}", n % 2, "running", former="f" * 64, got=float(NOW)) for n in range(300)]
    members = {one.name: one for one in (*have, *(Member(f"h/other-{n}", 2) for n in range(100)))}
    rollout = begun("new", WantedDetector("detector.fetched", "d" * 64), {}, Cascade(), "anna", NOW)
    with database.connect() as connection:
        read_evidence(connection, replace(rollout, group=1), members, {}, NOW + DAY)
    for names, with_it, without in ((counts[0], 200, 50), (figures[0], 2 * 10, 20)):
        others = sum("other" in name for name in names)
        assert (len(names) - others, others) == (with_it, without)


@pytest.mark.parametrize(("days", "told"), [(14, ""), (15, "needs 240 MB of memory, and 120 at most before")])
def test_the_usual_figures_are_those_of_two_weeks(database: Database, days: int, told: str) -> None:
    watch = HealthWatch(database, lambda: float(NOW), lambda: float(NOW))
    got = NOW - HOUR_S
    with database.begin() as connection:
        add_device(connection, NOW, ("harbour", "pole-1"))
        add_figures(connection, NAMES[0], got - days * DAY, got - (days - 1) * DAY, {**WELL, "memory_mb": 400.0})
        add_figures(connection, NAMES[0], got - 13 * DAY, got, {**WELL, "memory_mb": 120.0})
        add_figures(connection, NAMES[0], got, NOW, {**WELL, "memory_mb": 240.0})
    watch.read(NAMES[:1], given([Member(NAMES[0], 0, "running", got=float(got))]))
    assert watch.unwell(NAMES[0]) == told


def given(members: list[Member]) -> list[tuple[Kind, Member]]:
    return [("release", one) for one in members]


def test_figures_are_judged_in_turn_and_not_again_before_they_can_have_changed(database: Database) -> None:
    now = [float(NOW)]
    watch = HealthWatch(database, lambda: now[0], lambda: now[0])
    with database.begin() as connection:
        for name in NAMES:
            add_device(connection, NOW, tuple(name.split("/")), drift=["data"])  # type: ignore[arg-type]
            add_figures(connection, name, NOW - 14 * 86_400, NOW - 7_200)
            add_figures(connection, name, NOW - 7_200, NOW, {**WELL, "frames_per_s": 6.0})
    members = [Member(name, 0, "running", got=NOW - 7_200.0) for name in NAMES]
    watch.read(NAMES, given(members[:3]))
    told = "processes 6.0 frames/s, and 15.0 before"
    assert [watch.unwell(name) for name in NAMES] == [told] * 3 + [""] * 4
    assert (watch.drifted(NAMES[0], "release"), watch.drifted(NAMES[0], "detector")) == (True, False)
    with database.begin() as connection:
        add_figures(connection, NAMES[0], NOW, NOW + 3_600)
    now[0] += 60
    watch.read(NAMES, given(members))
    assert watch.unwell(NAMES[0]) == told
    now[0] = NOW + 3_600.0
    watch.read(NAMES, given(members))
    assert [watch.unwell(name) for name in NAMES] == [""] + [told] * 6
    now[0] += 60
    watch.read(NAMES, given(members[1:]))
    assert watch.unwell(NAMES[0]) == ""


def test_what_was_usual_is_kept_for_longer_than_figures_are(database: Database) -> None:
    """Of a roll-out that lasts for weeks; the city forgets figures after five. One that slows down then is told."""
    now, got, name = [NOW + 3_600.0], float(NOW), NAMES[0]
    with database.begin() as connection:
        add_device(connection, NOW, ("harbour", "pole-1"))
        add_figures(connection, name, NOW - 14 * 86_400, NOW + 3_600)
    watch, member = HealthWatch(database, lambda: now[0], lambda: now[0]), Member(name, 0, "running", got=got)
    watch.read([name], given([member]))
    kept = replace(member, usual=watch.usual(member))
    assert watch.unwell(name) == ""
    assert kept.usual is not None
    later = NOW + 60 * 86_400
    with database.begin() as connection:
        forget_figures(connection, later)
        add_figures(connection, name, later - 7_200, later, {**WELL, "frames_per_s": 3.0})
    now[0] = float(later)
    fresh = HealthWatch(database, lambda: now[0], lambda: now[0])
    fresh.read([name], given([kept]))
    assert fresh.unwell(name) == "processes 3.0 frames/s, and 15.0 before"


def test_one_that_tells_nothing_while_others_do_is_absent_and_a_city_that_hears_nobody_says_nothing(
    database: Database,
) -> None:
    now, (silent, other) = [float(NOW)], NAMES[:2]
    online = {"state": "online"}
    watch = HealthWatch(database, lambda: now[0], lambda: now[0])

    def look(hears: bool) -> str:
        with database.begin() as connection:
            note_heard(connection, [("harbour", "pole-2")], int(now[0]) if hears else NOW)
        watch.read([silent, other], [])
        assert watch.absent(other, online) == ""
        return watch.absent(silent, online)

    with database.begin() as connection:
        note_heard(connection, [("harbour", "pole-1")], NOW)
    for minutes in (0, 60, 90):
        now[0] = NOW + 60.0 * minutes
        assert look(hears=minutes == 0) == "", "nobody is heard: a worker or the broker is away"
    told = f"not heard of since {rfc3339(NOW)}"
    for minutes, expected in ((100, ""), (130, ""), (161, told), (170, told)):
        now[0] = NOW + 60.0 * minutes
        assert look(hears=True) == expected
    with database.begin() as connection:
        note_heard(connection, [("harbour", "pole-1")], int(now[0]))
    now[0] += 60
    assert look(hears=True) == ""
    never = watch.absent("harbour/pole-9", online)
    assert never == "", "who was never heard may have no worker"


@pytest.mark.parametrize(("ago", "told"), [(299, True), (300, False)])
def test_a_city_that_was_told_nothing_for_five_minutes_hears_nobody(database: Database, ago: int, told: bool) -> None:
    now, (silent, other) = [float(NOW)], NAMES[:2]
    watch = HealthWatch(database, lambda: now[0], lambda: now[0])
    with database.begin() as connection:
        note_heard(connection, [("harbour", "pole-1")], NOW)
    for minutes in range(10, 140, 10):
        now[0] = NOW + 60.0 * minutes
        with database.begin() as connection:
            note_heard(connection, [("harbour", "pole-2")], int(now[0]) - ago)
        watch.read([silent, other], [])
    assert bool(watch.absent(silent, {"state": "online"})) == told


def test_one_that_the_broker_does_not_know_has_an_hour_to_come_back(database: Database) -> None:
    now = [100.0]
    watch = HealthWatch(database, lambda: now[0], lambda: NOW + now[0])
    absent = "the broker does not know it any more"
    for at, status, told in ((100.0, {}, ""), (3_700.0, {}, ""), (3_701.0, {}, absent), (3_702.0, {"state": "x"}, "")):
        now[0] = at
        assert watch.absent("h/a", status) == told
    now[0] = 9_999.0
    assert watch.absent("h/a", {}) == "", "it was there in between"


def known(name: str, version: str) -> KnownDevice:
    return KnownDevice(name, status={"state": "online", "version": version})


def test_devices_that_have_the_release_are_left_out(database: Database) -> None:
    args = {"url": "https://x/y", "sums": f"{'c' * 64}  edge-app-0.2.0-aarch64.tar.xz\n"}
    devices = [known("h/a", "0.1.0"), known("h/b", "0.2.0")]
    with database.begin() as connection:
        kept, members = start_rollout(connection, "next", RELEASE, args, devices, Cascade(), "anna", NOW)
        assert [one.name for one in members] == ["h/a"]
        assert find_rollout(connection, "next").rollout.wanted == RELEASE
        with pytest.raises(ConfigError, match=r"all of the 1 devices run release 0\.2\.0 already"):
            start_rollout(connection, "again", RELEASE, args, devices[1:], Cascade(), "anna", NOW)
        detector = WantedDetector("detector.fetched", "d" * 64)
        with pytest.raises(ConfigError, match="the roll-out next has not ended there"):
            start_rollout(connection, "new", detector, args, devices, Cascade(), "anna", NOW)
        done = replace(kept.rollout, state="done", changed=NOW)
        assert change_rollout(connection, kept, done, [], NOW, None)
        start_rollout(connection, "new", detector, args, devices, Cascade(), "anna", NOW)
        change_by_hand(connection, find_rollout(connection, "next"), "take_back", "anna", "", NOW)


def test_one_that_was_taken_back_still_reaches_devices_that_were_away(database: Database) -> None:
    with database.begin() as connection:
        kept = add_release_rollout(connection, NOW)
        back = replace(kept.rollout, state="taken_back", changed=NOW)
        assert change_rollout(connection, find_rollout(connection, "next"), back, [], NOW, None)
        assert [one.rollout.name for one in read_led(connection, NOW + 29 * 86_400)] == ["next"]
        assert read_led(connection, NOW + 31 * 86_400) == []
        (first, _) = read_members(connection, kept.id)
        assert (first.order, first.got) == ("", 0)
