"""The inventory: what is attached where, files of it, what is refused, and what a change does to the series."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import pytest
from sqlalchemy import event, select

from edge_app.city.calendar import STEPS
from edge_app.city.course import middle_of
from edge_app.city.database.audit import read_audit
from edge_app.city.database.changes import newest_breaks, read_changes
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import note_config, note_meta
from edge_app.city.database.inventory import delete_site, put_sites, read_inventory, unheard_lines
from edge_app.city.database.reading import read_totals
from edge_app.city.database.rolling import roll_sites
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import SITE
from edge_app.city.inventory import InventoryError, SiteDescription, described, judge_together
from edge_app.city.inventory_files import (
    COLUMNS,
    inventory_csv,
    inventory_geojson,
    read_inventory_csv,
    read_inventory_geojson,
)
from edge_app.city.records import LineName
from edge_app.mqtt.device_messages import ConfigMeta, LineMeta, Meta
from tests.city.cases import NAME, START, changed, series
from tests.city.test_storing import cars, make_site, roll, store

OTHER = LineName("harbour", "pole-9", "main")
LATER = START + 6 * 3600 - START % 3600


def moment(at: int) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat()


def attached(name: LineName = NAME, **values: Any) -> dict[str, Any]:
    return {"device": f"{name.site}/{name.device}", "line": name.line, **values}


def quay(*attachments: dict[str, Any], **values: Any) -> SiteDescription:
    told = {"id": "quay", "road": "Quay Road", "time_zone": "Europe/Amsterdam", "attachments": list(attachments)}
    return described({**told, **values})


def put(database: Database, *sites: SiteDescription) -> dict[str, Any]:
    with database.begin() as connection:
        return put_sites(connection, sites, "anna", float(START))


def inventory(database: Database) -> list[SiteDescription]:
    with database.connect() as connection:
        return read_inventory(connection)


FULL = [
    quay(
        attached(ends=moment(LATER), reason="the first one"),
        attached(OTHER, begins=moment(LATER), turned=True, breaks=True, reason="a new pole, on the other side"),
        lat=52.1,
        lon=-4.9,
        lanes=2,
        public=True,
        left_to_right={"name": "=into town", "bearing_deg": 0},
    ),
    quay(id="empty", road='"Ring", north\u00fc'),
    quay(id="long", course=[(4.9, -52.1), (4.9000001, -52.2), (5.0, 52.3)], lat=52.0, lon=4.9),
]


@pytest.mark.parametrize(
    ("write", "read"),
    [(inventory_csv, read_inventory_csv), (inventory_geojson, read_inventory_geojson)],
    ids=["csv", "geojson"],
)
def test_a_file_of_the_inventory_reads_back_as_it_was(write: Any, read: Any) -> None:
    assert read(write(FULL)) == FULL
    assert read(write([])) == []


@pytest.mark.parametrize(
    ("time_zone", "written"),
    [("Europe/Amsterdam", "2026-10-25T02:30:00+01:00"), ("Asia/Kolkata", "2026-10-25T07:00:00+05:30")],
)
def test_a_table_tells_times_as_the_clocks_of_the_site_show_them(time_zone: str, written: str) -> None:
    begins = "2026-10-25T01:30:00Z"  # in the hour that Amsterdam has twice
    site = quay(attached(begins=begins), time_zone=time_zone)
    (row,) = csv.DictReader(io.StringIO(inventory_csv([site])))
    assert (row["begins"], row["ends"]) == (written, "")
    assert read_inventory_csv(inventory_csv([site])) == [site]


def test_what_is_put_is_read_and_a_second_time_nothing_changes(database: Database) -> None:
    assert set(put(database, *FULL)) == {"quay", "empty", "long"}
    assert inventory(database) == sorted(FULL, key=lambda site: site.id)
    assert put(database, *FULL) == {}
    assert put(database, quay(*[], road="Quay Road")).keys() == {"quay"}
    with database.connect() as connection:
        newest = read_audit(connection)[0]
        assert (newest.who, newest.action, newest.subject) == ("anna", "site.put", "quay")
        assert newest.change["lanes"] == [2, None]
        assert len(read_audit(connection)) == 4
        assert unheard_lines(connection, FULL) == ["harbour/pole-7/quay-road", "harbour/pole-9/main"]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"lat": 90.5, "lon": 0}, "lat: Input should be less than or equal to 90"),
        ({"lat": 1}, "lat and lon go together"),
        ({"time_zone": "posix/Europe/Berlin"}, 'there is no "posix/Europe/Berlin"'),
        ({"time_zone": "right/UTC"}, 'there is no "right/UTC"'),
        ({"time_zone": "Europe/Nowhere"}, 'time_zone: there is no "Europe/Nowhere"'),
        ({"id": "Quay Road"}, "id: "),
        ({"road": " "}, "road: "),
        ({"road": "a\0b"}, "road: "),
        ({"lanes": 0}, "lanes: "),
        ({"colour": "red"}, "colour: "),
        ({"left_to_right": {"bearing_deg": 360}}, "left_to_right.bearing_deg: "),
        ({"course": [(1, 2)]}, "course: List should have at least 2 items"),
        ({"course": [(n / 9, 1) for n in range(501)]}, "course: List should have at most 500 items"),
        ({"course": [(1, 2), (1, 2)]}, "course: must have two different points at least"),
        ({"course": [(1, 2), (52, 91)]}, "course.1: must be degrees east, -180 to 180, then north, -90 to 90"),
        ({"course": [(1, 2), (float("nan"), 2)]}, "course.1.0: Input should be a finite number"),
        ({"course": [(1, 2), (3, 4, 5)]}, "course.1: "),
        ({"course": "LINESTRING (1 2; 3 4)"}, "course: must be LINESTRING (4.89 52.37, 4.9 52.38) or"),
        ({"course": "1,5 2; 3 4"}, "course: must be LINESTRING"),
        ({"course": "POINT (1 2)"}, "course: must be LINESTRING"),
        ({"course": "1e999 2; 3 4"}, "course.0.0: Input should be a finite number"),
        ({"attachments": [attached(), attached(OTHER)]}, "would count at the same time"),
        ({"attachments": [attached(begins=moment(9), ends=moment(9))]}, "`ends` must be later than `begins`"),
        ({"attachments": [attached(begins="0001-01-01T00:00:00+10:00")]}, "must be a time between 1970 and 2999"),
        ({"attachments": [attached(begins="2026-01-01T00:00:00")]}, "must be a time with an offset, such as"),
        ({"attachments": [{"device": "pole-7", "line": "a"}]}, "attachments.0.device: "),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InventoryError) as refused:
        quay(**values)
    assert sentence in refused.value.problems[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no column 'site'"),
        ("site,road,time_zone,lanes,colour\n", "has an unknown column 'colour'"),
        ("site,road,time_zone,public\nquay,Quay,UTC,perhaps\n", "row 2: public: must be yes or no"),
        ("site,road,time_zone\nquay,Quay,UTC\nquay,Key,UTC\n", "row 3: road of quay is another one than in row 2"),
        ("site,road,time_zone,lat\nquay,Quay,UTC,north\n", "row 2: lat: "),
        ("site,road,road,time_zone\nquay,Quay,Key,UTC\n", "has twice the column 'road'"),
        ("site,road,time_zone\nquay,Quay,UTC\nkey,Quay Road,UTC,north\n", "row 3: has more cells than the first line"),
        ('site,road,time_zone\n"quay,Quay,UTC\n', "this is no CSV file"),
        ("site,road,time_zone,course\nquay,Quay,UTC,1 2 3 4\n", "row 2: course: must be LINESTRING"),
    ],
)
def test_a_wrong_csv_file_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InventoryError) as refused:
        read_inventory_csv(text)
    assert sentence in refused.value.problems[0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "this is no JSON"),
        ("[1]", "this is no FeatureCollection"),
        ('{"type": "FeatureCollection", "features": [1]}', "feature 1: is no feature"),
        (
            '{"type": "FeatureCollection", "features": [{"properties": {}, "geometry": {"type": "Polygon"}}]}',
            "feature 1: its geometry must be a Point, a LineString or null",
        ),
        (
            '{"type": "FeatureCollection", "features": [{"properties": {}, "geometry": {"type": "MultiLineString",'
            '"coordinates": [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]}}]}',
            "feature 1: its geometry must be a Point, a LineString or null",
        ),
        (
            '{"type": "FeatureCollection", "features": [{"id": "a", "properties": {"road": "A", "time_zone": "UTC"},'
            '"geometry": {"type": "Point", "coordinates": [200, 1]}}]}',
            "feature 1: lon: Input should be less than or equal to 180",
        ),
    ],
)
def test_a_wrong_geojson_file_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InventoryError) as refused:
        read_inventory_geojson(text)
    assert sentence in refused.value.problems[0]


@pytest.mark.parametrize(
    "text",
    [
        "LINESTRING (4.9 52.1, 4.91 52.1)",
        "linestring z(4.9 52.1 -3,4.91 52.1 -2)",
        "SRID=4326;LINESTRING(4.9 52.1, 4.91 52.1)",
        "4.9 52.1; 4.91 52.1",
        " 4.9\t52.1 ;\n+4.91 5.21e1 ",
    ],
)
def test_a_course_is_read_from_text(text: str) -> None:
    assert quay(course=text).course == [(4.9, 52.1), (4.91, 52.1)]
    assert quay(course=" ").course is None


@pytest.mark.parametrize(
    ("kind", "coordinates"),
    [("LineString", [[4.9, 52.1, 7], [4.91, 52.1, 8]]), ("MultiLineString", [[[4.9, 52.1], [4.91, 52.1]]])],
)
def test_a_drawn_line_is_a_site_that_stands_halfway_along_it(database: Database, kind: str, coordinates: Any) -> None:
    feature = {"type": "Feature", "id": "quay", "properties": {"road": "Quay Road", "time_zone": "UTC"}}
    drawn = {**feature, "geometry": {"type": kind, "coordinates": coordinates}}
    put(database, *read_inventory_geojson(json.dumps({"type": "FeatureCollection", "features": [drawn]})))
    (site,) = inventory(database)
    assert (site.course, site.lat, site.lon) == ([(4.9, 52.1), (4.91, 52.1)], 52.1, 4.905)
    (told,) = json.loads(inventory_geojson([site]))["features"]
    assert told["geometry"] == {"type": "LineString", "coordinates": [[4.9, 52.1], [4.91, 52.1]]}
    assert (told["properties"]["lat"], told["properties"]["lon"]) == (52.1, 4.905)
    assert put(database, *read_inventory_geojson(inventory_geojson([site]))) == {}
    assert put(database, *read_inventory_csv(inventory_csv([site]))) == {}
    assert put(database, quay(time_zone="UTC", lat=52.1, lon=4.905))["quay"]["course"][1] is None


def test_halfway_is_measured_along_the_course() -> None:
    assert middle_of([(0.0, 0.0), (0.0, 0.0), (0.0, 0.3), (0.1, 0.3)]) == pytest.approx((0.0, 0.2), abs=1e-6)
    assert middle_of([(0.0, 60.0), (0.2, 60.0), (0.2, 60.2)])[0] == 0.2  # a degree east is short there


def test_every_wrong_row_of_a_file_is_told() -> None:
    rows = "".join(f"quay-{n},Quay,Nowhere\n" for n in range(30))
    with pytest.raises(InventoryError) as refused:
        read_inventory_csv("site,road,time_zone\n" + rows)
    assert len(refused.value.problems) == 20
    assert set(COLUMNS) >= {"site", "road", "time_zone"}


def test_a_line_counts_at_one_site_at_a_time(database: Database) -> None:
    put(database, quay(attached()))
    twice = quay(attached(begins=moment(LATER)), id="other")
    with pytest.raises(InventoryError, match="would count at quay and at other at the same time"):
        put(database, twice)
    assert [site.id for site in inventory(database)] == ["quay"]
    with pytest.raises(InventoryError, match="would count at quay and at other"):
        judge_together([quay(attached()), twice])
    with pytest.raises(InventoryError, match="quay is described more than once"):
        judge_together([quay(), quay()])
    put(database, twice, quay(attached(ends=moment(LATER))))
    assert [len(site.attachments) for site in inventory(database)] == [1, 1]


def replaced(database: Database, *, breaks: bool) -> Sequence[int]:
    """Store six hours of one device and six of the next, attach both to a site, and return its cars by hours."""
    before = series(360, start=LATER - 6 * 3600, cars=0)
    after = [changed(one, name=OTHER) for one in series(360, name=OTHER, start=LATER, cars=0)]
    store(database, [replace(one, counts=(*one.counts[:1], 1, *one.counts[2:])) for one in [*before, *after]])
    roll(database)
    put(database, quay(attached(ends=moment(LATER)), attached(OTHER, begins=moment(LATER), turned=True, breaks=breaks)))
    return [many for _, many in cars(database, "quay", "hour")]


def test_a_replaced_device_continues_the_series(database: Database) -> None:
    assert replaced(database, breaks=False) == [60] * 12
    with database.connect() as connection:
        (change,) = read_changes(connection, "quay", START, LATER + 86_400)
        assert (change.at, change.kind, change.breaks) == (LATER, "line", False)
        assert (change.before, change.after) == ("harbour/pole-7/quay-road", "harbour/pole-9/main")
        assert newest_breaks(connection, ["quay"], START, LATER + 86_400) == {"quay": START}
        assert read_changes(connection, "quay", LATER + 1, LATER + 86_400) == []


def test_a_break_is_marked(database: Database) -> None:
    replaced(database, breaks=True)
    with database.connect() as connection:
        assert newest_breaks(connection, ["quay"], START, LATER + 86_400) == {"quay": LATER}


def test_a_line_with_a_long_history_is_taken_in_seconds(database: Database) -> None:
    def sites(number: int) -> list[SiteDescription]:
        spans = [range(first, first + 200) for first in range(0, 4_000, 200)]
        return [
            quay(id=f"quay-{number}-{span[0]}", attachments=[attached(NAME, **hours(2 * at + number)) for at in span])
            for span in spans
        ]

    def hours(number: int) -> dict[str, Any]:
        return {"begins": moment(LATER + number), "ends": moment(LATER + number + 1)}

    make_site(database)
    began = time.process_time()
    for number in (0, 1):
        assert len(put(database, *sites(number))) == 20
    with pytest.raises(InventoryError, match="would count at quay-0-200 and at new at the same time"):
        put(database, quay(id="new", attachments=[attached(NAME, **hours(500))]))
    judged = [site.model_copy(update={"id": f"{site.id}-again"}) for site in sites(0)]
    with pytest.raises(InventoryError) as refused:
        put(database, *sites(0), *judged)
    assert len(refused.value.problems) == 20
    assert time.process_time() - began < 20  # by comparing each with each: minutes


def test_a_site_that_made_itself_gives_its_line_up(database: Database) -> None:
    made = make_site(database)
    put(database, quay(attached()))
    assert [site.id for site in inventory(database)] == ["quay"]
    make_site_again = make_site(database)  # the device tells its meta again
    assert (make_site_again, inventory(database)[0].road) == ("quay", "Quay Road")
    with database.connect() as connection:
        assert connection.execute(select(SITE.c.by_hand)).scalars().all() == [True]
    assert made != "quay"


def test_a_site_that_made_itself_keeps_what_was_counted_before(database: Database) -> None:
    made = make_site(database)
    store(database, series(360, start=LATER - 6 * 3600, cars=0))
    roll(database)
    put(database, quay(attached(begins=moment(LATER - 3600))))
    assert [len(cars(database, site.id, "hour")) for site in inventory(database)] == [5, 1]
    assert inventory(database)[0].id == made


def test_other_models_configurations_and_numbers_are_marked(database: Database) -> None:
    put(database, quay(attached()))
    first, second, third, fourth = (series(30, start=LATER + n * 1800, installation=i) for n, i in enumerate("aabb"))
    second = [replace(one, seq=one.seq + 30, settings=replace(one.settings, config="c2")) for one in second]
    third = [replace(one, settings=replace(one.settings, config="c3")) for one in third]
    fourth = [replace(one, seq=one.seq + 30, settings=replace(one.settings, config="c3", model="m2")) for one in fourth]
    store(database, [*first, *second, *third, *fourth])
    roll(database)
    with database.begin() as connection:
        for config, lost_s, end in ((first[0].settings.config, 1.0, 1), ("c2", 2.0, 1), ("c3", 2.0, 0.5)):
            note_config(connection, {(NAME.site, NAME.device, config): told(config, lost_s, end)})
        changes = read_changes(connection, "quay", START, LATER + 86_400)
    assert [(change.at - LATER, change.kind, change.breaks, change.reason) for change in changes] == [
        (1800, "config", False, "tracker.lost_s"),
        (3600, "drawn", True, ""),
        (3600, "installation", False, ""),
        (5400, "model", False, ""),
    ]
    assert (changes[3].before, changes[3].after) == (first[0].settings.model, "m2")


def told(config: str, lost_s: float, end: float) -> ConfigMeta:
    return ConfigMeta(
        site=NAME.site,
        device=NAME.device,
        lines=[LineMeta(id=NAME.line, start=(0, 0), end=(1, end))],
        classes=["car"],
        interval_s=60,
        model="",
        config=config,
        version="1",
        counting={"tracker": {"lost_s": lost_s, "gate": 1}},
    )


def test_a_deleted_site_is_gone_and_its_counts_stay(database: Database) -> None:
    replaced(database, breaks=False)
    with database.begin() as connection:
        assert delete_site(connection, "quay", "anna", START)
        assert not delete_site(connection, "quay", "anna", START)
    assert inventory(database) == []
    put(database, quay(attached(ends=moment(LATER))))
    assert [many for _, many in cars(database, "quay", "hour")] == [60] * 6


@pytest.mark.parametrize("time_zone", ["Asia/Kolkata", "Europe/Amsterdam"])
def test_a_site_that_is_added_up_anew_has_the_sums_it_had(database: Database, time_zone: str) -> None:
    put(database, quay(attached(turned=True), time_zone=time_zone))
    midnight = 1_792_879_200  # 2026-10-25 00:00 in Amsterdam, a day of 25 hours
    store(database, series(500, start=midnight - 7200, length=300, coverage=0.5, flags="dark"))
    roll(database)
    with database.begin() as connection:
        before = [read_totals(connection, "quay", 0, 2**40, step) for step in STEPS]
        roll_sites(connection, ["quay"])
        assert [read_totals(connection, "quay", 0, 2**40, step) for step in STEPS] == before
    assert [len(totals) for totals in before][2] >= 1


def counting_lines(database: Database, many: int) -> list[LineName]:
    """Return lines that count, each at a site that its device has made; of the first half something has come."""
    names = [LineName("harbour", f"pole-{many}-{n}", "main") for n in range(many)]
    store(database, [one for name in names[: many // 2] for one in series(3, name=name, length=900)])
    roll(database)
    metas = {(name.site, name.device): meta_of(name) for name in names}
    with database.begin() as connection:
        note_meta(connection, metas, START, Storing().lines(connection, names))
    return names


def meta_of(name: LineName) -> Meta:
    return Meta(
        site=name.site,
        device=name.device,
        lines=[LineMeta(id=name.line, start=(0, 0), end=(1, 1))],
        classes=["car"],
        interval_s=60,
        model="",
        config="",
        version="1",
    )


def test_many_sites_are_put_with_as_few_statements_as_two(database: Database) -> None:
    """Each takes its line over from the site that the device has made: with what has come before, or for good."""
    statements: dict[int, int] = {}
    for many in (2, 100):
        sites = [
            quay(attached(name, begins=moment(START - START % 900 + 900)), id=f"{name.device}-new", road="New Road")
            for name in counting_lines(database, many)
        ]
        with database.begin() as connection:
            run: list[str] = []
            event.listen(connection, "before_cursor_execute", lambda *told: run.append(told[2]))  # noqa: B023
            assert len(put_sites(connection, sites, "anna", float(START))) == many
            statements[many] = len(run)
        named = [site.id for site in inventory(database) if f"pole-{many}-" in site.id]
        assert len(named) == many + many // 2  # where something has come the former site stays
        for n in (0, many - 1):
            counted = [cars(database, f"pole-{many}-{n}-new", step) for step in ("quarter", "hour")]
            assert [sum(vehicles for _, vehicles in steps) for steps in counted] == ([5, 5] if n == 0 else [0, 0])
    assert statements[100] <= statements[2] + 3


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_file_of_a_spreadsheet_is_read_whatever_stands_between_its_columns(separator: str) -> None:
    point = "." if separator == "," else ","
    rows = [
        ("site", "road", "time_zone", "lat", "lon", "course"),
        ("quay", "Quay Road", "Europe/Berlin", f"52{point}37", f"4{point}89", '"4.9 52.1; 4.91 52.1"'),
    ]
    (site,) = read_inventory_csv("\ufeff" + "\r\n".join(separator.join(row) for row in rows))
    assert (site.road, site.lat, site.lon) == ("Quay Road", 52.37, 4.89)
    assert site.course == [(4.9, 52.1), (4.91, 52.1)] or list(map(list, site.course or ())) == [
        [4.9, 52.1],
        [4.91, 52.1],
    ]
