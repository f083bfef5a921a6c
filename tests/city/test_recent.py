"""The last minutes of a site: of whole intervals, whatever their length, and none where nothing came lately."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from edge_app.city.database.engine import Database
from edge_app.city.database.recent import Recent, read_recent
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import ATTACHMENT
from tests.city.cases import START, series
from tests.city.test_storing import make_site, store


def recent(database: Database, now: float) -> Recent | None:
    with database.connect() as connection:
        site = make_site(database)
        return read_recent(connection, now, site, site).get(site)


def test_five_minutes_are_those_before_the_end_of_the_newest_interval(database: Database) -> None:
    make_site(database)
    store(database, series(20, coverage=0.75))  # the n-th minute has n cars
    end = START + 20 * 60
    assert recent(database, end + 30) == Recent(end, 300, 225.0, (16 + 17 + 18 + 19 + 20, 0))
    # As long as the next interval may be on its way, and no longer.
    assert recent(database, end + 359) is not None
    assert recent(database, end + 360) is None


@pytest.mark.parametrize(("length", "many", "cars"), [(7, 43, 43 * 44 // 2), (900, 1, 1), (86_400, 1, 1)])
def test_intervals_of_any_length_are_whole(database: Database, length: int, many: int, cars: int) -> None:
    make_site(database)
    store(database, series(many, length=length))
    end = START + many * length
    told = recent(database, end + length / 2)
    assert told == Recent(end, many * length, float(many * length), (cars, 0))


def test_a_turned_line_and_one_installation_after_another_count_once(database: Database) -> None:
    make_site(database)
    with database.begin() as connection:
        connection.execute(update(ATTACHMENT).values(turned=True))
    store(database, series(5))
    later = series(2, start=START + 180, installation="0c9e77a1", cars=10)
    with database.begin() as connection:
        Storing().store(connection, later, START + 700.0)
    assert recent(database, START + 310) == Recent(START + 300, 300, 300.0, (0, 1 + 2 + 3 + 10 + 20))
