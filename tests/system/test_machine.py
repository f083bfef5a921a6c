"""Services of one machine tell the same name of it, and whether they take releases."""

from __future__ import annotations

from pathlib import Path

from edge_app.system.machine import Places, machine, no_releases


def test_the_name_of_a_machine_is_no_secret_of_others(tmp_path: Path) -> None:
    named = tmp_path / "machine-id"
    assert machine(named) == ""
    named.write_text("0123456789abcdef0123456789abcdef\n")
    assert machine(named) == "3de614c5a161"
    named.write_text("0123456789abcdef0123456789abcde0\n")
    assert machine(named) != "3de614c5a161"


def test_only_the_first_camera_of_an_installed_machine_takes_releases(tmp_path: Path) -> None:
    places = Places(tmp_path / "state", tmp_path / "program", tmp_path / "release.pub")
    assert "was not put here by its installer" in no_releases(places.state, places)
    (places.program / "current").mkdir(parents=True)
    assert "it has no" in no_releases(places.state, places)
    places.key.write_text("key")
    assert no_releases(places.state, places) == ""
    assert "Releases are ordered at edge-app.service" in no_releases(tmp_path / "state-north", places)
