"""Metrics of the city side, and its alerts: each fires on its fault and on nothing else (promtool)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from sqlalchemy import insert

from edge_app.city.api import build_api
from edge_app.city.calendar import moment
from edge_app.city.database import accounts
from edge_app.city.database.engine import Database
from edge_app.city.database.missing import note_gone
from edge_app.city.database.orders import beat, place_order, read_holder, take_over
from edge_app.city.database.rollouts import add_rollout, note_events
from edge_app.city.database.storing import Storing, keep_aside
from edge_app.city.database.tables import DEVICE
from edge_app.city.gap_answers import GapAnswer
from edge_app.city.gap_telling import is_stuck
from edge_app.city.live import Live
from edge_app.city.records import WORDS
from edge_app.city.routes.city import City
from edge_app.rollout.leading import RULE, Event, RolloutState, begun
from edge_app.rollout.members import Member
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector
from tests.city.cases import NAME, START, series
from tests.city.test_storing import make_site, store
from tests.support.city_api import client_of
from tests.support.metrics_cases import PROMTOOL
from tests.support.paths import ROOT

FILE = ROOT / "deploy/city/alerts.yml"
RULES = {rule["alert"]: rule for rule in yaml.safe_load(FILE.read_text("utf-8"))["groups"][0]["rules"]}
WANTED = WantedDetector("detector.fetched", "c" * 64)
BUNDLE = {"url": "https://x/y.zip", "bytes": 9, "sha256": "d" * 64}
STARTED = Event("started", "anna", "2 devices in 1 group")
HOURS = 14
SHORT_HOURS = 3
_MINUTES = HOURS * 60


def told(client: httpx.Client) -> dict[str, float]:
    """Return the figures of /metrics by name and labels."""
    text = client.get("/metrics").text
    return {name: float(value) for name, value in re.findall(r"(?m)^(edge_app\S+) (\S+)$", text)}


def test_the_figures_are_those_of_the_database(database: Database) -> None:
    make_site(database)
    intervals = series(9)
    store(database, [*intervals[:2], *intervals[5:], *series(1, installation="0c9e77a1")])
    with database.begin() as connection:
        note_gone(connection, Storing().series(connection, NAME, intervals[0].installation), [(3, 3, "expired")])
        keep_aside(connection, "traffic/x", b"?", "no JSON", START)
    done = {"stored": 7}
    api = build_api(City(database, Live(), utc=lambda: START + 600.0, done=lambda: done, overdue=lambda: 4))
    with client_of(api) as client:
        figures = told(client)
        assert client.get("/health").json()["state"] == "ok"
        with database.begin() as connection:
            accounts.add_account(connection, "anna", "administrator", "four random words", "test", START)
        assert (client.get("/metrics").status_code, client.get("/health").status_code) == (401, 200)
    expected = {
        'edge_app_city_sites{state="unknown"}': 0,
        'edge_app_city_sites{state="offline"}': 1,
        'edge_app_city_devices{state="unknown"}': 1,
        'edge_app_city_missing_intervals{state="waiting"}': 2,
        'edge_app_city_missing_intervals{state="away"}': 0,
        'edge_app_city_gaps{state="lost"}': 1,
        "edge_app_city_stuck_gaps": 0,
        "edge_app_city_lost_intervals": 1,
        'edge_app_city_contradictions{kind="overlap"}': 1,
        'edge_app_city_contradictions{kind="content"}': 0,
        "edge_app_city_office_running": 0,
        "edge_app_city_orders_waiting": 0,
        'edge_app_city_rollouts{kind="release",state="paused"}': 0,
        'edge_app_city_drifting_devices{kind="model"}': 0,
        "edge_app_city_aside_messages": 1,
        "edge_app_city_waiting_quarters": 2,
        'edge_app_city_archive_files{state="whole"}': 0,
        "edge_app_city_archive_overdue_days": 4,
        "edge_app_city_newest_message_timestamp_seconds": START,
        'edge_app_city_ingest_total{what="stored"}': 7,
    }
    assert {name: figures.get(name) for name in expected} == expected
    # Of what nothing has yet there is a 0: the first one is a rise.
    used = {name for rule in RULES.values() for name in re.findall(r"edge_app_city_\w+", rule["expr"])}
    assert used <= {name.partition("{")[0] for name in figures}


def test_a_city_that_has_never_heard_a_device_is_not_told_to_be_silent(database: Database) -> None:
    with client_of(build_api(City(database, Live(), utc=lambda: START))) as client:
        assert "edge_app_city_newest_message_timestamp_seconds" not in told(client)


def test_what_an_alert_names_by_its_label_is_there_from_the_start(database: Database) -> None:
    """A rise from nothing would be missed: Prometheus knows no rise of what was not there."""
    with client_of(build_api(City(database, Live(), utc=lambda: START))) as client:
        figures = told(client)
    assert {name for name in figures if "contradictions{" in name} == {
        f'edge_app_city_contradictions{{kind="{kind}"}}' for kind in WORDS
    }
    for rule in RULES.values():
        for name, label, values in re.findall(r'(edge_app_city_\w+)\{(\w+)=~?"([^"]+)"\}', rule["expr"]):
            for value in values.split("|"):
                found = [one for one in figures if one.startswith(f"{name}{{") and f'{label}="{value}"' in one]
                assert found, f"{name} has no {label} {value}"
                assert {figures[one] for one in found} == {0}


def test_the_figures_of_the_office_are_those_of_its_tables(database: Database) -> None:
    now = START + 600.0
    with database.begin() as connection:
        assert take_over(connection, read_holder(connection), "one", now)
        beat(connection, "one", now, "the broker does not answer")
        place_order(connection, "anna", "restart", "h/1", {}, now)
        led: Sequence[tuple[RolloutState, str]] = [("running", "anna"), ("paused", "anna"), ("paused", RULE)]
        for number, (state, who) in enumerate(led):
            rollout = replace(begun("night", WANTED, BUNDLE, Cascade(), who, now), name=f"night-{number}", state=state)
            add_rollout(connection, rollout, [Member(f"h/{number}", 0, "stuck")], STARTED)
        ended = replace(begun("old", WANTED, BUNDLE, Cascade(), "anna", now - 31 * 86_400), state="taken_back")
        old = add_rollout(connection, ended, [Member("h/9", 0, "stuck")], STARTED).id
        note_events(connection, old, [Event("stopped", RULE, "it counts less")], START - 86_400)
        note_events(connection, old, [Event("stopped", "anna", "a person takes it back")], START - 86_400)
        for number, presence in enumerate(("online", "offline")):
            device = {"topic_site": "h", "device": f"{number}", "state": presence, "heard": START, "version": "1"}
            told_last = {"contract": "1.3", "health": {"drift": ["data", "traffic"]}, "meta": {}}
            connection.execute(insert(DEVICE).values({**device, **told_last}))
    with client_of(build_api(City(database, Live(), utc=lambda: now))) as client:
        figures = told(client)
    expected = {
        "edge_app_city_office_running": 1,
        "edge_app_city_office_problem": 1,
        "edge_app_city_orders_waiting": 1,
        'edge_app_city_rollouts{kind="detector",state="running"}': 1,
        'edge_app_city_rollouts{kind="detector",state="paused"}': 2,
        'edge_app_city_rollouts{kind="detector",state="taken_back"}': 1,
        'edge_app_city_rollouts{kind="release",state="running"}': 0,
        "edge_app_city_rollout_stops": 1,
        "edge_app_city_rollouts_asking": 1,
        "edge_app_city_rollout_devices_stuck": 3,
        'edge_app_city_drifting_devices{kind="data"}': 1,
        'edge_app_city_drifting_devices{kind="model"}': 0,
        'edge_app_city_drifting_devices{kind="traffic"}': 1,
    }
    assert {name: figures.get(name) for name in expected} == expected
    with client_of(build_api(City(database, Live(), utc=lambda: now + 61))) as client:
        later = told(client)
    assert (later["edge_app_city_office_running"], later["edge_app_city_office_problem"]) == (0, 0)


@pytest.mark.parametrize(
    ("changed", "stuck"),
    [({}, True), ({"state": "away"}, False), ({"times": 11}, False), ({"asked": moment(START + 1)}, False)],
)
def test_a_gap_is_stuck_when_a_device_that_is_here_was_asked_for_hours(changed: dict[str, Any], stuck: bool) -> None:
    known = {"line": "h/1/main", "installation": "5b1f09c4", "first": 3, "last": 4, "state": "asked", "times": 12}
    gap = GapAnswer.model_validate({**known, "asked": moment(START - 1), **changed})
    assert is_stuck(gap, START + 6 * 3600) is stuck


HEALTHY: Mapping[str, str] = {
    'up{job="edge-app-city"}': f"1x{_MINUTES}",
    "edge_app_city_newest_message_timestamp_seconds": f"0+60x{_MINUTES}",
    'edge_app_city_devices{state="online"}': f"95x{_MINUTES}",
    'edge_app_city_devices{state="offline"}': f"5x{_MINUTES}",
    'edge_app_city_sites{state="counting"}': f"95x{_MINUTES}",
    "edge_app_city_waiting_quarters": f"200x{_MINUTES}",
    "edge_app_city_worker_behind_seconds": " ".join(["5x100", "3600-60x60", f"5x{_MINUTES}"]),  # an hour is worked off
    "edge_app_city_worker_silent_seconds": f"1x{_MINUTES}",
    'edge_app_city_missing_intervals{state="waiting"}': " ".join(["3x300", "0x5", "4x300", "0x1", f"4x{_MINUTES}"]),
    'edge_app_city_missing_intervals{state="asked"}': f"9x{_MINUTES}",  # at ten thousand devices there are always some
    'edge_app_city_missing_intervals{state="away"}': f"90000x{_MINUTES}",  # of one that is dead for weeks
    "edge_app_city_stuck_gaps": f"0x{_MINUTES}",
    "edge_app_city_lost_intervals": f"7x{_MINUTES}",
    'edge_app_city_contradictions{kind="overlap"}': f"2x{_MINUTES}",
    'edge_app_city_contradictions{kind="future"}': f"0x{_MINUTES}",
    "edge_app_city_aside_messages": f"1x{_MINUTES}",
    'edge_app_city_archive_files{state="whole"}': f"900x{_MINUTES}",
    'edge_app_city_archive_files{state="damaged"}': f"0x{_MINUTES}",
    'edge_app_city_archive_files{state="lost"}': f"2x{_MINUTES}",
    "edge_app_city_archive_overdue_days": f"1x{_MINUTES}",
    'edge_app_city_sites{state="late"}': f"1x{_MINUTES}",
    'edge_app_city_sites{state="unknown"}': f"50x{_MINUTES}",  # described, and built next year
    "edge_app_city_office_running": f"0x{_MINUTES}",  # it need not run while there is nothing to lead
    "edge_app_city_office_problem": f"0x{_MINUTES}",
    "edge_app_city_orders_waiting": f"0 0 1 0 0x{_MINUTES}",
    'edge_app_city_rollouts{kind="detector",state="done"}': f"3x{_MINUTES}",
    'edge_app_city_rollouts{kind="detector",state="running"}': f"0x{_MINUTES}",
    "edge_app_city_rollout_stops": f"2x{_MINUTES}",
    "edge_app_city_rollouts_asking": f"0x{_MINUTES}",
    "edge_app_city_rollout_devices_stuck": f"0x{_MINUTES}",
    'edge_app_city_drifting_devices{kind="data"}': f"0x{_MINUTES}",
    'edge_app_city_drifting_devices{kind="model"}': f"0x{_MINUTES}",
    'edge_app_city_drifting_devices{kind="traffic"}': f"3x{_MINUTES}",
}
RUNNING = {'edge_app_city_rollouts{kind="detector",state="running"}': f"1x{_MINUTES}"}
WELL = {"edge_app_city_office_running": f"1x{_MINUTES}"}
FAULTS: Sequence[tuple[str, dict[str, str]]] = [
    ("CityDown", {'up{job="edge-app-city"}': f"0x{_MINUTES}"}),
    ("CityHearsNothing", {"edge_app_city_newest_message_timestamp_seconds": f"0x{_MINUTES}"}),
    ("CityManyDevicesAway", {'edge_app_city_devices{state="offline"}': f"30x{_MINUTES}"}),
    (
        "CityManySitesDistrusted",
        {
            'edge_app_city_sites{state="late"}': f"500x{_MINUTES}",
            'edge_app_city_sites{state="slow"}': f"500x{_MINUTES}",
            'edge_app_city_sites{state="counting"}': f"0x{_MINUTES}",
        },
    ),
    *(
        ("CityManySitesDistrusted", {f'edge_app_city_sites{{state="{state}"}}': f"6x{_MINUTES}"})
        for state in ("late", "slow", "blurred")
    ),
    ("CitySitesBlind", {'edge_app_city_sites{state="blind"}': f"2x{_MINUTES}"}),
    ("CitySitesMoved", {'edge_app_city_sites{state="moved"}': f"2x{_MINUTES}"}),
    ("CitySumsBehind", {"edge_app_city_waiting_quarters": f"20000x{_MINUTES}"}),
    ("CityWorkerBehind", {"edge_app_city_worker_behind_seconds": f"120+60x{_MINUTES}"}),
    ("CityWorkerHasNothing", {"edge_app_city_worker_silent_seconds": f"0+60x{_MINUTES}"}),
    ("CityGapsStayOpen", {"edge_app_city_stuck_gaps": f"1x{_MINUTES}"}),
    ("CityNobodyAsks", {'edge_app_city_missing_intervals{state="waiting"}': f"4x{_MINUTES}"}),
    ("CityLosesIntervals", {"edge_app_city_lost_intervals": f"0+1x{_MINUTES}"}),
    ("CityContradictions", {'edge_app_city_contradictions{kind="overlap"}': f"0+1x{_MINUTES}"}),
    # The first ones of their kind, minutes before somebody looks: the figure is there before, as 0.
    ("CityContradictions", {'edge_app_city_contradictions{kind="future"}': "0x90 10x90"}),
    ("CityMessagesAside", {"edge_app_city_aside_messages": f"0+1x{_MINUTES}"}),
    ("CityArchiveUnreadable", {'edge_app_city_archive_files{state="damaged"}': f"1x{_MINUTES}"}),
    ("CityArchiveBehind", {"edge_app_city_archive_overdue_days": f"9x{_MINUTES}"}),
    ("CityRolloutStopped", {"edge_app_city_rollout_stops": f"2x30 3x{_MINUTES}"}),
    ("CityRolloutAsks", {**WELL, "edge_app_city_rollouts_asking": f"1x{_MINUTES}"}),
    ("CityRolloutDeviceStuck", {"edge_app_city_rollout_devices_stuck": f"1x{_MINUTES}"}),
    ("CityOfficeAway", RUNNING),
    ("CityOfficeAway", {**RUNNING, **WELL, "edge_app_city_office_problem": f"1x{_MINUTES}"}),
    ("", {**RUNNING, **WELL}),
    ("CityOrdersWait", {"edge_app_city_orders_waiting": f"1x{_MINUTES}"}),
    ("CityDevicesDrift", {'edge_app_city_drifting_devices{kind="model"}': f"2x{_MINUTES}"}),
    ("CityManyDevicesDrift", {'edge_app_city_drifting_devices{kind="traffic"}': f"9x{_MINUTES}"}),
]
"""Alert, "" for none -> samples that differ from HEALTHY."""


@pytest.mark.servers
@pytest.mark.skipif(not PROMTOOL, reason="needs promtool: sh deploy/prepare.sh test brings it")
def test_each_alert_fires_on_its_fault_and_on_nothing_else(tmp_path: Path) -> None:
    assert PROMTOOL
    assert {alert for alert, _ in FAULTS} - {""} == RULES.keys()
    tests = [judged(HEALTHY, "")] + [judged({**HEALTHY, **fault}, alert) for alert, fault in FAULTS]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = subprocess.run([PROMTOOL, "check", "rules", str(FILE)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def judged(series: Mapping[str, str], alert: str) -> dict[str, Any]:
    """Return a test of promtool: at its end `alert` fires and no other one does; "" for none."""
    hours = HOURS if alert in ("", "CityNobodyAsks") else SHORT_HOURS
    firing = f'count(ALERTS{{alertstate="firing"{f", alertname!={alert!r}" if alert else ""}}})'
    tests: list[dict[str, Any]] = [{"expr": firing, "eval_time": f"{hours - 1}h", "exp_samples": []}]
    if alert:
        fires = f"count(ALERTS{{alertstate='firing', alertname={alert!r}}})"
        tests.append({"expr": fires, "eval_time": f"{hours - 1}h", "exp_samples": [{"labels": "{}", "value": 1}]})
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": tests,
    }


def test_every_alert_says_what_to_do() -> None:
    for rule in RULES.values():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "action"}
