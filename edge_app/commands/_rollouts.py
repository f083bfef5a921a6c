"""`edge-app fleet rollout` and `edge-app fleet serve`: candidates given to a fleet, and the process that leads them."""

from __future__ import annotations

import argparse
import secrets
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._city_inventory import person
from edge_app.commands._options import add_city_config
from edge_app.errors import ConfigError, reason_of

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.database.engine import Database
    from edge_app.city.database.rollouts import Kept
    from edge_app.city.desired import Genuine, Layer
    from edge_app.city.office import KnownDevice
    from edge_app.rollout.members import Member
    from edge_app.rollout.plan import Cascade

_KEY: Final = "detector.fetched"
_LOOK_S: Final = 1.0
_MOST_EVENTS: Final = 30
_MOST_DEVICES: Final = 50
_NOBODY: Final = (
    "No process of the office runs: sudo systemctl enable --now edge-app-city-office, or edge-app fleet serve"
)


def add_rollouts(kinds: Any) -> None:
    """Add the options of both."""
    serve = kinds.add_parser(
        "serve", help="hold the signing key: carry out what is ordered on the page, and lead roll-outs"
    )
    add_city_config(serve)
    rollout = kinds.add_parser(
        "rollout", help="give a detector to many devices, a group at a time; see and change that"
    )
    what = rollout.add_subparsers(dest="what", required=True, metavar="WHAT")
    start = what.add_parser("start", help="begin one: devices fetch the detector, and count with it and the former one")
    start.add_argument("bundle", type=Path, metavar="ZIP", help="as `fleet bundle` has written it")
    start.add_argument("devices", metavar="DEVICES", help="site/device, or a pattern such as 'harbour/*'")
    start.add_argument("--url", required=True, metavar="URL", help="https://, where devices find that very file")
    start.add_argument("--name", metavar="NAME", help="for people (the name of the file)")
    start.add_argument(
        "--groups", default="1,10,100", metavar="PERCENT", help="of the devices that have it after each (%(default)s)"
    )
    start.add_argument("--hours", type=float, default=24.0, metavar="H", help="shortest time of a group (%(default)s)")
    listed = what.add_parser("list", help="show all, newest first")
    show = what.add_parser("show", help="show devices, counts and history of one")
    changes = (
        ("pause", "give it to no further device; those that have it keep it"),
        ("go-on", "have a paused one go on"),
        ("take-back", "give every device what it had before"),
    )
    of_one = [show]
    for name, text in changes:
        of_one.append(what.add_parser(name, help=text))
        of_one[-1].add_argument("--why", default="", metavar="TEXT", help="for the history")
    of_one[-1].add_argument("--no-wait", action="store_true", help="do not wait until devices have it")
    for one in of_one:
        one.add_argument("name", metavar="NAME", help="of the roll-out")
    for one in (start, listed, *of_one):
        add_city_config(one)


def run_serve(config: CityConfig, folder: Path, stop: threading.Event) -> int:
    """Hold the key until told to stop. Raises ConfigError, StoreError."""
    from edge_app.city.rollouts import hold
    from edge_app.city.service import opened
    from edge_app.system import logging as logs
    from edge_app.system.systemd import notify

    signing_key(config)  # a wrong one is told before anything waits
    logs.setup("info")
    with opened(config, folder) as database:
        notify("READY=1")
        name = hold(
            database,
            stop.is_set,
            wait=True,
            on_waiting=lambda: print("Another process of the office runs; this one waits for its end.", flush=True),
        )
        if name:
            print("This process holds the office's key: it carries out orders and leads roll-outs.", flush=True)
            _lead(config, database, name, stop.is_set)
    return 0


def run_rollout(
    arguments: argparse.Namespace,
    config: CityConfig,
    devices: Callable[[], Sequence[KnownDevice]],
    fetch_args: Callable[[Path, str], dict[str, Any]],
    stop: threading.Event,
) -> int:
    """Begin, show or change a roll-out.

    devices: returns those that the broker knows. fetch_args: returns what devices are asked to fetch.

    Raises ConfigError, BrokerError, StoreError.
    """
    from edge_app.city.database.rollouts import find_rollout, read_rollouts
    from edge_app.city.service import opened

    bundle = read_candidate(arguments, fetch_args) if arguments.what == "start" else None
    with opened(config, arguments.config.parent) as database:
        if bundle is not None:
            return _start(arguments, database, bundle, devices())
        with database.connect() as connection:
            if arguments.what == "list":
                _show_all(connection, read_rollouts(connection))
                return 0
            kept = find_rollout(connection, arguments.name)
            if arguments.what == "show":
                _show(connection, kept)
                return 0
        return _change(arguments, config, database, stop)


