"""Test `edge-app status` and the line for systemd against a real service."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edge_app import cli
from edge_app.checks.device import check_config, check_service
from edge_app.commands import _options
from edge_app.commands.status import _comparison, _interval
from edge_app.config.load import load
from edge_app.counting.running_totals import RunningTotals
from edge_app.monitoring.device_status import DeviceStatus, LineStatus, StatusReport, interval_status
from edge_app.mqtt.device_messages import ShadowHealth
from edge_app.mqtt.examples import EXAMPLES
from edge_app.mqtt.identity import Device
from edge_app.records import Counts, IntervalCounts, Sums
from edge_app.sources import SourceStatus
from edge_app.system.threads import Heartbeats
from tests.support.ports import free_port
from tests.support.preview_cases import running_service, wait_for


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("device")
    lines = (
        '[device]\nsite = "harbour"\ndevice = "pole-7"\n[source]\nkind = "street"\nfps = 5.0\n',
        f'[mqtt]\nport = {free_port()}\n[store]\nfolder = "state"\n[counting]\ninterval_s = 10\n',
    )
    (made / "edge-app.toml").write_text("".join(lines))
    return made


@pytest.fixture(scope="module")
def told(folder: Path) -> Iterator[list[str]]:
    """Run the service; yield what systemd is told of it."""
    patch, received = pytest.MonkeyPatch(), list[str]()
    patch.setattr("edge_app.service.notify", received.append)
    with running_service(load(folder / "edge-app.toml", {})):
        wait_for(lambda: any("STATUS=counting" in text for text in received), 60)
        yield received
    patch.undo()


def status(folder: Path, *arguments: str) -> int:
    return cli.main(["status", "--config", str(folder / "edge-app.toml"), *arguments])


def test_a_counting_service_whose_broker_is_away(
    folder: Path, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(folder) == 1  # nothing is delivered
    out = capsys.readouterr().out
    assert "harbour/pole-7  counting, but " in out
    assert "connection refused" in out
    assert "ok, 1280x720" in out
    assert "street" in out
    assert max(map(len, out.splitlines())) <= 80
    assert [text for text in told if text.startswith("STATUS=counting, ") and "broker not connected" in text]


def test_everything_as_json(folder: Path, told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    del told
    assert status(folder, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["counting"] is True
    assert found["lines"][0]["names"] == {"left_to_right": "eastbound", "right_to_left": "westbound"}
    assert found["quality"][-1] == "synthetic"
    assert found["problem_code"] == "broker"


WELL: dict[str, Any] = {"counting": True, "quality": [], "problem_code": ""}


@pytest.mark.parametrize(
    ("state", "interval", "health", "headline"),
    [
        (WELL, {"coverage": 0.95, "quality": ["clock_stepped"]}, {}, "counting"),
        (WELL, {"coverage": 0.09}, {}, "counting, but only 9 % of the last interval was seen"),
        (WELL, {"coverage": 0.09}, {"uptime_s": 20.0}, "counting"),  # it was under way when the program started
        (WELL, {"quality": ["slow"]}, {}, "counting, but frames come too rarely"),
        (
            {**WELL, "problem_code": "slow", "quality": ["slow"]},
            {},
            {"problem": "too rarely"},
            "counting, but too rarely",
        ),
        ({**WELL, "quality": ["synthetic"]}, {}, {}, "counting, but there is NO CAMERA"),
        ({**WELL, "problem_code": "dark", "quality": ["dark"]}, {}, {"problem": "too dark"}, "counting, but too dark"),
        (WELL, {}, {"limits": ["the disk is full"]}, "counting, but the disk is full"),
        ({**WELL, "counting": False, "why_not": "no frame"}, {}, {}, "NOT counting: no frame"),
    ],
)
def test_the_first_line_and_the_exit_code_agree(
    state: dict[str, Any],
    interval: dict[str, Any],
    health: dict[str, Any],
    headline: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "edge-app.toml").write_text('[source]\nkind = "street"\n')
    fields: dict[str, Any] = {
        "site": "a",
        "device": "b",
        "version": "1",
        "model": "m",
        "model_name": "n",
        "config": "c",
    }
    example = (
        EXAMPLES["health"] | {"at": "2026-03-01T07:01:10Z", "uptime_s": 900.0, "problem": "", "limits": []} | health
    )
    span = {"start": "2026-03-01T07:00:00Z", "end": "2026-03-01T07:01:00Z"}
    newest = {**span, "counts": {}, "coverage": 1.0, **interval}
    lines = [{"id": "main", "newest": newest}]
    more = {"broker": "x", "connected": True, "clock_set": True, "lines": lines, "health": example}
    text = DeviceStatus.model_validate(fields | more | state).model_dump_json(by_alias=True)
    monkeypatch.setattr("edge_app.preview.snapshot_socket.request_status", lambda _: text.encode())
    monkeypatch.setattr("edge_app.commands.status._outdated", lambda *_: "")
    code = status(tmp_path)
    first = capsys.readouterr().out.replace("\n", " ")
    assert first.startswith(f"a/b  {headline}")
    assert first.count("too dark") <= 1
    assert first.count("too rarely") <= 1
    assert code == int(headline != "counting")


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({}, "c1 comparing: 1012 vehicles where the detector in service counted 987 (103%), in 214 intervals; 6"),
        ({"compared": 0}, "c1 comparing: nothing compared yet, 6 intervals given up (too slow)"),
        ({"in_service_vehicles": 0}, "counted 0, in 214 intervals; 6 intervals given up (too slow)"),
        ({"why": ""}, "6 intervals given up"),
    ],
)
def test_how_a_candidate_compares_is_one_fact(changed: dict[str, Any], told: str) -> None:
    shadow = ShadowHealth(
        model="c1",
        state="comparing",
        compared=214,
        given_up=6,
        why="too slow",
        vehicles=1012,
        in_service_vehicles=987,
    )
    assert told in _comparison(shadow.model_copy(update=changed))


def test_no_service(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "edge-app.toml"
    monkeypatch.setattr(_options, "INSTALLED", file)
    assert cli.main(["status"]) == 2
    assert "no device is installed here" in capsys.readouterr().err
    file.write_text('[source]\nkind = "street"\n')
    assert cli.main(["status"]) == 3
    assert "NOT RUNNING" in capsys.readouterr().out


def test_the_secrets_of_the_installed_device_are_within_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.setattr(_options, "INSTALLED", tmp_path / "edge-app.toml")
    (tmp_path / "edge-app.toml").touch()
    (tmp_path / "credentials").mkdir()
    assert _options.installed_config(None) == tmp_path / "edge-app.toml"
    assert os.environ.pop("CREDENTIALS_DIRECTORY") == str(tmp_path / "credentials")
    assert _options.credentials_folder(tmp_path / "north.toml") == tmp_path / "credentials-north"


def test_an_older_configuration_than_that_of_the_file_is_told(
    folder: Path, told: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del told
    status(folder, "--json")
    used = json.loads(capsys.readouterr().out)["config"]
    assert check_config(folder / "state", used).level == "ok"
    assert f"the service still runs {used}" in check_config(folder / "state", "0" * 64).sentence
    text = (folder / "edge-app.toml").read_text().replace('"state"', f'"{folder / "state"}"')
    for more, is_told in (("", False), ("[tracker]\nlost_s = 1.5\n", True)):
        (tmp_path / "edge-app.toml").write_text(text + more)
        assert status(tmp_path) == 1
        assert (f"still runs {used}" in " ".join(capsys.readouterr().out.split())) is is_told


def test_check_tells_what_the_running_service_says(folder: Path, told: list[str]) -> None:
    del told
    found = list(check_service(folder / "state"))
    assert {finding.level for finding in found} == {"warn"}
    assert "connection refused" in found[0].sentence
    assert "there is NO CAMERA" in found[1].sentence
    assert list(check_service(folder)) == []  # none runs there


def test_no_foreign_text_becomes_a_setting_for_systemd() -> None:
    """A broker's reason is foreign: a line end in it would begin another setting."""
    publisher = SimpleNamespace(connected=False, unsent=0)
    service = SimpleNamespace(frames=0, totals=RunningTotals(), heart=Heartbeats())
    source = SimpleNamespace(status=SourceStatus("lost", detail="gone\nMAINPID=1"))
    ledger = SimpleNamespace(newest_seq={"main": 3, "side": 4})
    components = SimpleNamespace(publisher=publisher, service=service, source=source, ledger=ledger)
    health: Any = SimpleNamespace(components=components, problem="refused\nWATCHDOG=1 \x1b[2J" + "x" * 9999)
    text = StatusReport(health, Device("a", "b", "c", "d"), "model", "broker", ()).text()
    assert text.startswith("NOT counting: gone MAINPID=1; 0 vehicles")
    assert "; broker not connected, 0 unsent; 7 intervals of 60 s; " in text, "the judge of a release reads it"
    assert text.isprintable()
    assert len(text) <= 400


def test_mean_speeds_stand_beside_the_counts_where_they_are_measured() -> None:
    cars: Counts = {"car": {"left_to_right": 2, "right_to_left": 1}}
    sums: Sums = {"car": {"left_to_right": {"n": 2, "sum": 85.2}}, "bus": {"left_to_right": {"n": 1, "sum": 37.8}}}
    measured = IntervalCounts("main", 1_700_000_040.0, 60.0, cars, 60.0, 900, 0, measures={"speed": sums})
    shown = [
        _interval(LineStatus(id="main", newest=interval_status(one)))
        for one in (measured, replace(measured, measures={}))
    ]
    assert shown[0] == "22:14:00 to 22:15:00 UTC: car 2> 1<; 41> km/h; coverage 100 %"
    assert shown[1] == "22:14:00 to 22:15:00 UTC: car 2> 1<; coverage 100 %"
