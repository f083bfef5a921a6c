"""Alerts of deploy/prometheus: each fires on its fault and on nothing else, by Prometheus' rule tests (promtool)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_app.records import DIRECTIONS
from tests.support.metrics_cases import PROMTOOL, Rig, Series, rig
from tests.support.paths import ROOT

pytestmark = pytest.mark.servers  # Prometheus judges minutes of every fault

__all__ = ["rig"]  # a fixture

FOLDER = ROOT / "deploy" / "prometheus"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in RULES}
DEVICE = {"site": "harbour", "device": "pole-7"}
TARGET = DEVICE | {"instance": "10.8.0.7:9120", "job": "edge-app"}
LENGTH = 2000
"""Samples of each series, one a minute; promtool gets as many of them as a fault needs."""
needs_promtool = pytest.mark.skipif(not PROMTOOL, reason="needs promtool: sh deploy/prepare.sh test brings it")


def series_of(metric: str, **labels: str) -> str:
    pairs = ",".join(f'{key}="{text}"' for key, text in (TARGET | labels).items())
    return f"{metric}{{{pairs}}}"


HEALTHY: Mapping[str, str] = {
    series_of("up"): f"1x{LENGTH}",
    series_of("edge_app_build_info", version="1"): f"1x{LENGTH}",
    series_of("process_start_time_seconds"): f"1000x{LENGTH}",
    series_of("process_resident_memory_bytes"): f"160000000x{LENGTH}",
    series_of("edge_app_camera_state", state="ok"): f"1x{LENGTH}",
    **{
        series_of("edge_app_camera_state", state=state): f"0x{LENGTH}"
        for state in ("opening", "frozen", "lost", "ended")
    },
    series_of("edge_app_frames_processed_total"): f"0+900x{LENGTH}",
    **{
        series_of("edge_app_quality", flag=flag): f"0x{LENGTH}"
        for flag in ("dark", "blind", "blurred", "moved", "clock_unsynced", "synthetic")
    },
    **{series_of("edge_app_drift", kind=kind): f"0x{LENGTH}" for kind in ("data", "model", "traffic")},
    series_of("edge_app_interval_coverage_ratio", line="main"): f"0.99x{LENGTH}",
    **{
        series_of("edge_app_vehicles_total", line="main", direction=direction, **{"class": "car"}): f"0+3x{LENGTH}"
        for direction in DIRECTIONS
    },
    series_of("edge_app_broker_connected"): f"1x{LENGTH}",
    series_of("edge_app_broker_connections_total"): f"1x{LENGTH}",
    series_of("edge_app_outbox_intervals"): f"1 0x{LENGTH}",
    series_of("edge_app_outbox_oldest_age_seconds"): f"1 0x{LENGTH}",
    series_of("edge_app_intervals_dropped_total"): f"4x{LENGTH}",
    series_of("edge_app_intervals_skipped_total"): f"0x{LENGTH}",
    **{
        series_of("edge_app_certificate_expiry_timestamp_seconds", certificate=name): f"5000000x{LENGTH}"
        for name in ("device", "authority")
    },
    series_of("edge_app_storage_fault"): f"0x{LENGTH}",
    series_of("edge_app_unstored_crossings"): f"0x{LENGTH}",
    series_of("edge_app_storage_damaged_total"): f"0x{LENGTH}",
    series_of("edge_app_disk_free_bytes"): f"20000000000x{LENGTH}",
    series_of("edge_app_temperature_celsius"): f"60x{LENGTH}",
    series_of("edge_app_clock_behind_seconds"): f"0x{LENGTH}",
}
"""Samples of a device without a fault from minute 30 on: 15 frames/s, six vehicles a minute, a broker, a cool box."""


@dataclass(frozen=True)
class Fault:
    """Fault of a device and the alerts that it raises.

    expected: alerts by name, with the labels that each has beside severity; no other alert may fire.
    series: samples that differ from HEALTHY.
    minutes: time at which the alerts are checked.
    """

    expected: Mapping[str, Mapping[str, str]]
    series: Mapping[str, str] = field(default_factory=dict)
    minutes: int = 60


def flag(name: str) -> dict[str, str]:
    return {series_of("edge_app_quality", flag=name): f"1x{LENGTH}"}


def drift(kind: str) -> dict[str, str]:
    return {series_of("edge_app_drift", kind=kind): f"1x{LENGTH}"}


def camera(state: str) -> dict[str, str]:
    return {
        series_of("edge_app_camera_state", state="ok"): f"0x{LENGTH}",
        series_of("edge_app_camera_state", state=state): f"1x{LENGTH}",
    }


def only(metric: str, samples: str, **labels: str) -> dict[str, str]:
    return {series_of(metric, **labels): samples}


NO_COVERAGE = only("edge_app_interval_coverage_ratio", f"0x{LENGTH}", line="main")
NO_FRAMES = only("edge_app_frames_processed_total", f"5x{LENGTH}")
SERIES_END = {name: f"{samples.split('x')[0]}x20 stale" for name, samples in HEALTHY.items() if " " not in samples}
OUTBOX_ENDS = {
    series_of("edge_app_outbox_intervals"): "1 0 stale",
    series_of("edge_app_outbox_oldest_age_seconds"): "1 0 stale",
}
LINE_LABELS = {**DEVICE, "line": "main"}
FAULTS = {
    "healthy": Fault({}),
    "healthy for a long time": Fault({}, minutes=1900),
    "does not answer": Fault({"EdgeAppDown": TARGET}, SERIES_END | OUTBOX_ENDS | only("up", f"1x20 0x{LENGTH}")),
    "does not answer for a moment": Fault({}, SERIES_END | OUTBOX_ENDS | only("up", f"1x57 0x{LENGTH}")),
    "sends no more samples": Fault({"EdgeAppVanished": DEVICE}, SERIES_END | OUTBOX_ENDS),
    "never seen": Fault({}, dict.fromkeys(HEALTHY, "_x10")),
    "restarts repeatedly": Fault({"EdgeAppRestarts": TARGET}, only("process_start_time_seconds", "1000+60x90")),
    "restarted once": Fault({}, only("process_start_time_seconds", f"1000x40 3000x{LENGTH}")),
    "camera lost": Fault(
        {"EdgeAppCameraAway": TARGET | {"state": "ok"}, "EdgeAppLowCoverage": LINE_LABELS},
        camera("lost") | NO_FRAMES | NO_COVERAGE,
    ),
    "camera lost and opened in turns": Fault(
        {"EdgeAppCameraAway": TARGET | {"state": "ok"}},
        camera("lost")
        | only("edge_app_camera_state", "0 1 " * 40, state="opening")
        | only("edge_app_camera_state", "1 0 " * 40, state="lost"),
    ),
    "camera frozen": Fault({"EdgeAppCameraFrozen": TARGET | {"state": "frozen"}}, camera("frozen")),
    "stalled": Fault({"EdgeAppStalled": TARGET}, NO_FRAMES),
    "blind": Fault({"EdgeAppBlind": TARGET | {"flag": "blind"}}, flag("blind")),
    "moved": Fault({"EdgeAppMoved": TARGET | {"flag": "moved"}}, flag("moved")),
    "blurred": Fault({"EdgeAppBlurred": TARGET | {"flag": "blurred"}}, flag("blurred"), minutes=90),
    "a lens that got dirty": Fault({"EdgeAppPictureChanged": TARGET | {"kind": "data"}}, drift("data"), minutes=90),
    "less that is found": Fault({"EdgeAppDetectorChanged": TARGET | {"kind": "model"}}, drift("model"), minutes=90),
    "road works": Fault({}, drift("traffic"), minutes=90),
    "blurred for a shower": Fault({}, flag("blurred"), minutes=50),
    "a rendered street": Fault({"EdgeAppSynthetic": TARGET | {"flag": "synthetic"}}, flag("synthetic")),
    "dark for a day": Fault({"EdgeAppDark": TARGET | {"flag": "dark"}}, flag("dark"), minutes=1200),
    "dark for a night": Fault({}, flag("dark"), minutes=1000),
    "clock unset": Fault({"EdgeAppClock": TARGET | {"flag": "clock_unsynced"}}, flag("clock_unsynced"), minutes=90),
    "clock set back": Fault({"EdgeAppClock": TARGET}, only("edge_app_clock_behind_seconds", "7200x200"), minutes=90),
    "low coverage": Fault(
        {"EdgeAppLowCoverage": LINE_LABELS}, only("edge_app_interval_coverage_ratio", f"0.7x{LENGTH}", line="main")
    ),
    "slow": Fault({"EdgeAppSlow": TARGET}, only("edge_app_frames_processed_total", f"0+120x{LENGTH}")),
    "no vehicles": Fault(
        {"EdgeAppNoVehicles": LINE_LABELS},
        {name: f"7x{LENGTH}" for name in HEALTHY if name.startswith("edge_app_vehicles")},
        minutes=1600,
    ),
    "no vehicles in its first hours": Fault(
        {}, {name: f"0x{LENGTH}" for name in HEALTHY if name.startswith("edge_app_vehicles")}, minutes=700
    ),
    "broker away": Fault({"EdgeAppBrokerAway": TARGET}, only("edge_app_broker_connected", f"0x{LENGTH}")),
    "broker away for hours": Fault(
        {"EdgeAppBrokerAway": TARGET, "EdgeAppBacklog": TARGET},
        only("edge_app_broker_connected", f"0x{LENGTH}")
        | only("edge_app_outbox_intervals", f"0+1x{LENGTH}")
        | only("edge_app_outbox_oldest_age_seconds", f"0+60x{LENGTH}"),
        minutes=90,
    ),
    "a backlog that drains": Fault(
        {},
        only("edge_app_outbox_intervals", "2000-20x90") | only("edge_app_outbox_oldest_age_seconds", "90000-600x90"),
        minutes=80,
    ),
    "broker flaps": Fault(
        {"EdgeAppBrokerFlaps": TARGET}, only("edge_app_broker_connections_total", f"1+1x{LENGTH}"), minutes=90
    ),
    "intervals dropped": Fault(
        {"EdgeAppIntervalsLost": TARGET}, only("edge_app_intervals_dropped_total", f"4x40 5x{LENGTH}")
    ),
    "intervals skipped": Fault(
        {"EdgeAppIntervalsLost": TARGET}, only("edge_app_intervals_skipped_total", f"0x40 9x{LENGTH}")
    ),
    "certificate ends in 29 days": Fault(
        {"EdgeAppCertificateEnds": TARGET | {"certificate": "device"}},
        only("edge_app_certificate_expiry_timestamp_seconds", f"{29 * 86400 + 3600}x{LENGTH}", certificate="device"),
    ),
    "certificate ends in 31 days": Fault(
        {}, only("edge_app_certificate_expiry_timestamp_seconds", f"{31 * 86400}x{LENGTH}", certificate="device")
    ),
    "certificate cannot be read": Fault(
        {"EdgeAppCertificateEnds": TARGET | {"certificate": "authority"}},
        only("edge_app_certificate_expiry_timestamp_seconds", f"0x{LENGTH}", certificate="authority"),
    ),
    "disk fails": Fault({"EdgeAppStorageFault": TARGET}, only("edge_app_storage_fault", f"1x{LENGTH}")),
    "disk takes nothing": Fault({"EdgeAppStorageFault": TARGET}, only("edge_app_unstored_crossings", f"0+1x{LENGTH}")),
    "database damaged": Fault({"EdgeAppStorageDamaged": TARGET}, only("edge_app_storage_damaged_total", f"1x{LENGTH}")),
    "disk nearly full": Fault({"EdgeAppDiskFull": TARGET}, only("edge_app_disk_free_bytes", f"400000000x{LENGTH}")),
    "hot": Fault({"EdgeAppHot": TARGET}, only("edge_app_temperature_celsius", f"84x{LENGTH}")),
    "hot for a moment": Fault({}, only("edge_app_temperature_celsius", f"60x55 84x{LENGTH}")),
    "memory": Fault({"EdgeAppMemory": TARGET}, only("process_resident_memory_bytes", f"800000000x{LENGTH}")),
}


def filled_in(text: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"{{ \$labels\.(\w+) }}", lambda match: labels[match[1]], text)


def rule_test(name: str, fault: Fault) -> dict[str, Any]:
    """Return a promtool test that checks every alert, so that none can fire unnoticed."""
    length = fault.minutes + 10
    series = {one: samples.replace(f"x{LENGTH}", f"x{length}") for one, samples in {**HEALTHY, **fault.series}.items()}
    checks = []
    for alert, rule in ALERTS.items():
        labels = fault.expected.get(alert)
        texts = {key: filled_in(text, labels) for key, text in rule["annotations"].items()} if labels else {}
        fires = [{"exp_labels": {**labels, **rule["labels"]}, "exp_annotations": texts}] if labels else []
        checks.append({"eval_time": f"{fault.minutes}m", "alertname": alert, "exp_alerts": fires})
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": one, "values": samples} for one, samples in series.items()],
        "alert_rule_test": checks,
    }


def promtool(*arguments: str) -> None:
    assert PROMTOOL
    done = subprocess.run((PROMTOOL, *arguments), capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_each_fault_raises_its_alert_and_no_other(tmp_path: Path) -> None:
    document = {
        "rule_files": [str(FOLDER / "alerts.yml")],
        "evaluation_interval": "5m",  # every minute tells the same and takes most of a minute of a processor
        "tests": [rule_test(name, fault) for name, fault in FAULTS.items()],
    }
    file = tmp_path / "alerts.test.json"
    file.write_text(json.dumps(document))
    promtool("test", "rules", str(file))


def test_every_alert_has_a_fault_that_raises_it() -> None:
    assert {alert for fault in FAULTS.values() for alert in fault.expected} == set(ALERTS)


@needs_promtool
@pytest.mark.parametrize("arguments", [("rules", "alerts.yml"), ("config", "--syntax-only", "prometheus.yml")])
def test_the_shipped_files_are_valid(arguments: tuple[str, ...]) -> None:
    promtool("check", *arguments[:-1], str(FOLDER / arguments[-1]))


@needs_promtool
def test_the_file_for_the_agent_is_valid() -> None:
    promtool("check", "config", "--agent", "--syntax-only", str(FOLDER / "agent.yml"))


def test_alerts_use_only_metrics_that_a_device_has(rig: Rig) -> None:
    series: Series = rig.now
    names = {name for name, _ in series} | {"up", "edge_app_certificate_expiry_timestamp_seconds"}
    names |= {
        "edge_app_interval_coverage_ratio",
        "edge_app_temperature_celsius",
    }  # not on every machine, or not at once
    for alert, rule in ALERTS.items():
        used = set(re.findall(r"\b(?:edge_app|process)_\w+", rule["expr"]))
        assert used <= names, alert
    flags = {dict(labels).get("flag") for name, labels in series if name == "edge_app_quality"}
    states = {dict(labels).get("state") for name, labels in series if name == "edge_app_camera_state"}
    expressions = " ".join(rule["expr"] for rule in RULES)
    of_intervals = {"slow", "clock_stepped"}  # they tell about counts, not about a fault of the device
    assert set(re.findall(r'flag="(\w+)"', expressions)) == flags - of_intervals
    assert set(re.findall(r'state="(\w+)"', expressions)) <= states


def test_the_readme_names_every_metric_and_no_other(rig: Rig) -> None:
    text = (ROOT / "docs/deploy/prometheus.md").read_text("utf-8")
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name, _ in rig.now if name.startswith("edge_app")}
    rows = set(re.findall(r"(?m)^\| `(edge_app_\w+)`", text))
    optional = {"edge_app_temperature_celsius", "edge_app_certificate_expiry_timestamp_seconds"}
    optional |= {"edge_app_interval_speed_meters_per_second", "edge_app_flows_total"}  # where they are measured
    optional |= {"edge_app_shadow_intervals_total", "edge_app_shadow_vehicles_total"}  # where a candidate counts beside
    optional |= {f"edge_app_{part}_figure" for part in ("program", "picture", "detector")}  # after a quarter of an hour
    optional |= {"edge_app_reviews_taken_total", "edge_app_reviews_dropped_total"}  # where pictures may leave
    assert rows - optional == (names | {"edge_app_stage_seconds", "edge_app_interval_coverage_ratio"}) - optional
    assert f"{len(ALERTS)} alerts" in text


def test_every_alert_has_a_summary_and_an_action() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"].keys() == {"summary", "action"}
        assert "{{ $labels.site }}/{{ $labels.device }}" in rule["annotations"]["summary"]