def signing_key(config: CityConfig) -> Any:
    """Return the office's key. Raises ConfigError."""
    from edge_app.system.signatures import read_key

    if config.signing.key_file is None:
        raise ConfigError("no signing key: name it as signing.key_file in city.toml; `edge-app fleet key` makes one")
    return read_key(config.signing.key_file)


def genuine_of(config: CityConfig, key: Any) -> Genuine:
    """Return what tells which messages the office has signed. key: the present one."""
    from edge_app.city.desired import genuine
    from edge_app.system.key_names import key_name
    from edge_app.system.signatures import verify

    return genuine({key_name(public): public for public in (key.public_key, *config.signing.former)}, verify)


def read_candidate(
    arguments: argparse.Namespace, fetch_args: Callable[[Path, str], dict[str, Any]]
) -> tuple[str, str, dict[str, Any]]:
    """Return the name and the SHA-256 of the detector in a bundle, and what devices fetch. Raises ConfigError."""
    fetched = fetch_args(arguments.bundle, arguments.url)
    from edge_app.detectors.bundle import unpack

    try:
        manifest = unpack(arguments.bundle.read_bytes())
    except OSError as error:
        raise ConfigError(f"{arguments.bundle}: cannot be read ({reason_of(error)})") from None
    if not manifest.proven:
        raise ConfigError(
            f"{arguments.bundle}: {manifest.name} has not passed the gate, so no device would count with it; "
            "see the document on the model gate"
        )
    return arguments.name or arguments.bundle.stem, manifest.sha256, fetched


def cascade_of(groups: str, hours: float) -> Cascade:
    """Return how a roll-out grows. groups: shares in percent, rising to 100, with commas. Raises ConfigError."""
    from edge_app.rollout.plan import Cascade

    try:
        shares = tuple(float(text) / 100 for text in groups.split(","))
    except ValueError:
        shares = ()
    rises = all(a < b for a, b in zip((0.0, *shares), shares, strict=False))
    if not shares or not rises or shares[-1] != 1.0:
        raise ConfigError(f"--groups {groups}: must be percents that rise to 100, such as 1,10,100")
    if not 1 <= hours <= Cascade().longest_hours:
        raise ConfigError(f"--hours: must be 1 to {Cascade().longest_hours:.0f}")
    return Cascade(shares, hours=hours)


def _start(
    arguments: argparse.Namespace,
    database: Database,
    bundle: tuple[str, str, dict[str, Any]],
    known: Sequence[KnownDevice],
) -> int:
    from edge_app.city.database.orders import read_holder
    from edge_app.city.rollouts import start_rollout
    from edge_app.rollout.members import Wanted

    cascade = cascade_of(arguments.groups, arguments.hours)
    name, sha256, fetched = bundle
    found = [one for one in known if fnmatchcase(one.name, arguments.devices)]
    if not found:
        raise ConfigError(f"{arguments.devices}: the broker knows no such device; `edge-app fleet list` shows them")
    now = time.time()
    with database.begin() as connection:
        kept, members = start_rollout(connection, name, Wanted(_KEY, sha256), fetched, found, cascade, person(), now)
        alive = read_holder(connection).alive(now)
    parts = Counter(one.group for one in members)
    sizes = ", ".join(str(parts[number]) for number in sorted(parts))
    print(f"{kept.rollout.name}: begun, {len(members)} devices in {len(parts)} groups ({sizes}).")
    if left := len(found) - len(members):
        print(f"{left} devices count with it already, and are left out.")
    print(f"How it goes: edge-app fleet rollout show {kept.rollout.name}")
    if not alive:
        print(_NOBODY)
    return 0


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
            print(_NOBODY)
        return 0
    return _take_back(config, database, kept.id, arguments.name, stop)


def _take_back(config: CityConfig, database: Database, rollout_id: int, name: str, stop: threading.Event) -> int:
    """Wait until every device has what it had before; do it here where no process of the office runs."""
    from edge_app.city.database.rollouts import find_rollout, read_members
    from edge_app.city.rollouts import hold

    def state() -> str:
        with database.connect() as connection:
            return find_rollout(connection, name).rollout.state

    def over() -> bool:
        return stop.is_set() or state() != "taking_back"

    if mine := hold(database, over, wait=False):
        print("No process of the office runs, so this one does it.", flush=True)
        _lead(config, database, mine, over)
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


