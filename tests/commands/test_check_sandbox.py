"""`edge-app check` in the sandbox of the unit: which settings it takes over, and how it is called."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from edge_app.commands import _options, check
from edge_app.system import unit
from tests.support.paths import ROOT

TEMPLATE = (ROOT / "systemd/edge-app@.service").read_text("utf-8")


def settings(command: list[str]) -> list[str]:
    return [part.removeprefix("--property=") for part in command if part.startswith("--property=")]


def test_everything_that_the_service_may_and_may_not_do_is_taken_over() -> None:
    drop_in = "# /etc/systemd/override.conf\n[Service]\nIPAddressAllow=localhost \\\n  192.0.2.10\n"
    made = unit.sandboxed(TEMPLATE + drop_in, "north", "edge-app-check-1", ["edge-app", "check"])
    assert made[0] == "systemd-run"
    assert made[-3:] == ["--", "edge-app", "check"]
    taken = settings(made)
    wanted = {
        *("User=edge-app", "ProtectSystem=strict", "DevicePolicy=closed", "DeviceAllow=char-video4linux rw"),
        *("MemoryDenyWriteExecute=yes", "SystemCallFilter=~@privileged @resources", "StateDirectory=edge-app-north"),
        *("LoadCredential=mqtt_key:/etc/edge-app/credentials-north/mqtt_key", "IPAddressAllow=localhost 192.0.2.10"),
    }
    assert wanted <= set(taken)
    section = TEMPLATE.partition("[Service]")[2].partition("[Install]")[0]
    left_out = {line.partition("=")[0] for line in section.splitlines() if line[:1].isalpha()}
    left_out -= {line.partition("=")[0] for line in taken}
    assert left_out == {
        *("Type", "ExecStart", "WatchdogSec", "Restart", "RestartSec", "RestartPreventExitStatus"),
        *("TimeoutStartSec", "TimeoutStopSec", "TimeoutAbortSec", "OOMPolicy"),
    }
    assert unit.user_of(TEMPLATE) == "edge-app"


def program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("code", [0, 1, 217])
def test_the_check_runs_as_the_unit_and_ends_as_the_check_does(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """systemd's programs are stood in for: this machine may not be run by it."""
    (tmp_path / "edge-app.service").write_text("[Service]\nUser=edge-app\nPrivateTmp=yes\n")
    program(tmp_path / "systemctl", f'[ "$1 $2" = "cat edge-app.service" ] && cat {tmp_path}/edge-app.service')
    program(tmp_path / "systemd-run", f'echo "$@"; exit {code}')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr(unit, "_BOOTED", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 0)
    for module in (_options, check):
        monkeypatch.setattr(module, "INSTALLED", tmp_path / "edge-app.toml")
    file = tmp_path / "edge-app.toml"
    file.write_text('[source]\nkind = "street"\n')
    assert check._check_in_sandbox(file, threading.Event()) == min(code, 1)
    out = capfd.readouterr().out
    assert "checked as edge-app.service runs, as the user edge-app" in out
    assert "--property=User=edge-app --property=PrivateTmp=yes" in out
    assert f"-- {sys.executable} -I -m edge_app check --no-sandbox --config {file}" in out
    assert ("cannot start (status 217)" in out) is (code == 217)
    assert check._check_in_sandbox(tmp_path / "elsewhere/edge-app.toml", threading.Event()) is None
