"""Which devices take the order of a release, and which get it with the first camera of their machine."""

from __future__ import annotations

from typing import Any

import pytest

from edge_app.city.database.engine import Database
from edge_app.city.office import KnownDevice
from edge_app.city.releasing import first_cameras
from edge_app.city.rollouts import start_rollout
from edge_app.errors import ConfigError
from edge_app.rollout.plan import Cascade
from edge_app.rollout.wanted_detector import WantedDetector
from edge_app.rollout.wanted_release import WantedRelease

RELEASE = WantedRelease("c" * 64, "0.2.0")
ARGS = {"url": "https://x/y", "sums": f"{'c' * 64}  edge-app-0.2.0-aarch64.tar.xz\n"}


def device(name: str, machine: str = "", takes: bool | None = None, version: str = "0.1.0") -> KnownDevice:
    meta: dict[str, Any] = {"machine": machine} if takes is None else {"machine": machine, "takes_releases": takes}
    return KnownDevice(name, status={"state": "online", "version": version}, meta=meta)


PAIR = [device("h/1", "aa", True), device("h/1-north", "aa", False)]


def test_the_first_camera_of_a_machine_is_found_by_what_devices_tell() -> None:
    assert first_cameras([*PAIR, device("h/2", "bb", True), device("h/old")]) == {"h/1-north": "h/1"}
    assert first_cameras(PAIR[1:]) == {"h/1-north": ""}, "its first one is not among them"
    assert first_cameras([*PAIR, device("h/copy", "aa", True)]) == {"h/1-north": ""}, "two systems of one name"
    assert first_cameras([device("h/1", takes=True), device("h/2", takes=False)]) == {"h/2": ""}, "no name at all"
    assert first_cameras([device("h/1", "aa"), device("h/2", "aa", False)]) == {"h/2": "h/1"}


def test_a_further_camera_is_in_the_group_of_its_machine(database: Database) -> None:
    more = [one for number in range(2, 9) for one in (device(f"h/{number}", f"m{number}", True),)]
    north = device("h/8-north", "m8", False)
    cascade = Cascade((0.25, 1.0))
    with database.begin() as connection:
        _, members = start_rollout(
            connection, "next", RELEASE, ARGS, [*PAIR, *more, north], cascade, "anna", 0.0, ["h/8-north"]
        )
    group = {one.name: one.group for one in members}
    assert [one.name for one in members if one.follows] == ["h/1-north", "h/8-north"]
    assert (group["h/1-north"], group["h/8"], group["h/8-north"]) == (group["h/1"], 0, 0)
    assert sum(one.group == 0 and not one.follows for one in members) == 2, "shares are of machines"


def test_where_nobody_takes_it_nothing_begins_and_a_detector_goes_to_each_camera(database: Database) -> None:
    with database.begin() as connection:
        with pytest.raises(ConfigError, match="none of the 1 devices takes releases"):
            start_rollout(connection, "next", RELEASE, ARGS, PAIR[1:], Cascade(), "anna", 0.0)
        has_it = device("h/1", "aa", True, "0.2.0")
        with pytest.raises(ConfigError, match=r"all of the 1 devices run release 0\.2\.0 already"):
            start_rollout(connection, "next", RELEASE, ARGS, [has_it, PAIR[1]], Cascade(), "anna", 0.0)
        detector = WantedDetector("detector.fetched", "d" * 64)
        _, members = start_rollout(connection, "new", detector, {"url": "https://x/y"}, PAIR, Cascade(), "anna", 0.0)
    assert [(one.name, one.follows) for one in members if one.follows] == []
    assert {one.name for one in members} == {"h/1", "h/1-north"}
