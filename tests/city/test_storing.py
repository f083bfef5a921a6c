"""Intervals are stored once, whatever comes twice, late or out of order, and what contradicts is told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import event, func, select

from edge_app.city.calendar import STEPS
from edge_app.city.database.contradictions import (
    count_contradictions,
    forget_contradictions,
    read_contradictions,
)
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import note_heard, note_meta
from edge_app.city.database.inventory import put_sites, read_inventory
from edge_app.city.database.missing import AWAY_S, expect_again, find_gaps, give_up, note_gone, note_newest
from edge_app.city.database.reading import AnyStep, read_totals
from edge_app.city.database.rolling import roll_sites, roll_up
from edge_app.city.database.steps import read_steps
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import ATTACHMENT, CONTRADICTION, DIRTY, INTERVAL, MEASURE, SITE
from edge_app.city.records import NONE, Gap, Interval, LineName, Outcome
from edge_app.mqtt.device_messages import LineMeta, Meta
from edge_app.mqtt.examples import EXAMPLES
from tests.city.cases import NAME, START, changed, series, vector


def store(database: Database, intervals: Sequence[Interval], storing: Storing | None = None) -> Outcome:
    with database.begin() as connection:
        return (storing or Storing()).store(connection, intervals, START + 600.0)


def kinds(database: Database) -> list[str]:
    with database.connect() as connection:
        return sorted(connection.execute(select(CONTRADICTION.c.kind)).scalars())


def rows(database: Database) -> int:
    with database.connect() as connection:
        return connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one()


def gaps(database: Database) -> list[Gap]:
    with database.connect() as connection:
        return list(find_gaps(connection))


def test_whatever_comes_twice_late_or_out_of_order_is_stored_once(database: Database) -> None:
    intervals = series(200)
    shuffled = [*intervals, *intervals[50:150]]
    random.Random(7).shuffle(shuffled)
    stored = repeated = 0
    for at in range(0, len(shuffled), 37):
        outcome = store(database, shuffled[at : at + 37])
        stored, repeated = stored + outcome.stored, repeated + outcome.repeated
    assert (stored, repeated) == (200, 100)
    assert (rows(database), kinds(database), gaps(database)) == (200, [], [])


def test_one_id_with_two_contents_is_told_and_the_first_one_stays(database: Database) -> None:
    first = series(1)[0]
    store(database, [first])
    assert store(database, [changed(first, counts=vector(9))]).stored == 0
    assert store(database, [changed(first, coverage=0.5), changed(first, coverage=0.5)]).stored == 0
    assert kinds(database) == ["content"]
    assert rows(database) == 1


def test_two_contents_within_one_batch_are_told_too(database: Database) -> None:
    first = series(1)[0]
    outcome = store(database, [first, first, changed(first, frames=1)])
    assert (outcome.stored, outcome.repeated) == (1, 2)
    assert kinds(database) == ["content"]


def test_a_number_that_is_given_twice_counts_twice_and_is_told(database: Database) -> None:
    first, second = series(2)
    again = changed(second, id=uuid4(), start=second.end, end=second.end + 60)
    assert store(database, [first, second, again]).stored == 3
    assert kinds(database) == ["number"]


def test_totals_that_are_not_the_sum_are_told(database: Database) -> None:
    intervals = series(4)
    store(database, [intervals[0], changed(intervals[1], counts=vector(99)), *intervals[2:]])
    assert kinds(database) == ["totals"]


def test_overlaps_are_told_and_the_future_is_set_aside(database: Database) -> None:
    one = series(3)
    other = series(1, installation="0c9e77a1", start=START + 90)
    store(database, [*one, *other])
    assert kinds(database) == ["overlap"]
    future = changed(series(1, installation="77777777", start=START + 90_000)[0], aside=True)
    assert store(database, [future]).aside == 1
    assert kinds(database) == ["future", "overlap"]
    with database.connect() as connection:
        dirty = set(connection.execute(select(DIRTY.c.start)).scalars())
    assert max(dirty) < START + 3_600


def test_gaps_are_found_up_to_what_was_told_and_gone_ones_are_not_asked_for(
    database: Database,
) -> None:
    intervals, storing = series(10), Storing()
    store(database, [intervals[2], intervals[3], intervals[7]], storing)
    assert gaps(database) == [Gap(NAME, "5b1f09c4", 1, 2), Gap(NAME, "5b1f09c4", 5, 7)]
    with database.begin() as connection:
        key = storing.series(connection, NAME, "5b1f09c4")
        note_newest(connection, {key: 10})
        note_newest(connection, {key: 9})
        note_gone(connection, key, [(1, 1, "expired"), (2, 2, "expired"), (9, 9, "damaged")])
    assert gaps(database) == [Gap(NAME, "5b1f09c4", 5, 7), Gap(NAME, "5b1f09c4", 10, 10)]
    store(database, intervals, storing)
    assert gaps(database) == []


def test_what_a_device_that_is_gone_has_not_sent_is_given_up_until_it_comes_back(database: Database) -> None:
    intervals, storing, device = series(10), Storing(), (NAME.site, NAME.device)
    neighbour = NAME._replace(device="pole-8")
    others = [changed(one, name=neighbour) for one in intervals]
    store(database, [intervals[4], intervals[9], others[1]], storing)
    with database.begin() as connection:
        note_gone(connection, storing.series(connection, NAME, "5b1f09c4"), [(1, 1, "expired")])
        note_heard(connection, [device], START)
        note_heard(connection, [(neighbour.site, neighbour.device)], START + 60)
    mine, its = gaps(database)[:2], gaps(database)[2:]
    assert (len(mine), len(its)) == (2, 1)
    with database.begin() as connection:
        assert give_up(connection, START + AWAY_S) == 0
        assert give_up(connection, START + AWAY_S + 1) == 3 + 4
        assert give_up(connection, START + AWAY_S + 1) == 0
    assert gaps(database) == its
    with database.begin() as connection:
        expect_again(connection, [(neighbour.site, neighbour.device), ("harbour", "pole-9")])
    assert gaps(database) == its
    with database.begin() as connection:
        expect_again(connection, [device])
    assert gaps(database) == [*mine, *its]


def test_a_device_of_contract_1_0_has_no_series_and_is_stored_too(database: Database) -> None:
    old = [changed(interval, installation="") for interval in series(5)]
    assert store(database, [old[0], old[4], old[0]]).stored == 2
    assert (gaps(database), kinds(database)) == ([], [])


def test_measures_and_flows_are_kept_and_belong_to_the_content(database: Database) -> None:
    first = changed(series(1)[0], measures='{"queue": 1}')
    flows = changed(series(1, name=NAME._replace(line="_flows"))[0], counts=NONE, totals=NONE, measures='{"flows": {}}')
    assert store(database, [first, flows]).stored == 2
    assert store(database, [first, flows]).repeated == 2
    assert kinds(database) == []
    store(database, [changed(first, measures='{"queue": 2}')])
    assert kinds(database) == ["content"]
    with database.connect() as connection:
        assert len(connection.execute(select(MEASURE)).all()) == 2
        assert len(connection.execute(select(DIRTY)).all()) == 1


def test_a_failed_transaction_leaves_nothing_and_the_batch_is_stored_again(database: Database) -> None:
    storing = Storing()

    def fail() -> None:
        with database.begin() as connection:
            storing.store(connection, series(3), START)
            raise RuntimeError("the worker was killed")

    with pytest.raises(RuntimeError):
        fail()
    storing.forget()
    assert rows(database) == 0
    assert store(database, series(3), storing).stored == 3


def roll(database: Database) -> None:
    while True:
        with database.begin() as connection:
            if not roll_up(connection, most=7):
                return


def make_site(database: Database, time_zone: str = "Europe/Amsterdam", road: str = "Quay Road") -> str:
    with database.begin() as connection:
        line = LineMeta(id=NAME.line, start=(0, 0), end=(1, 1), road=road)
        meta = Meta(
            site=NAME.site,
            device=NAME.device,
            lines=[line],
            classes=["car"],
            interval_s=60,
            model="",
            config="",
            version="1",
            time_zone=time_zone,
        )
        note_meta(connection, {(NAME.site, NAME.device): meta}, START, Storing().lines(connection, [NAME]))
        site: str = connection.execute(select(SITE.c.id)).scalar_one()
        return site


def cars(database: Database, site: str, step: str, start: int = 0, end: int = 2**40) -> list[tuple[int, int]]:
    with database.connect() as connection:
        return [(t.start, sum(t.counts)) for t in read_totals(connection, site, start, end, step)]  # type: ignore[arg-type]


def assert_steps_are_the_quarters(database: Database, site: str) -> None:
    whole = sum(many for _, many in cars(database, site, "quarter"))
    assert whole
    assert [sum(many for _, many in cars(database, site, step)) for step in STEPS] == [whole] * len(STEPS)


@pytest.mark.parametrize("day", ["2026-04-04T12:00:00Z", "2026-10-03T12:00:00Z"])
def test_days_have_each_quarter_once_where_clocks_are_changed_by_half_an_hour(database: Database, day: str) -> None:
    site = make_site(database, "Australia/Lord_Howe")
    store(database, series(8 * 12, start=int(datetime.fromisoformat(day).timestamp()), length=450))
    roll(database)
    assert_steps_are_the_quarters(database, site)


def test_a_site_that_is_made_after_its_counts_have_come_has_their_hours(database: Database) -> None:
    store(database, series(300))
    roll(database)
    assert_steps_are_the_quarters(database, make_site(database))


def test_a_device_that_tells_another_time_zone_has_the_days_of_that_one_alone(database: Database) -> None:
    site = make_site(database, "UTC")
    store(database, series(300, length=900))
    roll(database)
    assert make_site(database, "Asia/Kolkata") == site
    assert_steps_are_the_quarters(database, site)
    assert {start % 86_400 for start, _ in cars(database, site, "day")} == {18 * 3600 + 1800}


def test_lines_whose_names_read_alike_have_sites_of_their_own(database: Database) -> None:
    names = [LineName("a-b", "c", "x-1"), LineName("a", "b-c", "x-1"), LineName("a", "b-c", "x_1")]
    meta = Meta.model_validate(EXAMPLES["meta"])
    for name in [*names, *names]:
        line = meta.lines[0].model_copy(update={"id": name.line})
        told = meta.model_copy(update={"lines": [line]})
        with database.begin() as connection:
            note_meta(connection, {name[:2]: told}, START, Storing().lines(connection, [name]))
    with database.connect() as connection:
        sites = connection.execute(select(ATTACHMENT.c.site_id).order_by(ATTACHMENT.c.line_id)).scalars().all()
    assert len(set(sites)) == len(sites) == 3
    assert sites[0] == "a-b-c-x-1"


def test_a_line_that_was_taken_from_a_site_by_hand_comes_back_as_one_of_its_own(database: Database) -> None:
    site = make_site(database)
    with database.begin() as connection:
        found = read_inventory(connection, [site])[0]
        put_sites(connection, [found.model_copy(update={"attachments": []})], "anna", START)
    with database.begin() as connection:
        line = LineMeta(id=NAME.line, start=(0, 0), end=(1, 1))
        meta = Meta.model_validate({**EXAMPLES["meta"], "lines": [line]})
        note_meta(connection, {NAME[:2]: meta}, START, Storing().lines(connection, [NAME]))
        assert read_inventory(connection, [site])[0].attachments == []
        assert connection.execute(select(ATTACHMENT.c.site_id)).scalar_one() != site


def test_sums_of_steps_are_those_of_the_intervals_and_follow_what_comes_late(database: Database) -> None:
    site, intervals = make_site(database), series(300)
    late = intervals[100]
    store(database, [interval for interval in intervals if interval is not late])
    roll(database)
    whole = sum(sum(interval.counts) for interval in intervals)
    for step in ("quarter", "hour", "day", "month"):
        assert sum(many for _, many in cars(database, site, step)) == whole - sum(late.counts)
    store(database, [late])
    roll(database)
    for step in ("quarter", "hour", "day", "month"):
        assert sum(many for _, many in cars(database, site, step)) == whole


def late(database: Database, site: str, step: AnyStep, tz: ZoneInfo | None = None) -> list[tuple[int, int]]:
    """Return length and late seconds of each step."""
    with database.connect() as connection:
        return [(t.length_s, t.late_s) for t in read_steps(connection, site, 0, START + 90_000, step, tz)]


def test_every_step_tells_how_much_of_it_arrived_late(database: Database) -> None:
    """By the arrival here: a second delivery of what has come is none."""
    site, intervals = make_site(database), series(60, start=START // 3600 * 3600)
    end = intervals[-1].end
    with database.begin() as connection:
        for one in [*intervals[:20], *intervals[30:]]:
            Storing().store(connection, [one], one.end + 60.0)
    roll(database)
    assert [late(database, site, step) for step in STEPS] == [[(3_000, 0)]] * 3
    with database.begin() as connection:
        Storing().store(connection, intervals, end + 7_200.0)
    roll(database)
    assert late(database, site, "quarter") == [(900, 0), (900, 600), (900, 0), (900, 0)]
    assert [late(database, site, step) for step in STEPS] == [[(3_600, 600)]] * 3
    assert late(database, site, "day", ZoneInfo("Asia/Kolkata")) == [(3_600, 600)]
    with database.begin() as connection:
        roll_sites(connection, [site])
    assert [late(database, site, step) for step in STEPS] == [[(3_600, 600)]] * 3


def test_the_newest_contradictions_stay_and_all_that_were_found_are_counted(database: Database) -> None:
    store(database, [changed(one, totals=vector(9)) for one in series(7)])
    store(database, series(2, installation="0c9e77a1"))
    with database.connect() as connection:
        before = count_contradictions(connection)
    assert before == {"overlap": 2, "totals": 7}
    for most, gone in ((9, 0), (5, 4), (5, 0), (3, 2)):
        with database.begin() as connection:
            assert forget_contradictions(connection, most) == gone
        with database.connect() as connection:
            assert len(read_contradictions(connection)) == most
            assert count_contradictions(connection) == before
    with database.connect() as connection:
        assert [row.kind for row in read_contradictions(connection)] == ["overlap", "overlap", "totals"]


def test_no_text_of_a_device_ends_the_adding_up(database: Database) -> None:
    site = make_site(database, "Mars/Base", "Quay\0 Road\n")
    store(database, series(60))
    roll(database)
    with database.connect() as connection:
        row = connection.execute(select(SITE)).one()
    assert (row.time_zone, row.road) == ("UTC", "Quay Road")
    assert len(cars(database, site, "day")) == 1


def test_a_step_without_an_interval_is_no_zero(database: Database) -> None:
    site = make_site(database, "UTC")
    store(database, [*series(30), *series(30, installation="0c9e77a1", start=START + 4 * 3600)])
    roll(database)
    hours = [start for start, _ in cars(database, site, "hour")]
    assert hours == sorted(hours)
    assert START + 2 * 3600 not in {start + offset for start in hours for offset in range(0, 3600, 60)}


def test_where_installations_overlap_the_later_one_is_summed(database: Database) -> None:
    site = make_site(database)
    store(database, series(15, cars=1))
    roll(database)
    with database.begin() as connection:
        Storing().store(connection, series(15, installation="0c9e77a1", cars=10), START + 6_000.0)
    roll(database)
    assert sum(many for _, many in cars(database, site, "hour")) == 10 * sum(range(1, 16))


def test_a_day_of_25_hours_is_one_day(database: Database) -> None:
    site, midnight = make_site(database), 1_792_879_200  # 2026-10-25 00:00 in Amsterdam
    store(database, series(25, start=midnight, length=3_600, cars=0))
    roll(database)
    assert [start for start, _ in cars(database, site, "day")] == [midnight]
    assert len(cars(database, site, "hour")) == 25


def test_keys_of_many_lines_are_asked_for_as_those_of_two(database: Database) -> None:
    """PostgreSQL reads the whole table for each question about rows that were made just before."""
    run: list[int] = []
    for many in (2, 1_200):
        names = {LineName("harbour", f"pole-{n}", f"line-{many}") for n in range(many)}
        with database.begin() as connection:
            asked: list[str] = []
            event.listen(connection, "before_cursor_execute", lambda *told: asked.append(told[2]))  # noqa: B023
            found = Storing().lines(connection, names)
        run.append(len(asked))
        assert found.keys() == names
        with database.begin() as connection:
            assert Storing().lines(connection, names) == found
    assert run[0] == run[1]
