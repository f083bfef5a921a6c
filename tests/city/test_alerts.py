"""Metrics of the city side, and its alerts: each fires on its fault and on nothing else (promtool)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from edge_app.city.api import build_api
from edge_app.city.database import accounts
from edge_app.city.database.engine import Database
from edge_app.city.database.missing import note_gone
from edge_app.city.database.storing import Storing, keep_aside
from edge_app.city.live import Live
from edge_app.city.routes.city import City
from tests.city.cases import NAME, START, series
from tests.city.test_storing import make_site, store
from tests.support.city_api import client_of
from tests.support.metrics_cases import PROMTOOL
from tests.support.paths import ROOT

FILE = ROOT / "deploy/city/alerts.yml"
RULES = {rule["alert"]: rule for rule in yaml.safe_load(FILE.read_text("utf-8"))["groups"][0]["rules"]}
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
        "edge_app_city_missing_intervals": 2,
        "edge_app_city_lost_intervals": 1,
        'edge_app_city_contradictions{kind="overlap"}': 1,
        "edge_app_city_aside_messages": 1,
        "edge_app_city_waiting_quarters": 2,
        'edge_app_city_archive_files{state="whole"}': 0,
        "edge_app_city_archive_overdue_days": 4,
        "edge_app_city_newest_message_timestamp_seconds": START,
        'edge_app_city_ingest_total{what="stored"}': 7,
    }
    assert {name: figures.get(name, 0) for name in expected} == expected
    used = {name for rule in RULES.values() for name in re.findall(r"edge_app_city_\w+", rule["expr"])}
    assert used <= {name.partition("{")[0] for name in figures}


def test_a_city_that_has_never_heard_a_device_is_not_told_to_be_silent(database: Database) -> None:
    with client_of(build_api(City(database, Live(), utc=lambda: START))) as client:
        assert "edge_app_city_newest_message_timestamp_seconds" not in told(client)


HEALTHY: Mapping[str, str] = {
    'up{job="edge-app-city"}': f"1x{_MINUTES}",
    "edge_app_city_newest_message_timestamp_seconds": f"0+60x{_MINUTES}",
    'edge_app_city_devices{state="online"}': f"95x{_MINUTES}",
    'edge_app_city_devices{state="offline"}': f"5x{_MINUTES}",
    'edge_app_city_sites{state="counting"}': f"95x{_MINUTES}",
    "edge_app_city_waiting_quarters": f"200x{_MINUTES}",
    "edge_app_city_worker_behind_seconds": " ".join(["5x100", "3600-60x60", f"5x{_MINUTES}"]),  # an hour is worked off
    "edge_app_city_worker_silent_seconds": f"1x{_MINUTES}",
    "edge_app_city_missing_intervals": " ".join(["3x300", "0x5", f"4x{_MINUTES}"]),
    "edge_app_city_lost_intervals": f"7x{_MINUTES}",
    'edge_app_city_contradictions{kind="overlap"}': f"2x{_MINUTES}",
    "edge_app_city_aside_messages": f"1x{_MINUTES}",
    'edge_app_city_archive_files{state="whole"}': f"900x{_MINUTES}",
    'edge_app_city_archive_files{state="damaged"}': f"0x{_MINUTES}",
    'edge_app_city_archive_files{state="lost"}': f"2x{_MINUTES}",
    "edge_app_city_archive_overdue_days": f"1x{_MINUTES}",
}
FAULTS: Mapping[str, dict[str, str]] = {
    "CityDown": {'up{job="edge-app-city"}': f"0x{_MINUTES}"},
    "CityHearsNothing": {"edge_app_city_newest_message_timestamp_seconds": f"0x{_MINUTES}"},
    "CityManyDevicesAway": {'edge_app_city_devices{state="offline"}': f"30x{_MINUTES}"},
    "CitySitesBlind": {'edge_app_city_sites{state="blind"}': f"2x{_MINUTES}"},
    "CitySitesMoved": {'edge_app_city_sites{state="moved"}': f"2x{_MINUTES}"},
    "CitySumsBehind": {"edge_app_city_waiting_quarters": f"20000x{_MINUTES}"},
    "CityWorkerBehind": {"edge_app_city_worker_behind_seconds": f"120+60x{_MINUTES}"},
    "CityWorkerHasNothing": {"edge_app_city_worker_silent_seconds": f"0+60x{_MINUTES}"},
    "CityGapsStayOpen": {"edge_app_city_missing_intervals": f"4x{_MINUTES}"},
    "CityLosesIntervals": {"edge_app_city_lost_intervals": f"0+1x{_MINUTES}"},
    "CityContradictions": {'edge_app_city_contradictions{kind="overlap"}': f"0+1x{_MINUTES}"},
    "CityMessagesAside": {"edge_app_city_aside_messages": f"0+1x{_MINUTES}"},
    "CityArchiveUnreadable": {'edge_app_city_archive_files{state="damaged"}': f"1x{_MINUTES}"},
    "CityArchiveBehind": {"edge_app_city_archive_overdue_days": f"9x{_MINUTES}"},
}


@pytest.mark.servers
@pytest.mark.skipif(not PROMTOOL, reason="needs promtool: sh deploy/prepare.sh test brings it")
def test_each_alert_fires_on_its_fault_and_on_nothing_else(tmp_path: Path) -> None:
    assert PROMTOOL
    assert FAULTS.keys() == RULES.keys()
    tests = [judged(HEALTHY, "")] + [judged({**HEALTHY, **fault}, alert) for alert, fault in FAULTS.items()]
    file = tmp_path / "tests.yml"
    file.write_text(json.dumps({"rule_files": [str(FILE)], "evaluation_interval": "1m", "tests": tests}))
    done = subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = subprocess.run([PROMTOOL, "check", "rules", str(FILE)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def judged(series: Mapping[str, str], alert: str) -> dict[str, Any]:
    """Return a test of promtool: at its end `alert` fires and no other one does; "" for none."""
    hours = HOURS if alert in ("", "CityGapsStayOpen") else SHORT_HOURS
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
