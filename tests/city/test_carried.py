"""Devices that are carried to another street, and lines whose attachment has ended."""

from __future__ import annotations

from typing import Any

import pytest

from edge_app.city.database.carried import Place, is_another
from edge_app.city.database.changes import newest_breaks, read_changes
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import note_meta
from edge_app.city.database.storing import Storing
from edge_app.mqtt.device_messages import LineMeta, Location, Meta
from tests.city.cases import NAME, START, series
from tests.city.test_inventory import attached, inventory, moment, put, quay
from tests.city.test_storing import cars, roll, store

QUAY = Place("Quay Road", 52.37, 4.89)
HILL = Place("Hill Avenue", 52.42, 4.95)
MOVED = START - START % 900 + 3600


def told(database: Database, place: Place, at: int) -> None:
    """Note that the device has told its place at a time."""
    meta = Meta(
        site=NAME.site,
        device=NAME.device,
        lines=[LineMeta(id=NAME.line, start=(0, 0), end=(1, 1), road=place.road)],
        location=None if place.lat is None or place.lon is None else Location(lat=place.lat, lon=place.lon),
        classes=["car"],
        interval_s=60,
        model="",
        config="",
        version="1",
    )
    with database.begin() as connection:
        note_meta(connection, {NAME[:2]: meta}, at, Storing().lines(connection, [NAME]))


def count(database: Database, start: int, installation: str) -> int:
    """Store an hour and return its cars."""
    hour = series(60, start=start, installation=installation)
    store(database, hour)
    roll(database)
    return sum(sum(one.counts) for one in hour)


def streets(database: Database) -> dict[str, int]:
    """Return the cars of each street by its road."""
    return {site.road: sum(many for _, many in cars(database, site.id, "day")) for site in inventory(database)}


@pytest.mark.parametrize(
    ("before", "after", "another"),
    [
        (QUAY, HILL, True),
        (QUAY, QUAY._replace(lat=52.3705), False),  # 56 m
        (QUAY, QUAY._replace(road="Quai Road"), False),
        (QUAY, QUAY._replace(lon=4.8916), True),  # 109 m, of a degree that is short there
        (QUAY, QUAY._replace(lon=4.8914), False),  # 95 m
        (Place("Date Line", 0.0, 179.9999), Place("Date Line", 0.0, -179.9999), False),
        (QUAY, Place("Quay  Road", None, None), False),
        (Place("Quay Road", None, None), Place("Hill Avenue", None, None), True),
    ],
)
def test_a_small_correction_is_no_other_place(before: Place, after: Place, another: bool) -> None:
    assert is_another(before, after) is is_another(after, before) is another


@pytest.mark.parametrize("hill", [HILL, HILL._replace(lat=None, lon=None)], ids=["position", "road"])
def test_a_device_that_was_carried_counts_at_a_street_of_its_own(database: Database, hill: Place) -> None:
    told(database, QUAY, START)
    quay_cars = count(database, MOVED - 3600, "5b1f09c4")
    for at in (MOVED + 100, MOVED + 200, MOVED + 4000):  # retained: it comes again
        told(database, hill, at)
    hill_cars = count(database, MOVED, "5b1f09c5")
    assert streets(database) == {"Quay Road": quay_cars, "Hill Avenue": hill_cars}
    told(database, QUAY, MOVED + 7200)  # and back: neither series goes on unseen
    assert sorted(site.road for site in inventory(database)) == ["Hill Avenue", "Quay Road", "Quay Road"]


def test_before_anything_was_counted_a_place_is_corrected(database: Database) -> None:
    told(database, QUAY, START)
    told(database, HILL, MOVED)
    assert streets(database) == {"Hill Avenue": 0}


def test_counts_that_are_not_added_up_yet_are_counts(database: Database) -> None:
    told(database, QUAY, START)
    store(database, series(60, start=MOVED - 3600))
    told(database, HILL, MOVED)
    roll(database)
    assert streets(database) == {"Quay Road": 1830, "Hill Avenue": 0}


def test_a_series_that_somebody_has_edited_breaks_where_its_device_was_carried(database: Database) -> None:
    told(database, QUAY, START)
    put(database, quay(attached(), lat=52.3, lon=4.8))  # whatever people say of its place
    total = count(database, MOVED - 3600, "5b1f09c4")
    told(database, QUAY._replace(lat=52.3702), MOVED)
    hill = HILL._replace(road="Hill Avenue" + 200 * "-")
    for at in (MOVED + 100, MOVED + 4000):
        told(database, hill, at)
    total += count(database, MOVED, "5b1f09c5")
    assert streets(database) == {"Quay Road": total}
    with database.connect() as connection:
        numbers, change = read_changes(connection, "quay", START, MOVED + 86_400)
        assert (numbers.kind, change.kind, change.at, change.breaks) == ("installation", "place", MOVED, True)
        assert change.reason == "Quay Road (52.3702, 4.89) -> Hill Avenue" + 86 * "-"
        assert newest_breaks(connection, ["quay"], START, MOVED + 86_400) == {"quay": MOVED}


@pytest.mark.parametrize("place", [QUAY, HILL], ids=["counts", "elsewhere"])
def test_a_line_whose_attachment_has_ended_gets_a_street_again(database: Database, place: Place) -> None:
    told(database, QUAY, START)
    first = count(database, MOVED - 3600, "5b1f09c4")
    ends: dict[str, Any] = {"ends": moment(MOVED)}
    put(database, quay(attached(**ends), road="Old Quay"))
    told(database, QUAY, MOVED + 100)  # as it lies in a store
    assert streets(database) == {"Old Quay": first}
    if place is HILL:
        told(database, HILL, MOVED + 200)
    second = count(database, MOVED, "5b1f09c5")
    told(database, place, MOVED + 4000)
    assert streets(database) == {"Old Quay": first, place.road: second}
