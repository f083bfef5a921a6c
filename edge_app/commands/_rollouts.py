"""`edge-app fleet rollout`: detectors and releases of the program are given to a fleet, a group at a time."""

from __future__ import annotations

import argparse
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._city_inventory import person
from edge_app.commands._fleet_files import fetch_args, read_bundle
from edge_app.commands._office_serving import lead_until
from edge_app.commands._rollouts_shown import NOBODY, show_all, show_one, waiting_for
from edge_app.errors import ConfigError

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.database.engine import Database
    from edge_app.city.office import KnownDevice
    from edge_app.rollout.members import Wanted
    from edge_app.rollout.plan import Cascade

_KEY: Final = "detector.fetched"
_ARCHIVE: Final = ".tar.xz"
_LOOK_S: Final = 1.0
_LONGEST_H: Final = 60.0 * 24
"""Longest time of a group, h: comparisons are kept for 90 days."""


def run_rollout(
    arguments: argparse.Namespace,
    config: CityConfig,
    devices: Callable[[], Sequence[KnownDevice]],
    stop: threading.Event,
) -> int:
    """Begin, show or change a roll-out. devices: returns those that the broker knows.

    Raises ConfigError, BrokerError, StoreError.
    """
    from edge_app.city.database.rollouts import find_rollout, read_rollouts
    from edge_app.city.service import opened

    given = read_candidate(arguments) if arguments.what == "start" else None
    with opened(config, arguments.config.parent) as database:
        if given is not None:
            return _start(arguments, database, given, devices())
        with database.connect() as connection:
            if arguments.what == "list":
                show_all(connection, read_rollouts(connection))
                return 0
            kept = find_rollout(connection, arguments.name)
            if arguments.what == "show":
                show_one(connection, kept)
                return 0
        return _change(arguments, config, database, stop)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a roll-out gives. args: of the command by which devices fetch it. processor: it is for, empty for each."""

    name: str
    wanted: Wanted
    args: Mapping[str, Any]
    processor: str = ""


def read_candidate(arguments: argparse.Namespace) -> Candidate:
    """Return what a roll-out is to give: a bundle, or an archive of the program. Raises ConfigError."""
    file = arguments.file
    if file.name.endswith(_ARCHIVE):
        return _release(arguments)
    if arguments.older:
        raise ConfigError("--older: goes with an archive of the program, not with a detector")
    return _detector(arguments)


def _release(arguments: argparse.Namespace) -> Candidate:
    from edge_app.city.releasing import archive_of, release_args
    from edge_app.rollout.wanted_release import WantedRelease

    args = release_args(arguments.file, arguments.url, older=arguments.older)
    archive = archive_of(args)
    name = arguments.name or arguments.file.name.removesuffix(_ARCHIVE)
    return Candidate(name, WantedRelease(args["sha256"], archive.version), args, archive.processor)


def _detector(arguments: argparse.Namespace) -> Candidate:
    from edge_app.detectors.bundle import unpack
    from edge_app.rollout.wanted_detector import WantedDetector

    content = read_bundle(arguments.file)
    args, manifest = fetch_args(content, arguments.url), unpack(content)
    if not manifest.proven:
        raise ConfigError(
            f"{arguments.file}: {manifest.name} has not passed the gate, so no device would count with it; "
            "see the document on the model gate"
        )
    return Candidate(arguments.name or arguments.file.stem, WantedDetector(_KEY, manifest.sha256), args)


def cascade_of(groups: str, hours: float, longest: float, failed: float) -> Cascade:
    """Return how a roll-out grows, as the options say it. Raises ConfigError.

    groups: shares in percent, rising to 100, with commas. hours, longest: of a group. failed: percent of a group.
    """
    from edge_app.rollout.plan import Cascade

    try:
        shares = tuple(float(text) / 100 for text in groups.split(","))
    except ValueError:
        shares = ()
    rises = all(a < b for a, b in zip((0.0, *shares), shares, strict=False))
    if not shares or not rises or shares[-1] != 1.0:
        raise ConfigError(f"--groups {groups}: must be percents that rise to 100, such as 1,10,100")
    if not 1 <= longest <= _LONGEST_H:
        raise ConfigError(f"--longest-hours: must be 1 to {_LONGEST_H:.0f}")
    if not 1 <= hours <= longest:
        raise ConfigError(f"--hours: must be 1 to {longest:g}, the longest time of a group")
    if not 0 <= failed <= 50:
        raise ConfigError("--failed: must be 0 to 50 percent of the devices of a group")
    return Cascade(shares, hours=hours, longest_hours=longest, failed=failed / 100)


def _start(
    arguments: argparse.Namespace,
    database: Database,
    given: Candidate,
    known: Sequence[KnownDevice],
) -> int:
    from edge_app.city.database.orders import read_holder
    from edge_app.city.releasing import first_cameras, other_processors
    from edge_app.city.rollouts import start_rollout

    cascade = cascade_of(arguments.groups, arguments.hours, arguments.longest_hours, arguments.failed)
    found = [one for one in known if fnmatchcase(one.name, arguments.devices)]
    if not found:
        raise ConfigError(f"{arguments.devices}: the broker knows no such device; `edge-app fleet list` shows them")
    others = other_processors(found, given.processor)
    fitting = [one for one in found if one.name not in others]
    if not fitting:
        raise ConfigError(f"{arguments.file}: is for {given.processor}, and none of the {len(found)} devices is")
    first = [one.name for one in fitting if fnmatchcase(one.name, arguments.first)]
    if arguments.first and not first:
        raise ConfigError(f"--first {arguments.first}: is none of the devices that are to get it")
    now = time.time()
    with database.begin() as connection:
        kept, members = start_rollout(
            connection, given.name, given.wanted, given.args, fitting, cascade, person(), now, first
        )
        alive = read_holder(connection).alive(now)
    parts = Counter(one.group for one in members)
    beside = sum(bool(one.follows) for one in members)
    sizes = ", ".join(str(parts[number]) for number in sorted(parts))
    print(f"{kept.rollout.name}: begun, {len(members)} devices in {len(parts)} groups ({sizes}).")
    if beside:
        print(f"{beside} of them are further cameras of a machine: they get it with its first one.")
    following = first_cameras(fitting) if given.wanted.kind == "release" else {}
    if alone := [name for name, leader in sorted(following.items()) if not leader]:
        print(f"{alone[0]}{_others(alone)}: no release can be ordered there, and nobody knows where; left out.")
    if left := len(fitting) - len(members) - len(alone):
        print(f"{left} devices run it already, and are left out.")
    if others:
        print(f"{len(others)} devices have another processor than {given.processor}, and are left out.")
    print(f"How it goes: edge-app fleet rollout show {kept.rollout.name}")
    if not alive:
        print(NOBODY)
    return 0


def _others(names: Sequence[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _change(arguments: argparse.Namespace, config: CityConfig, database: Database, stop: threading.Event) -> int:
    from edge_app.city.database.orders import read_holder
    from edge_app.city.database.rollouts import find_rollout
    from edge_app.city.rollouts import change_by_hand

    kind = arguments.what.replace("-", "_")
    with database.begin() as connection:
        kept = find_rollout(connection, arguments.name)
        goes_on = kind == "take_back" and kept.rollout.state == "taking_back"  # it was cut short, or waits for the key
        told = (
            "it is being taken back"
            if goes_on
            else change_by_hand(connection, kept, kind, person(), arguments.why, time.time())
        )
        alive = read_holder(connection).alive(time.time())
    print(f"{arguments.name}: {told}.")
    if kind != "take_back" or arguments.no_wait:
        if not alive:
            print(NOBODY)
        return 0
    return _take_back(config, database, kept.id, arguments.name, stop)


def _take_back(config: CityConfig, database: Database, rollout_id: int, name: str, stop: threading.Event) -> int:
    """Wait until every device has what it had before; do it here where no process of the office runs."""
    from edge_app.city.database.rollouts import find_rollout, read_members
    from edge_app.city.holding import hold

    told = set[str]()

    def state() -> str:
        with database.connect() as connection:
            return find_rollout(connection, name).rollout.state

    def over() -> bool:
        if stop.is_set() or state() != "taking_back":
            return True
        with database.connect() as connection:
            waits = waiting_for(read_members(connection, rollout_id))
        for why, device in waits.items():
            if why not in told:
                print(f"Waiting for {device}: {why}.", flush=True)
        told.update(waits)
        return False

    if mine := hold(database, over, wait=False):
        print("No process of the office runs, so this one does it.", flush=True)
        lead_until(config, database, mine, over)
    while not over():
        stop.wait(_LOOK_S)
    with database.connect() as connection:
        members = read_members(connection, rollout_id)
        why = find_rollout(connection, name).rollout.why
    print(f"{name}: {why}.")
    left = [one for one in members if one.state not in ("waiting", "returned")]
    for one in left:
        print(f"{one.name}: {one.state}, {one.reason}")
    return 1 if left or state() == "taking_back" else 0
