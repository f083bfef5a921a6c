"""`edge-app camera`: a further camera is set up, started, listed with what it uses, and removed whole."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from edge_app.commands import camera, setup
from edge_app.errors import ConfigError
from edge_app.system import readings

SYSTEMCTL = """#!/bin/sh
echo "$*" >>{folder}/calls
case "$*" in *"show "*) echo "ActiveState=active"; echo "MainPID={pid}" ;; esac
"""


@pytest.fixture
def etc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "etc"
    folder.mkdir()
    (folder / "edge-app.toml").write_text('[device]\nsite = "harbour"\ndevice = "pole-7"\n[source]\nkind = "street"\n')
    (folder / "edge-app.page.toml").write_text("[layer]\nrevision = 1\n")
    (tmp_path / "systemctl").write_text(SYSTEMCTL.format(folder=tmp_path, pid=os.getpid()))
    (tmp_path / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(camera, "INSTALLED", folder / "edge-app.toml")
    monkeypatch.setattr(setup, "INSTALLED", folder / "edge-app.toml")
    monkeypatch.setattr(camera, "STATES", tmp_path)
    return folder


def run(*words: str) -> int:
    import argparse

    parser = argparse.ArgumentParser()
    camera.add_arguments(parser)
    return camera.main(parser.parse_args(words), threading.Event())


ADD = ("--site", "harbour", "--source", "street", "--broker", "192.0.2.1", "--no-check")
SECRETS = ("mqtt_password", "mqtt_key", "source_password", "preview_password")


def calls(etc: Path) -> list[str]:
    file = etc.parent / "calls"
    return [line.removeprefix("--no-pager ") for line in file.read_text().splitlines()] if file.exists() else []


def test_one_whose_settings_are_refused_leaves_nothing(etc: Path) -> None:
    with pytest.raises(ConfigError, match="device"):
        run("add", "north", "--device", "North!", *ADD)
    assert not (etc / "credentials-north").exists()
    assert calls(etc) == []


def test_a_camera_is_added_listed_and_removed(etc: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("add", "north", "--device", "pole-7-north", *ADD) == 0
    assert calls(etc) == ["enable --quiet edge-app@north", "restart edge-app@north"]
    secrets = etc / "credentials-north"
    modes = {file.name: file.stat().st_mode & 0o777 for file in secrets.iterdir()}
    assert modes == dict.fromkeys(SECRETS, 0o600)
    assert f'folder = "{etc.parent}/edge-app-north"' in (etc / "north.toml").read_text()

    capsys.readouterr()
    assert run("list", "--json") == 0
    first, north = json.loads(capsys.readouterr().out)
    assert (first["name"], first["device"]) == ("edge-app", "harbour/pole-7")
    assert (north["name"], north["device"], north["source"]) == ("north", "harbour/pole-7-north", "street")
    assert north["state"] == "active"
    assert north["memory_mb"] > 5
    assert 0 <= north["cpu"] <= 8

    (etc.parent / "edge-app-north").mkdir()
    assert run("remove", "north") == 0
    assert (etc / "north.toml").exists(), "counts and settings stay without --purge"
    assert run("remove", "north", "--purge") == 0
    assert calls(etc)[-1] == "disable --quiet --now edge-app@north"
    assert sorted(path.name for path in etc.iterdir()) == ["edge-app.page.toml", "edge-app.toml"]
    assert not (etc.parent / "edge-app-north").exists()
    with pytest.raises(ConfigError, match="there is no camera north"):
        run("remove", "north")


def test_a_device_that_another_camera_has_is_refused_before_anything_is_written(etc: Path) -> None:
    before = sorted(path.name for path in etc.iterdir())
    with pytest.raises(ConfigError, match="harbour/pole-7 is the site and device of"):
        run("add", "north", "--device", "pole-7", *ADD)
    assert sorted(path.name for path in etc.iterdir()) == before
    (etc / "north.toml").write_text((etc / "edge-app.toml").read_text())
    with pytest.raises(ConfigError, match="harbour/pole-7 is the site and device of"):
        run("add", "north")
    assert calls(etc) == []


def test_a_camera_whose_check_fails_is_not_started(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge_app.commands.check.main", lambda *_: 1)
    assert run("add", "north", "--device", "pole-8", *ADD[:-1]) == 1
    assert run("add", "north") == 1, "nor when it is added again as it is"
    assert calls(etc) == []
    assert run("add", "north", "--no-check") == 0
    assert "restart edge-app@north" in calls(etc)


@pytest.mark.parametrize("text", ["device = 5\n", 'source = "x"\n', "mqtt = []\n", "= 5\n"])
def test_a_configuration_that_cannot_be_used_is_marked_and_the_others_shown(
    text: str, etc: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (etc / "north.toml").write_text(text)
    assert run("list") == 0
    shown = capsys.readouterr()
    assert "harbour/pole-7" in shown.out
    assert "invalid" in next(line for line in shown.out.splitlines() if "north" in line)
    assert "north.toml" in shown.err.replace("\n", "")
    assert run("add", "south", "--device", "pole-9", *ADD) == 0


def test_purge_removes_the_certificates_of_the_enrolment_unless_another_uses_them(etc: Path) -> None:
    pems = [etc / name for name in ("harbour.pole-8.pem", "harbour.pole-8.ca.pem", "mine.pem")]
    for pem in pems:
        pem.touch()
    config = '[device]\nsite = "harbour"\ndevice = "{}"\n[mqtt]\nca_file = "{}"\ncert_file = "{}"\n'
    (etc / "north.toml").write_text(config.format("pole-8", pems[1], pems[0]))
    (etc / "south.toml").write_text(config.format("pole-9", pems[1], pems[2]))
    run("remove", "north", "--purge")
    assert [pem.exists() for pem in pems] == [False, True, True]
    run("remove", "south", "--purge")
    assert [pem.exists() for pem in pems] == [False, False, True]


@pytest.mark.parametrize("name", ["edge-app", "serve", "-x", "../x", "North", "a.page", "x" * 32, ""])
@pytest.mark.parametrize("action", ["add", "remove"])
def test_a_name_that_would_be_something_else_is_refused(etc: Path, action: str, name: str) -> None:
    with pytest.raises(ConfigError, match="a camera cannot be called"):
        run(action, "--", name)
    assert sorted(path.name for path in etc.iterdir()) == ["edge-app.page.toml", "edge-app.toml"]


def test_another_user_is_told_to_use_sudo(etc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(ConfigError, match="sudo edge-app camera add north"):
        run("add", "north")
    assert calls(etc) == []


def test_processor_time_is_a_share_of_a_core_and_who_ends_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {1: iter([2.0, 3.0]), 2: iter([5.0])}
    monkeypatch.setattr(readings, "_cpu_s", lambda pid: next(told[pid]))
    monkeypatch.setattr(readings, "_rss_mb", lambda _: 100.0)
    used = readings.process_use([1, 2], 4.0, sleep=lambda _: None)
    assert {pid: use.cpu for pid, use in used.items()} == {1: 0.25}