def _lead(config: CityConfig, database: Database, name: str, stop: Callable[[], bool]) -> None:
    """Lead roll-outs, as the process with the key, until `stop` returns True; say what is wrong with the broker."""
    from edge_app.assembly.broker import endpoints_of
    from edge_app.city.leading import Leading
    from edge_app.city.link import FleetLink
    from edge_app.mqtt.endpoint import Backoff
    from edge_app.mqtt.identity import root_below
    from edge_app.mqtt.session import Session

    key, mqtt = signing_key(config), config.mqtt
    client = f"edge-app-office-{secrets.token_hex(4)}"
    session = Session(endpoints_of(mqtt), client, protocol=mqtt.protocol, backoff=Backoff(max_s=30.0))
    link = FleetLink(session, root_below(mqtt.prefix), genuine_of(config, key))
    leading, told = Leading(database, link, key, name, _refused), ""

    def over() -> bool:
        nonlocal told
        if link.problem not in ("", told):
            told = link.problem
            print(told, file=sys.stderr, flush=True)
        return stop()

    try:
        leading.begin()
        leading.run(over)
    finally:
        link.close()
        leading.end()


def _refused(layer: Layer) -> Sequence[str]:
    """Return the keys of a layer that the office may not set."""
    from edge_app.config.layers import Layer as ConfigLayer
    from edge_app.config.layers import refused_keys

    return refused_keys(ConfigLayer("office", layer.set, layer.unset))


def _show_all(connection: Any, found: Sequence[Kept]) -> None:
    from edge_app.city.database.rollouts import read_members
    from edge_app.console import terminal
    from edge_app.rollout.leading import words

    rows = terminal.table("roll-out", "detector", "state", "group", "devices", "run it", "why")
    for kept in found:
        one, members = kept.rollout, read_members(connection, kept.id)
        group = f"{one.group + 1} of {1 + max((member.group for member in members), default=0)}"
        running = sum(member.state == "running" for member in members)
        cells = (one.wanted.candidate[:12], words(one.state), group, str(len(members)), str(running), one.why)
        rows.add_row(one.name, *cells)
    terminal.stdout().print(rows)


def _show(connection: Any, kept: Kept) -> None:
    from edge_app.city.database.orders import read_holder
    from edge_app.city.database.rollouts import read_events, read_members
    from edge_app.rollout.leading import words

    one, members = kept.rollout, read_members(connection, kept.id)
    print(f"{one.name}: {words(one.state)} since {_at(one.changed)}, {one.why} ({one.who})")
    print(f"detector {one.wanted.candidate[:12]}, from {one.bundle['url']}\n")
    _show_groups(one.begins, members)
    _show_evidence(kept)
    told = [one for one in members if one.reason and one.state in ("back", "gone", "trying", "sent")]
    for member in sorted(told, key=lambda one: one.state)[:_MOST_DEVICES]:
        print(f"{member.name}: {member.state}, {member.reason}")
    if len(told) > _MOST_DEVICES:
        print(f"... and {len(told) - _MOST_DEVICES} more")
    print()
    events = read_events(connection, kept.id)
    if len(events) > _MOST_EVENTS:
        print(f"... and {len(events) - _MOST_EVENTS} before")
    for event in events[-_MOST_EVENTS:]:
        about = f"{event.subject}: " if event.subject else ""
        print(f"{_at(event.at)}  {event.what.replace('_', ' ')}: {about}{event.why} ({event.who})")
    if one.state in ("running", "taking_back") and not read_holder(connection).alive(time.time()):
        print(f"\n{_NOBODY}")


def _show_groups(begins: Sequence[float], members: Sequence[Member]) -> None:
    from edge_app.console import terminal

    states = ("waiting", "sent", "trying", "running", "back", "gone", "returned")
    rows = terminal.table("group", "since", "devices", *states)
    for number in sorted({one.group for one in members}):
        of_group = Counter[str](one.state for one in members if one.group == number)
        since = _at(begins[number]) if number < len(begins) else "-"
        rows.add_row(str(number + 1), since, str(of_group.total()), *(str(of_group[state]) for state in states))
    terminal.stdout().print(rows)


def _show_evidence(kept: Kept) -> None:
    from edge_app.console import terminal

    evidence = kept.evidence
    rows = terminal.table("counted", "candidate", "before", "change")
    for name, (candidate, before) in evidence.sums.items():
        change = f"{(candidate - before) / before:+.1%}" if before else "-"
        rows.add_row(name, f"{candidate:,.0f}", f"{before:,.0f}", change)
    terminal.stdout().print(rows)
    print(f"{evidence.hours:,} hours of devices in this group: {evidence.decision}")
    for reason in evidence.reasons:
        print(f"stop: {reason}")
    if evidence.open and kept.rollout.state in ("running", "paused"):
        print(f"not counted enough yet to pass: {', '.join(evidence.open)}")


def _at(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
