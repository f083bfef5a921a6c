"""Lean devices of a fleet count, number and deliver as devices do, through restarts, wrong clocks and a dead broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from edge_app.city.database.engine import open_database
from edge_app.city.simulator.traffic import Street
from edge_app.mqtt.identity import Device
from edge_app.records import VEHICLES, Crossing
from edge_app.storage.counts import Counting
from tests.support.brokers import eventually, mosquitto, needs_mosquitto
from tests.support.city_brokers import Broker
from tests.support.city_worker import start
from tests.support.fleet import Plan, begin, fate_of
from tests.support.fleet_check import compare
from tests.support.fleet_devices import Way
from tests.support.lean_ledger import LeanLedger
from tests.support.postgres import Postgres

DEVICE = Device("ring", "pole-1", "boot-1", "0.1.0", "ab" * 32, "cd" * 32)
AT = 1_800_000_000


def cars(*times: float) -> list[Crossing]:
    return [Crossing(at, 1, 1, "car", "main", "left_to_right", 0.9) for at in times]


@pytest.fixture
def ledger() -> Iterator[LeanLedger]:
    made = LeanLedger(DEVICE, ["main"], Counting(VEHICLES, 60))
    yield made
    made.close()


def seqs(ledger: LeanLedger) -> list[tuple[int, int]]:
    """Return number and begin, in minutes, of each interval that waits."""
    return [(row.seq, int(row.start - AT) // 60) for row in ledger.outbox.pending()]


def test_intervals_close_when_a_device_would_close_them(ledger: LeanLedger) -> None:
    assert ledger.record(AT + 1, cars(AT + 0.5)) == 0
    assert ledger.record(AT + 62.0, cars(AT + 59, AT + 61)) == 0
    assert ledger.record(AT + 63.0, []) == 1
    assert (ledger.counted, ledger.still_open) == (3, 1)
    (one,) = ledger.counted_by_series()
    assert (one.newest, one.totals["car"]) == (1, {"left_to_right": 2, "right_to_left": 0})


def test_numbers_totals_and_the_open_interval_outlive_a_restart(ledger: LeanLedger) -> None:
    ledger.record(AT + 1, cars(AT + 0.5))
    ledger.record(AT + 70, cars(AT + 65))
    before = ledger.installation
    ledger.begin_run(DEVICE)
    ledger.record(AT + 100, cars(AT + 99))
    ledger.record(AT + 130, [])
    assert ledger.installation == before
    assert seqs(ledger) == [(1, 0), (2, 1)]
    (one,) = ledger.counted_by_series()
    assert one.totals["car"]["left_to_right"] == 3


def test_a_clock_that_steps_back_begins_another_installation(ledger: LeanLedger) -> None:
    ledger.record(AT + 601, cars(AT + 600))
    ledger.record(AT + 670, cars(AT + 669))
    before = ledger.installation
    ledger.record(AT + 1, cars(AT + 0.5))
    ledger.record(AT + 70, [])
    assert ledger.installation != before
    found = {one.installation: (one.newest, one.totals["car"]["left_to_right"]) for one in ledger.counted_by_series()}
    assert found == {before: (2, 2), ledger.installation: (1, 1)}


def test_a_street_gives_the_same_vehicles_as_crossings() -> None:
    street = Street("Ring Road", 4_000.0, 0.5, ZoneInfo("UTC"))
    drawn = list(street.crossings("main", AT, AT + 60))
    assert len(drawn) == sum(street.vehicles(AT, AT + 60)) > 0
    assert all(AT <= one.at < AT + 60 for one in drawn)


def test_a_fate_is_the_same_at_every_call_and_shares_are_kept() -> None:
    plan = Plan(Way([1883], "auto", 60), "lean", 7, 600.0, 5.0, 0.2, 0.1, Path())
    fates = [fate_of(number, plan) for number in range(2_000)]
    assert fates[:50] == [fate_of(number, plan) for number in range(50)]
    assert 300 < sum(fate.off_s is not None for fate in fates) < 500
    assert 120 < sum(bool(fate.clocks) for fate in fates) < 280


@needs_mosquitto
@pytest.mark.servers
@pytest.mark.timeout(180)
@pytest.mark.parametrize("client", ["lean", "real"])
def test_a_small_fleet_loses_and_doubles_nothing(client: str, tmp_path: Path, postgres_server: Postgres) -> None:
    """And what it is compared by sees what is missing, and sums that are wrong."""
    url = postgres_server.raised()
    database = open_database(url)
    with ExitStack() as stack:
        stack.callback(database.close)
        server = stack.enter_context(mosquitto(tmp_path, "allow_anonymous true"))
        worker = start(Broker("mqtt", server), url)
        stack.callback(worker.wait, 10)
        stack.callback(worker.kill)
        plan = Plan(Way([server.port], "auto", 2), client, 3, 12.0, 1.0, 0.5, 0.3, tmp_path)  # type: ignore[arg-type]
        (part,) = stack.enter_context(begin(plan, 8))

        def so_many() -> bool:
            part.look()
            return part.report.delivered > 20

        eventually(so_many, 60.0)
        server.kill()
        server.start()
        eventually(lambda: so_many() and part.report.delivered > 40, 60.0)
        counted = part.hold()
        eventually(lambda: not compare(database, counted).missing, 90.0)
        assert compare(database, counted).faults == []
        first = counted[0]
        wrong = replace(first, newest=first.newest + 2, totals={"car": {"left_to_right": 1_000_000}})
        assert compare(database, [wrong, *counted[1:]]).faults == [
            "2 intervals are missing",
            "1 series have sums that are not the totals of their device",
        ]
