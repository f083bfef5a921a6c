"""The fleet over the API: who runs what, one device, orders, roll-outs, and who may see and ask which."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import httpx
import pytest
from sqlalchemy import select

from edge_app.city.api import build_api
from edge_app.city.database import accounts, orders
from edge_app.city.database.changes import read_changes
from edge_app.city.database.engine import Database
from edge_app.city.database.fleet import note_heard
from edge_app.city.database.storing import Storing
from edge_app.city.database.tables import COMPARABLE, ORDER
from edge_app.city.live import Live
from edge_app.city.records import Interval, Settings
from edge_app.city.routes.city import City
from tests.city.cases import START, changed, series
from tests.city.test_storing import make_site, roll
from tests.support.city_api import client_of
from tests.support.fleet_city import (
    NEW,
    OLD,
    add_config,
    add_device,
    add_release_rollout,
    add_stopped_rollout,
    answer,
    begin_office,
)

PASSWORD = "four random words"
DEVICE = "harbour/pole-7"
MOVED = {"id": "quay-road", "start": [0.12, 0.62], "end": [0.92, 0.58]}
SCOPES: tuple[accounts.Scope, ...] = ("read", "write", "admin")
JPEG = b"\xff\xd8\xff\xe0 a picture"


@pytest.fixture
def http(database: Database) -> Iterator[httpx.Client]:
    with database.begin() as connection:
        add_device(connection, START)
        add_device(connection, START, ("harbour", "pole-8"), state="offline", version="0.2.0", report={"state": "none"})
        refused = {"state": "refused", "problems": ["counting.interval_s: must divide 3600"]}
        add_device(connection, START, ("north", "pole-1"), model=NEW, report=refused)
        add_device(connection, START, ("north", "pole-2"), drift=["model"], problem="the disk is full")
    with client_of(build_api(City(database, Live(), utc=lambda: float(START)))) as client:
        yield client


def names(http: httpx.Client, **wanted: str) -> list[str]:
    told = http.get("/api/v1/devices", params=wanted).json()
    assert told["found"] == len(told["devices"])
    return [one["device"] for one in told["devices"]]


def test_devices_are_found_by_what_they_run_and_by_their_troubles(http: httpx.Client) -> None:
    assert names(http) == ["harbour/pole-7", "harbour/pole-8", "north/pole-1", "north/pole-2"]
    assert names(http, search="HARBOUR/pole") == ["harbour/pole-7", "harbour/pole-8"]
    assert names(http, search="roads-b") == names(http, model=NEW) == names(http, office="refused") == ["north/pole-1"]
    assert names(http, search="disk") == names(http, drift="true") == ["north/pole-2"]
    assert names(http, search="pole%7") == names(http, search="pole_7") == []
    assert names(http, version="0.2.0") == names(http, state="offline") == names(http, office="none")
    assert names(http, trouble="true") == ["harbour/pole-8", "north/pole-1", "north/pole-2"]
    assert names(http, state="online", office="unknown") == ["harbour/pole-7", "north/pole-2"]
    part = http.get("/api/v1/devices", params={"limit": 1, "trouble": "true"}).json()
    assert (part["found"], part["next"]) == (3, "harbour/pole-8")
    part = http.get("/api/v1/devices", params={"limit": 1, "trouble": "true", "after": part["next"]}).json()
    assert part["devices"][0]["device"] == "north/pole-1"
    assert part["devices"][0] | {"model": NEW, "model_name": "roads-b", "office": "refused"} == part["devices"][0]


def test_devices_are_found_by_the_end_of_their_certificates(database: Database, http: httpx.Client) -> None:
    """Also a release that told none, one of another offset, and one that no calendar has."""
    day, at = 86_400, datetime.fromtimestamp(START, timezone.utc)
    ends = {"pole-7": 400 * day, "pole-8": -day, "pole-9": 30 * day}
    with database.begin() as connection:
        for device, later in ends.items():
            told = (at + timedelta(seconds=later)).astimezone(timezone(timedelta(hours=-11)))
            add_device(connection, START, ("harbour", device), certificate_ends=told.isoformat())
        add_device(connection, START, ("north", "pole-1"), certificate_ends=None)
        add_device(connection, START, ("north", "pole-2"), certificate_ends="9999-12-31T23:59:59-11:00")
    assert names(http, certificate_days="0") == ["harbour/pole-8"]
    assert names(http, certificate_days="30") == ["harbour/pole-8", "harbour/pole-9"]
    assert names(http, certificate_days="400") == ["harbour/pole-7", "harbour/pole-8", "harbour/pole-9"]
    order = ["harbour/pole-8", "harbour/pole-9", "harbour/pole-7", "north/pole-1", "north/pole-2"]
    assert names(http, sort="certificate") == order
    found, after = list[str](), ""
    while after is not None:
        told_part = http.get("/api/v1/devices", params={"limit": 1, "sort": "certificate", "after": after}).json()
        found, after = [*found, *(one["device"] for one in told_part["devices"])], told_part["next"]
    assert found == order
    told_ends = [one["certificate_ends"] for one in http.get("/api/v1/devices").json()["devices"]]
    assert told_ends[0] == (at + timedelta(days=400)).isoformat().replace("+00:00", "Z")
    assert told_ends[3:] == [None, None]
    assert http.get("/api/v1/devices", params={"sort": "colour"}).json()["code"] == "not_among"


def test_one_that_says_nothing_while_others_do_needs_a_look(database: Database, http: httpx.Client) -> None:
    assert "harbour/pole-7" not in names(http, trouble="true")
    with database.begin() as connection:
        note_heard(connection, [("north", "pole-2")], START + 3_600)
    assert "harbour/pole-7" not in names(http, trouble="true")
    with database.begin() as connection:
        note_heard(connection, [("north", "pole-2")], START + 3_601)
    assert names(http, trouble="true", state="online") == ["harbour/pole-7", "north/pole-1", "north/pole-2"]


def test_the_fleet_is_added_up(http: httpx.Client) -> None:
    told = http.get("/api/v1/fleet").json()
    assert (told["devices"], told["drifting"]) == (4, 1)
    assert told["states"] == [
        {"value": "online", "name": "", "devices": 3},
        {"value": "offline", "name": "", "devices": 1},
    ]
    assert told["models"] == [
        {"value": OLD, "name": "roads-a", "devices": 3},
        {"value": NEW, "name": "roads-b", "devices": 1},
    ]
    assert {one["value"]: one["devices"] for one in told["office"]} == {"unknown": 2, "none": 1, "refused": 1}


def counted(database: Database) -> str:
    """Store two hours of the device, the second one under another configuration; return its site."""
    site = make_site(database, "UTC")
    begin = START // 3600 * 3600

    def under(one: Interval) -> Interval:
        config = "aaaaaaaaaaaa" if one.start < begin + 3600 else "bbbbbbbbbbbb"
        return changed(one, settings=Settings(OLD, config, "f15d29bef54a", 900.0, "dark" if one.seq == 1 else ""))

    with database.begin() as connection:
        Storing().store(connection, [under(one) for one in series(8, start=begin, length=900)], float(begin + 7300))
        add_config(connection, "aaaaaaaaaaaa", (0.1, 0.62))
        add_config(connection, "bbbbbbbbbbbb", (0.12, 0.62), interval_s=300)
    roll(database)
    return site


def test_one_device_is_told_with_its_days_and_its_configurations(database: Database, http: httpx.Client) -> None:
    counted(database)
    begin = START // 3600 * 3600
    with database.begin() as connection:
        add_device(connection, START)
    with client_of(build_api(City(database, Live(), utc=lambda: float(begin + 7200)))) as later:
        told = later.get(f"/api/v1/devices/{DEVICE}").json()
        assert later.get(f"/api/v1/devices/{DEVICE}/configs/bbbbbbbbbbbb").json()["config"] == "bbbbbbbbbbbb"
        assert later.get(f"/api/v1/devices/{DEVICE}/configs/cccccccccccc").json()["code"] == "no_config"
    assert told["lines"][0]["left_to_right"] == "to the port"
    assert told["health"]["temperature_c"] == 61.3
    today = told["days"][-1]
    assert len(told["days"]) == 8
    assert today["flags"] == {"dark": 900}
    assert told["days"][0]["seen"] == 0
    newest, oldest = told["configs"]
    assert (newest["config"], newest["before"], newest["drawn"]) == ("bbbbbbbbbbbb", "aaaaaaaaaaaa", ["quay-road"])
    assert newest["keys"] == ["counting.interval_s"]
    assert (oldest["config"], oldest["before"], oldest["keys"]) == ("aaaaaaaaaaaa", None, [])
    assert http.get("/api/v1/devices/harbour/pole-99").json()["code"] == "no_device"


@pytest.mark.parametrize("comparable", [[], ["quay-road"]])
def test_a_moved_line_breaks_its_series_unless_a_person_says_that_it_goes_on(
    database: Database, http: httpx.Client, comparable: list[str]
) -> None:
    site = counted(database)
    order = {"kind": "config", "device": DEVICE, "values": {"lines": [MOVED]}, "comparable": comparable}
    assert http.post("/api/v1/orders", json=order).status_code == 200
    with database.connect() as connection:
        found = read_changes(connection, site, START - 86_400, START + 86_400)
    assert [(one.kind, one.breaks) for one in found if one.kind == "drawn"] == [("drawn", not comparable)]


def test_an_order_is_placed_with_who_and_followed(database: Database, http: httpx.Client) -> None:
    values = {"counting.interval_s": 300, "log.level": "debug"}
    table = {"kind": "config", "device": DEVICE, "values": values, "left": ["view"]}
    assert http.post("/api/v1/orders", json=table).json()["code"] == "not_by_office"  # keys are set, no tables
    placed = http.post("/api/v1/orders", json={"kind": "config", "device": DEVICE, "values": values})
    order = placed.json()["id"]
    (told,) = http.get("/api/v1/orders", params={"subject": DEVICE}).json()["orders"]
    assert (told["kind"], told["state"], told["who"], told["file"]) == ("config", "waiting", "this machine", False)
    assert told["args"] == {"values": values, "unset": [], "left": []}
    again = http.post("/api/v1/orders", json={"kind": "config", "device": DEVICE, "unset": ["log.level"]})
    assert (again.status_code, again.json()["code"]) == (409, "order_waits")
    answer(database, order, "refused", "refused: counting.interval_s: must divide 3600", START)
    (told,) = http.get("/api/v1/orders", params={"subject": DEVICE}).json()["orders"]
    assert (told["state"], told["answer"]) == ("refused", "refused: counting.interval_s: must divide 3600")
    assert http.post("/api/v1/orders", json={"kind": "config", "device": DEVICE, "unset": ["log.level"]}).is_success
    audit = http.get("/api/v1/audit", params={"subject": DEVICE}).json()["entries"]
    assert [one["action"] for one in audit] == ["order.config", "order.config"]
    assert http.get("/api/v1/audit", params={"subject": "north/pole-1"}).json()["entries"] == []


def test_an_order_that_nobody_has_taken_holds_back_no_other(database: Database, http: httpx.Client) -> None:
    with database.begin() as connection:
        orders.place_order(connection, "anna", "restart", DEVICE, {}, START - orders.WAITS_S - 1)
    assert http.post("/api/v1/orders", json={"kind": "restart", "device": DEVICE}).is_success


@pytest.mark.parametrize(
    ("order", "code"),
    [
        ({"kind": "config", "device": DEVICE, "values": {"mqtt.host": "x"}}, "not_by_office"),
        ({"kind": "config", "device": DEVICE, "left": ["detector.shadow_of"]}, "not_by_office"),
        ({"kind": "config", "device": DEVICE}, "no_change"),
        ({"kind": "config", "device": DEVICE, "values": {"log.level": None}}, "null_value"),
        ({"kind": "config", "device": DEVICE, "values": {"lines": [{"id": "a", "queue": None}]}}, "null_value"),
        ({"kind": "config", "device": DEVICE, "values": {"log.level": "x" * 40_000}}, "long_order"),
        ({"kind": "config", "device": DEVICE, "values": {"log.level": "x"}, "comparable": ["a"]}, "no_such_line"),
        ({"kind": "restart", "device": "harbour/pole-99"}, "no_device"),
        ({"kind": "pause", "rollout": "roads-x"}, "no_rollout"),
        ({"kind": "snapshot", "device": DEVICE, "width": 100}, "too_small"),
        ({"kind": "harvest", "device": DEVICE, "enabled": True, "hours": 200}, "too_large"),
    ],
)
def test_an_order_that_cannot_be_is_refused(
    database: Database, http: httpx.Client, order: dict[str, object], code: str
) -> None:
    assert http.post("/api/v1/orders", json=order).json()["code"] == code
    with database.connect() as connection:
        assert connection.execute(select(ORDER)).all() == connection.execute(select(COMPARABLE)).all() == []


@pytest.mark.parametrize(
    "value",
    ["NaN", "1e999", "9" * 400, '"\\ud800"', '{"\\ud800": 1}', "[" * 400 + "]" * 400],
    ids=["NaN", "infinite", "large", "half a character", "half of one in a name", "deep"],
)
def test_what_no_file_of_a_device_can_have_is_refused(database: Database, http: httpx.Client, value: str) -> None:
    line = f'{{"id": "quay-road", "start": [{value}, 0.6], "end": [0.9, 0.6]}}'
    for values in (f'{{"counting.interval_s": {value}}}', f'{{"lines": [{line}]}}'):
        order = f'{{"kind": "config", "device": "{DEVICE}", "values": {values}, "comparable": ["quay-road"]}}'
        answered = http.post("/api/v1/orders", content=order, headers={"content-type": "application/json"})
        assert (answered.status_code, answered.json()["code"]) == (422, "odd_value")
    with database.connect() as connection:
        assert connection.execute(select(ORDER)).all() == connection.execute(select(COMPARABLE)).all() == []


def test_harvest_is_switched_off_without_hours(http: httpx.Client) -> None:
    assert http.post("/api/v1/orders", json={"kind": "harvest", "device": DEVICE, "enabled": False}).is_success
    (told,) = http.get("/api/v1/orders").json()["orders"]
    assert told["args"] == {"enabled": False}


def test_what_a_device_has_sent_is_shown_as_a_picture_only_where_it_is_one(
    database: Database, http: httpx.Client
) -> None:
    for content, kind in ((JPEG, "image/jpeg"), (b"<html>", "application/octet-stream")):
        order = http.post("/api/v1/orders", json={"kind": "snapshot", "device": DEVICE}).json()["id"]
        assert http.get(f"/api/v1/orders/{order}/file").json()["code"] == "no_order_file"
        answer(database, order, "answered", "13 bytes", START, content)
        file = http.get(f"/api/v1/orders/{order}/file")
        assert (file.content, file.headers["content-type"], file.headers["cache-control"]) == (
            content,
            kind,
            "no-store",
        )
        assert "nosniff" in file.headers["x-content-type-options"]
        assert http.get("/api/v1/orders").json()["orders"][0]["file"] is True


def test_the_offices_process_is_told_to_run_or_not(database: Database, http: httpx.Client) -> None:
    told = http.get("/api/v1/office").json()
    assert (told["running"], told["seen"]) == (False, None)
    assert {"lines", "counting.interval_s", "detector.region"} < set(told["keys"])
    assert not {key for key in told["keys"] if key.startswith(("mqtt.", "office.", "source."))}
    with database.begin() as connection:
        begin_office(connection, START - 59)
    assert http.get("/api/v1/office").json()["running"] is True
    with client_of(build_api(City(database, Live(), utc=lambda: float(START + 2)))) as later:
        assert later.get("/api/v1/office").json()["running"] is False


def test_a_rollout_is_told_with_groups_evidence_and_history(database: Database, http: httpx.Client) -> None:
    with database.begin() as connection:
        kept = add_stopped_rollout(connection, START)
    (told,) = http.get("/api/v1/rollouts").json()["rollouts"]
    assert (told["id"], told["name"], told["state"], told["group"], told["who"]) == (
        *(kept.id, "roads-b", "taking_back", 1),
        "rule",
    )
    assert [(one["number"], one["devices"], one["states"]) for one in told["groups"]] == [
        (1, 2, {"back": 1, "running": 1}),
        (2, 10, {"waiting": 10}),
    ]
    assert (told["groups"][0]["begun"] is None, told["groups"][1]["begun"]) == (False, None)
    whole = http.get(f"/api/v1/rollouts/{kept.id}").json()
    assert (whole["decision"], whole["hours"], whole["lacking"]) == ("stop", 61, ["truck"])
    assert (whole["starves"], whole["leans"]) == (False, "")
    assert whole["sums"][0] == {"name": "all classes", "candidate": 4210.0, "before": 4699.0}
    assert [one["what"] for one in whole["events"]] == ["stopped", "started"]
    assert whole["members"][0]["reason"] == "took it back by itself: frames no longer come"
    assert http.get("/api/v1/rollouts/99").json()["code"] == "no_rollout"
    assert http.post("/api/v1/orders", json={"kind": "take_back", "rollout": "roads-b", "why": "night"}).is_success
    (order,) = http.get("/api/v1/orders", params={"subject": "roads-b"}).json()["orders"]
    assert (order["kind"], order["args"]) == ("take_back", {"why": "night"})


def test_a_rollout_of_a_release_tells_its_version(database: Database, http: httpx.Client) -> None:
    with database.begin() as connection:
        add_stopped_rollout(connection, START)
        kept = add_release_rollout(connection, START)
    told = http.get("/api/v1/rollouts").json()["rollouts"]
    assert [(one["kind"], one["version"]) for one in told] == [("release", "0.2.0"), ("detector", "")]
    whole = http.get(f"/api/v1/rollouts/{kept.id}").json()
    assert whole["sums"] == [{"name": "all classes", "candidate": 910.0, "before": 903.5}]


def test_readers_see_the_fleet_and_neither_orders_nor_audit_nor_pictures(
    database: Database, http: httpx.Client
) -> None:
    with database.begin() as connection:
        accounts.add_account(connection, "anna", "administrator", PASSWORD, "test", START)
        secrets = {one: accounts.add_token(connection, one, one, None, "test", START) for one in SCOPES}
        kept = add_stopped_rollout(connection, START)
        order = orders.place_order(connection, "anna", "snapshot", DEVICE, {}, START)
    answer(database, order, "answered", "13 bytes", START, JPEG)
    private = ("office", "orders", f"orders/{order}/file", "rollouts", f"rollouts/{kept.id}", "audit?subject=x")
    seen = ("fleet", "devices", f"devices/{DEVICE}")
    for scope, secret in secrets.items():
        headers = {"authorization": f"Bearer {secret}"}
        for path in seen:
            assert http.get(f"/api/v1/{path}", headers=headers).status_code == 200, (scope, path)
        expected = 200 if scope == "admin" else 403
        for path in (*private, f"devices/{DEVICE}/office"):
            assert http.get(f"/api/v1/{path}", headers=headers).status_code == expected, (scope, path)
        asked = http.post("/api/v1/orders", json={"kind": "restart", "device": DEVICE}, headers=headers)
        assert asked.status_code == expected
    assert http.get("/api/v1/fleet").status_code == 401
    (told,) = http.get("/api/v1/orders?subject=harbour/pole-7", headers=headers).json()["orders"][:1]
    assert told["who"] == "token admin"
