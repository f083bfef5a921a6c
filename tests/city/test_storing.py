"""Intervals are stored once, whatever comes twice, late or out of order, and what contradicts is told."""

from __future__ import annotations

import random
from collections.abc import Sequence
from uuid import uuid4

import pytest
from sqlalchemy import Engine, func, select

from edge_app.city.database.fleet import note_meta
from edge_app.city.database.missing import find_gaps, note_gone, note_newest
from edge_app.city.database.reading import read_totals
from edge_app.city.database.rolling import roll_up
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import CONTRADICTION, DIRTY, INTERVAL, SITE
from edge_app.city.records import Gap, Interval, Outcome
from edge_app.mqtt.messages import LineMeta, Meta
from tests.city.cases import NAME, START, changed, series, vector


def store(engine: Engine, intervals: Sequence[Interval], storing: Storing | None = None) -> Outcome:
    with engine.begin() as connection:
        return (storing or Storing()).store(connection, intervals, START + 600.0)


def kinds(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return sorted(connection.execute(select(CONTRADICTION.c.kind)).scalars())


def rows(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(INTERVAL)).scalar_one()


def gaps(engine: Engine) -> list[Gap]:
    with engine.connect() as connection:
        return list(find_gaps(connection))


def test_whatever_comes_twice_late_or_out_of_order_is_stored_once(engine: Engine) -> None:
    intervals = series(200)
    shuffled = [*intervals, *intervals[50:150]]
    random.Random(7).shuffle(shuffled)
    stored = repeated = 0
    for at in range(0, len(shuffled), 37):
        outcome = store(engine, shuffled[at : at + 37])
        stored, repeated = stored + outcome.stored, repeated + outcome.repeated
    assert (stored, repeated) == (200, 100)
    assert (rows(engine), kinds(engine), gaps(engine)) == (200, [], [])


def test_one_id_with_two_contents_is_told_and_the_first_one_stays(engine: Engine) -> None:
    first = series(1)[0]
    store(engine, [first])
    assert store(engine, [changed(first, counts=vector(9))]).stored == 0
    assert store(engine, [changed(first, coverage=0.5), changed(first, coverage=0.5)]).stored == 0
    assert kinds(engine) == ["content"]
    assert rows(engine) == 1


def test_two_contents_within_one_batch_are_told_too(engine: Engine) -> None:
    first = series(1)[0]
    outcome = store(engine, [first, first, changed(first, frames=1)])
    assert (outcome.stored, outcome.repeated) == (1, 2)
    assert kinds(engine) == ["content"]


def test_a_number_that_is_given_twice_counts_twice_and_is_told(engine: Engine) -> None:
    first, second = series(2)
    again = changed(second, id=uuid4(), start=second.end, end=second.end + 60)
    assert store(engine, [first, second, again]).stored == 3
    assert kinds(engine) == ["number"]


def test_totals_that_are_not_the_sum_are_told(engine: Engine) -> None:
    intervals = series(4)
    store(engine, [intervals[0], changed(intervals[1], counts=vector(99)), *intervals[2:]])
    assert kinds(engine) == ["totals"]


def test_overlaps_are_told_and_the_future_is_set_aside(engine: Engine) -> None:
    one = series(3)
    other = series(1, installation="0c9e77a1", start=START + 90)
    store(engine, [*one, *other])
    assert kinds(engine) == ["overlap"]
    future = changed(series(1, installation="77777777", start=START + 90_000)[0], aside=True)
    assert store(engine, [future]).aside == 1
    assert kinds(engine) == ["future", "overlap"]
    with engine.connect() as connection:
        dirty = set(connection.execute(select(DIRTY.c.start)).scalars())
    assert max(dirty) < START + 3_600


def test_gaps_are_found_between_numbers_and_up_to_what_was_told_and_gone_ones_are_not_asked_for(engine: Engine) -> None:
    intervals, storing = series(10), Storing()
    store(engine, [intervals[2], intervals[3], intervals[7]], storing)
    assert gaps(engine) == [Gap(NAME, "5b1f09c4", 1, 2), Gap(NAME, "5b1f09c4", 5, 7)]
    with engine.begin() as connection:
        key = storing.series(connection, NAME, "5b1f09c4")
        note_newest(connection, key, 10)
        note_newest(connection, key, 9)
        note_gone(connection, key, [(1, 1, "expired"), (2, 2, "expired"), (9, 9, "damaged")])
    assert gaps(engine) == [Gap(NAME, "5b1f09c4", 5, 7), Gap(NAME, "5b1f09c4", 10, 10)]
    store(engine, intervals, storing)
    assert gaps(engine) == []


def test_a_device_of_contract_1_0_has_no_series_and_is_stored_too(engine: Engine) -> None:
    old = [changed(interval, installation="") for interval in series(5)]
    assert store(engine, [old[0], old[4], old[0]]).stored == 2
    assert (gaps(engine), kinds(engine)) == ([], [])


def test_a_failed_transaction_leaves_nothing_and_the_batch_is_stored_again(engine: Engine) -> None:
    storing = Storing()

    def fail() -> None:
        with engine.begin() as connection:
            storing.store(connection, series(3), START)
            raise RuntimeError("the worker was killed")

    with pytest.raises(RuntimeError):
        fail()
    storing.forget()
    assert rows(engine) == 0
    assert store(engine, series(3), storing).stored == 3


def roll(engine: Engine) -> None:
    while True:
        with engine.begin() as connection:
            if not roll_up(connection, most=7):
                return


def make_site(engine: Engine, time_zone: str = "Europe/Amsterdam") -> str:
    with engine.begin() as connection:
        line = LineMeta(id=NAME.line, start=(0, 0), end=(1, 1), road="Quay Road")
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
        note_meta(connection, (NAME.site, NAME.device), meta, START, {NAME.line: Storing().line(connection, NAME)})
        site: str = connection.execute(select(SITE.c.id)).scalar_one()
        return site


def cars(engine: Engine, site: str, step: str, start: int = 0, end: int = 2**40) -> list[tuple[int, int]]:
    with engine.connect() as connection:
        return [(t.start, sum(t.counts)) for t in read_totals(connection, site, start, end, step)]  # type: ignore[arg-type]


def test_sums_of_steps_are_those_of_the_intervals_and_follow_what_comes_late(engine: Engine) -> None:
    site, intervals = make_site(engine), series(300)
    late = intervals[100]
    store(engine, [interval for interval in intervals if interval is not late])
    roll(engine)
    whole = sum(sum(interval.counts) for interval in intervals)
    for step in ("quarter", "hour", "day", "month"):
        assert sum(many for _, many in cars(engine, site, step)) == whole - sum(late.counts)
    store(engine, [late])
    roll(engine)
    for step in ("quarter", "hour", "day", "month"):
        assert sum(many for _, many in cars(engine, site, step)) == whole


def test_a_step_without_an_interval_is_no_zero(engine: Engine) -> None:
    site = make_site(engine, "UTC")
    store(engine, [*series(30), *series(30, installation="0c9e77a1", start=START + 4 * 3600)])
    roll(engine)
    hours = [start for start, _ in cars(engine, site, "hour")]
    assert hours == sorted(hours)
    assert START + 2 * 3600 not in {start + offset for start in hours for offset in range(0, 3600, 60)}


def test_where_installations_overlap_the_later_one_is_summed(engine: Engine) -> None:
    site = make_site(engine)
    store(engine, series(15, cars=1))
    roll(engine)
    with engine.begin() as connection:
        Storing().store(connection, series(15, installation="0c9e77a1", cars=10), START + 6_000.0)
    roll(engine)
    assert sum(many for _, many in cars(engine, site, "hour")) == 10 * sum(range(1, 16))


def test_a_day_of_25_hours_is_one_day(engine: Engine) -> None:
    site, midnight = make_site(engine), 1_792_879_200  # 2026-10-25 00:00 in Amsterdam
    store(engine, series(25, start=midnight, length=3_600, cars=0))
    roll(engine)
    assert [start for start, _ in cars(engine, site, "day")] == [midnight]
    assert len(cars(engine, site, "hour")) == 25
