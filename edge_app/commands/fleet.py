"""`edge-app fleet`: what the office does with its devices: configure them, and have them answer signed commands."""

from __future__ import annotations

import argparse
import hashlib
import json
import secrets
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_app.commands._city_inventory import person
from edge_app.commands._options import add_city_config, reach_secrets, without_city
from edge_app.commands._rollouts import add_rollouts, genuine_of, run_rollout, run_serve, signing_key
from edge_app.errors import ConfigError, reason_of
from edge_app.system.files import write_atomic

if TYPE_CHECKING:
    from edge_app.city.config import CityConfig
    from edge_app.city.conversation import Conversation, Outcome
    from edge_app.city.desired import Change, Layer
    from edge_app.city.office import KnownDevice, Office

HELP = "configure the city's devices from the office, and have them answer signed commands"

_ANSWER_S: Final = 60.0
_RELEASE_S: Final = 1800.0
"""Longest time without a word of a device that fetches and installs a release over a slow network."""
_TRIAL_S: Final = 150.0
"""Longest wait for the end of a trial, which takes two minutes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="WHAT")
    key = kinds.add_parser("key", help="make the key that signs, or show its public part for the devices' files")
    key.add_argument("file", type=Path, metavar="FILE", help="of the private key, PEM; it is made where there is none")
    listed = kinds.add_parser("list", help="show the devices, and what became of what the office has set")
    listed.add_argument("devices", nargs="?", default="*", metavar="DEVICES", help=_NAMES)
    add_city_config(listed)
    add_city_configure(kinds)
    restart = kinds.add_parser("restart", help="have devices begin counting anew")
    diagnose = kinds.add_parser("diagnose", help="fetch a ZIP file for support from each device: no secret, no picture")
    snapshot = kinds.add_parser("snapshot", help="fetch the newest picture, where the device's own file allows it")
    snapshot.add_argument("--width", type=int, default=640, metavar="PX", help="160 to 1280 (%(default)s)")
    snapshot.add_argument("--lines", action="store_true", help="with the lines drawn in")
    harvest = kinds.add_parser("harvest", help="keep frames to be labelled for some hours, where its file allows it")
    harvest.add_argument("switch", choices=("on", "off"))
    harvest.add_argument("--hours", type=int, default=24, metavar="N", help="1 to 168 (%(default)s)")
    fetch = kinds.add_parser("fetch", help="have devices fetch a detector, which then `config` has them count with")
    fetch.add_argument("--bundle", type=Path, required=True, metavar="ZIP", help="as `fleet bundle` has written it")
    where = fetch.add_mutually_exclusive_group(required=True)
    where.add_argument("--url", metavar="URL", help="https://, where devices find that very file")
    where.add_argument(
        "--by-broker", action="store_true", help="send it in pieces through the broker, to devices that reach no server"
    )
    release = kinds.add_parser(
        "release",
        help="have devices install a release of the program, which goes back by itself when it is not healthy",
        description="`make archive RELEASE_KEY=...` makes the archive, and SHA256SUMS and SHA256SUMS.sig beside it.",
    )
    release.add_argument("archive", type=Path, metavar="ARCHIVE", help="edge-app-VERSION-PROCESSOR.tar.xz")
    release.add_argument("--url", required=True, metavar="URL", help="https://, where devices find that very file")
    release.add_argument("--older", action="store_true", help="also where it is older than what a device has")
    rollback = kinds.add_parser("rollback", help="have devices go back to the release of the program before")
    judge = kinds.add_parser("judge", help="say by comparisons of a candidate whether it may go on to more devices")
    judge.add_argument("files", type=Path, nargs="+", metavar="FILE", help="messages of shadow/LINE, one a line")
    judge.add_argument("--time-zone", default="UTC", metavar="ZONE", help="says when it is night (%(default)s)")
    add_rollouts(kinds)
    bundle = kinds.add_parser("bundle", help="pack a detector and its manifest into a ZIP file for `fetch`")
    bundle.add_argument("model", type=Path, metavar="TFLITE", help="with its .json beside it")
    bundle.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="for the file (here)")
    for kind in (diagnose, snapshot):
        kind.add_argument("--out", type=Path, default=Path(), metavar="FOLDER", help="for the files (here)")
    _add_devices(release, "--to")
    _add_devices(rollback)
    for kind in (release, rollback):
        kind.add_argument("--no-wait", action="store_true", help="end when devices have the order, not when it is done")
        kind.add_argument("--wait", type=float, default=_RELEASE_S, metavar="S", help="for a word (%(default)s)")
    for kind in (restart, diagnose, snapshot, harvest, fetch):
        _add_devices(kind)
        kind.add_argument("--wait", type=float, default=_ANSWER_S, metavar="S", help="for an answer (%(default)s)")


def add_city_configure(kinds: Any) -> None:
    configure = kinds.add_parser(
        "config",
        help="set keys of devices' configurations from here; without an option, show what the office sets",
        description="Values that are not named stay as they are. A device tries what it gets for two minutes, and goes "
        "back by itself when its picture or its broker is gone.",
    )
    add = configure.add_argument
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="as TOML has it, such as counting.interval_s=300",
    )
    add("--default", action="append", default=[], metavar="KEY", help="the key gets its default")
    add("--leave", action="append", default=[], metavar="KEY", help="the key is the page's or the file's again")
    add("--file", type=Path, metavar="TOML", help="all that the office sets, instead of what it sets now")
    add("--clear", action="store_true", help="the office sets nothing more")
    add("--no-wait", action="store_true", help="end when devices have accepted it, not when they have tried it")
    _add_devices(configure)


_NAMES: Final = "site/device, or a pattern such as 'harbour/*'"


def _add_devices(parser: argparse.ArgumentParser, option: str = "") -> None:
    if option:
        parser.add_argument(option, dest="devices", required=True, metavar="DEVICES", help=_NAMES)
    else:
        parser.add_argument("devices", metavar="DEVICES", help=_NAMES)
    parser.add_argument(
        "--most", type=int, default=1, metavar="N", help="refuse when more devices than these are meant (%(default)s)"
    )
    add_city_config(parser)


def main(arguments: argparse.Namespace, stop: threading.Event) -> int:
    """Return 0 when every device did what it was asked, else 1.

    Raises ConfigError: also when the extra is not installed. Raises BrokerError, StoreError.
    """
    try:
        if arguments.kind == "key":
            return _key(arguments.file)
        if arguments.kind == "judge":
            return _judge(arguments.files, arguments.time_zone)
        if arguments.kind == "bundle":
            return _bundle(arguments.model, arguments.out)
        reach_secrets(arguments.config)
        return _led(arguments, stop)
    except ImportError as error:
        raise without_city(error) from error


def _key(file: Path) -> int:
    from edge_app.system.key_names import key_name
    from edge_app.system.signatures import fingerprint_of, make_key, read_key

    made = not file.exists()
    try:
        public = (make_key(file) if made else read_key(file)).public_key
    except OSError as error:
        raise ConfigError(f"{file}: cannot be written ({reason_of(error)})") from None
    if made:
        print(f"{file}: made. Whoever has it can configure every device that trusts it: keep it as such, and a copy.\n")
    print(f'For the devices\' own files:\n\n[office]\nkeys = ["{public}"]\n')
    print(f"In messages it is called {key_name(public)}; its SHA-256 is {fingerprint_of(public)}.")
    return 0


def _bundle(model: Path, folder: Path) -> int:
    from edge_app.detectors.bundle import pack

    manifest, content = pack(model)
    path = folder / f"{model.stem}-{manifest.sha256[:12]}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({reason_of(error)})") from None
    gate = "has passed the gate" if manifest.proven else "has NOT passed the gate: devices keep it, and do not use it"
    print(f"{path}: {len(content):,} bytes; {manifest.name} {gate}.\n")
    print("Put it on an HTTPS server that the devices reach, then for example:\n")
    print(f"edge-app fleet fetch SITE/DEVICE --bundle {path} --url https://SERVER/{path.name}")
    print(f"edge-app fleet config SITE/DEVICE --set detector.fetched={manifest.sha256}")
    return 0


def _judge(files: Sequence[Path], zone_name: str) -> int:
    from edge_app.city.calendar import zone
    from edge_app.city.compared import Collected
    from edge_app.console import terminal

    tz, collected = zone(zone_name), Collected()
    for path in files:
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                collected.add(lines)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read ({reason_of(error)})") from None
    rule = collected.rule(tz)
    rows = terminal.table("counted", "candidate", "before", "change")
    for name, found in rule.of.items():
        if found.before or found.candidate:
            rows.add_row(name, f"{found.candidate:,.0f}", f"{found.before:,.0f}", f"{found.change:+.1%}")
    terminal.stdout().print(rows)
    devices = len({device for device, _ in collected.hours})
    print(f"\n{rule.hours:,} hours of {devices} devices; {collected.unread} lines were no comparison.")
    decision = rule.decide()
    for reason in rule.reasons():
        print(f"stop: {reason}")
    if decision == "pass":
        print("pass: a shortfall that must not be is out of the question")
    elif decision == "wait":
        print("wait: too little was counted to stop it, or to let it go on")
    return 0 if decision == "pass" else 1


def _led(arguments: argparse.Namespace, stop: threading.Event) -> int:
    from edge_app.city.config import load, shared_login

    process = "office" if arguments.kind == "serve" else "fleet"
    config = load(arguments.config, process=process)
    if shared := shared_login(config, process):
        print(f"edge-app: {shared}", file=sys.stderr)
    if arguments.kind == "serve":
        return run_serve(config, arguments.config.parent, stop)
    office = _office(config, stop)
    if arguments.kind == "rollout":
        return run_rollout(arguments, config, office.devices, fetch_args, stop)
    changes = _change_of(arguments) if arguments.kind == "config" else None
    is_genuine = None if changes is None else genuine_of(config, signing_key(config))
    found = [one for one in office.devices(is_genuine) if fnmatchcase(one.name, arguments.devices)]
    if arguments.kind == "list":
        _show_list(found)
        return 0
    if not found:
        raise ConfigError(f"{arguments.devices}: the broker knows no such device; `edge-app fleet list` shows them")
    if len(found) > arguments.most:
        raise ConfigError(
            f"{arguments.devices}: {len(found)} devices are meant; if that is so, --most {len(found)} says it"
        )
    if arguments.kind == "config":
        if changes is None:
            _show_layers(found)
            return 0
        return _configure(arguments, config, office, found, changes)
    if arguments.kind in ("release", "rollback"):
        return _release(arguments, config, office, found)
    return _command(arguments, config, office, found)


def _office(config: CityConfig, stop: threading.Event) -> Office:
    from edge_app.assembly.broker import endpoints_of
    from edge_app.city.office import Office
    from edge_app.mqtt.endpoint import Backoff
    from edge_app.mqtt.identity import root_below
    from edge_app.mqtt.session import Session
    from edge_app.system import logging as logs

    logs.setup("error")
    mqtt = config.mqtt

    def connect() -> Session:
        name = f"edge-app-fleet-{secrets.token_hex(4)}"
        return Session(endpoints_of(mqtt), name, protocol=mqtt.protocol, backoff=Backoff(max_s=5.0))

    return Office(connect, root_below(mqtt.prefix), stop.is_set)


def _change_of(arguments: argparse.Namespace) -> Callable[[Layer], Layer] | None:
    """Return what the options make of a layer, None without any. Raises ConfigError."""
    from edge_app.city.desired import Change, Layer, changed
    from edge_app.city.order_wishes import office_keys
    from edge_app.config.files import parse_value, read_tables
    from edge_app.config.layers import Layer as ConfigLayer
    from edge_app.config.layers import refused_keys
    from edge_app.system.tables import flat

    values = dict(_pair(text, parse_value) for text in arguments.set)
    change: Change = Change(values, tuple(arguments.default), tuple(arguments.leave))
    if not (values or change.unset or change.left or arguments.file or arguments.clear):
        return None
    if arguments.clear and (values or change.unset or change.left or arguments.file):
        raise ConfigError("--clear: takes all away, so no other option goes with it")
    tables = read_tables(arguments.file) if arguments.file else None

    def make(layer: Layer) -> Layer:
        known = {*office_keys(), *flat(layer.set), *layer.unset}
        if unknown := [key for key in (*change.unset, *change.left) if key not in known]:
            raise ConfigError(f"{', '.join(unknown)}: is no key that the office sets, such as counting.interval_s")
        made = changed(layer if tables is None and not arguments.clear else Layer(tables or {}), change)
        if refused := refused_keys(ConfigLayer("office", made.set, made.unset)):
            raise ConfigError(f"the office may not set {', '.join(refused)}: that stands in the device's own file")
        _refuse_odd(made.set)
        return made

    return make


def _refuse_odd(tables: Mapping[str, Any]) -> None:
    """Refuse what TOML has and a message has not. Raises ConfigError."""
    try:
        json.dumps(tables, allow_nan=False)
    except (TypeError, ValueError):
        raise ConfigError("a date, a time, nan or inf is no value of a configuration") from None


def _pair(text: str, parse: Callable[[str], Any]) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--set {text}: must be KEY=VALUE, such as counting.interval_s=300")
    return key.strip(), parse(value.strip())


def _configure(
    arguments: argparse.Namespace,
    config: CityConfig,
    office: Office,
    found: Sequence[KnownDevice],
    make: Callable[[Layer], Layer],
) -> int:
    from edge_app.city.conversation import Configuring
    from edge_app.city.desired import Layer, differences, document, signer_of
    from edge_app.system.clock import rfc3339
    from edge_app.system.key_names import key_name
    from edge_app.system.signed import write_signed

    key, now, author = signing_key(config), time.time(), person()
    talks, entries = list[Any](), list[tuple[str, str, Mapping[str, Any]]]()
    anew, lost = arguments.file is not None or arguments.clear, 0
    for one in found:
        try:
            before = Layer() if one.lost and anew else one.base()
        except ConfigError as error:
            print(error)
            lost += 1
            continue
        layer = make(before)
        change = differences(before, layer)
        mine = signer_of(one.retained) == key_name(key.public_key)  # what a former key has signed is signed anew
        if not change and one.revision and not one.lost and mine:
            print(f"{one.name}: nothing to change")
            continue
        topic = f"{office.root}/{one.name}"
        text = document(layer, one.next_revision, rfc3339(round(now, 3)), author)
        payload = write_signed(f"{topic}/config/desired", text, key_name(key.public_key), key.sign)
        patient = not arguments.no_wait
        talks.append(Configuring(topic, payload, one.next_revision, one.report, one.retained, patient=patient))
        entries.append(("device.config", one.name, {"revision": [one.revision, one.next_revision], **change}))
    _audit(arguments, config, entries)
    return max(_lead(office, talks, _TRIAL_S, Path()) if talks else 0, int(lost > 0))


def _command(arguments: argparse.Namespace, config: CityConfig, office: Office, found: Sequence[KnownDevice]) -> int:
    from edge_app.city.conversation import Commanding, Fetching
    from edge_app.city.office import command

    key, name, args = signing_key(config), arguments.kind, _args(arguments)
    bundle = _bundle_in(arguments.bundle) if name == "fetch" else b""
    talks, entries = list[Any](), list[tuple[str, str, Mapping[str, Any]]]()
    for one in found:
        topic = f"{office.root}/{one.name}"
        identifier, payload = command(f"{topic}/commands/{name}", args, key, "office", time.time())
        by_broker = name == "fetch" and arguments.by_broker
        talks.append(
            Fetching(topic, identifier, payload, bundle) if by_broker else Commanding(topic, name, identifier, payload)
        )
        entries.append((f"device.{name}", one.name, {"id": [None, identifier], "args": [None, args]}))
    _audit(arguments, config, entries)
    return _lead(office, talks, arguments.wait, getattr(arguments, "out", Path()))


def _release(arguments: argparse.Namespace, config: CityConfig, office: Office, found: Sequence[KnownDevice]) -> int:
    from edge_app.city.releasing import release_args, send_release

    args = None
    if arguments.kind == "release":
        args = release_args(arguments.archive, arguments.url, older=arguments.older)
    key, talks, entries = signing_key(config), list[Any](), list[tuple[str, str, Mapping[str, Any]]]()
    for one in found:
        sent = send_release(f"{office.root}/{one.name}", args, key, patient=not arguments.no_wait)
        talks.append(sent.talk)
        change = {"id": [None, sent.identifier], "program": [one.status.get("version"), "before"]}
        if args is not None:
            change["program"] = [one.status.get("version"), arguments.archive.name]
            change["sha256"] = [None, args["sha256"]]
        entries.append((f"device.{arguments.kind}", one.name, change))
    _audit(arguments, config, entries)
    return _lead(office, talks, arguments.wait, Path())


def _args(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.kind == "snapshot":
        if not 160 <= arguments.width <= 1280:
            raise ConfigError("--width: must be 160 to 1280 px")
        return {"width": arguments.width, "lines": arguments.lines}
    if arguments.kind == "harvest":
        if not 1 <= arguments.hours <= 168:
            raise ConfigError("--hours: must be 1 to 168")
        return {"enabled": True, "hours": arguments.hours} if arguments.switch == "on" else {"enabled": False}
    if arguments.kind == "fetch":
        return fetch_args(arguments.bundle, arguments.url)
    return {}


def fetch_args(bundle: Path, url: str | None) -> dict[str, Any]:
    """Return what devices are asked to fetch. url: None for the broker. Raises ConfigError."""
    content = _bundle_in(bundle)
    if url is not None and not url.startswith("https://"):
        raise ConfigError("--url: must begin with https://")
    where = {} if url is None else {"url": url}
    return {**where, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _bundle_in(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read ({reason_of(error)})") from None


def _audit(
    arguments: argparse.Namespace, config: CityConfig, entries: Sequence[tuple[str, str, Mapping[str, Any]]]
) -> None:
    """Note what is about to be sent: without an entry nothing goes out. Raises StoreError."""
    from edge_app.city.database.audit import note_change
    from edge_app.city.service import opened

    who, now = person(), time.time()
    with opened(config, arguments.config.parent) as database, database.begin() as connection:
        for action, subject, change in entries:
            note_change(connection, now, who, action, subject, change)


def _lead(office: Office, talks: Sequence[Conversation], wait_s: float, folder: Path) -> int:
    failed = 0

    def tell(talk: Conversation, outcome: Outcome) -> None:
        nonlocal failed
        name = talk.device.removeprefix(f"{office.root}/")
        text, ok = outcome.text, outcome.ok
        if ok and outcome.name:
            try:
                text = f"{_kept(folder, name, outcome)}, {text}"
            except OSError as error:
                text, ok = f"{folder}: cannot be written ({reason_of(error)})", False
        failed += not ok
        print(f"{name}: {text}", flush=True)

    office.lead(talks, wait_s, tell)
    return 1 if failed else 0


def _kept(folder: Path, device: str, outcome: Outcome) -> Path:
    """Write what a device has sent, and return the file, whose name it does not choose. Raises OSError."""
    kind = outcome.name.rpartition(".")[2]
    ending = kind if kind.isalnum() and len(kind) <= 4 else "bin"
    path = folder / f"{device.replace('/', '.')}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.{ending}"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(outcome.content)
    return path


def _show_list(found: Sequence[KnownDevice]) -> None:
    from edge_app.console import terminal

    rows = terminal.table("device", "state", "program", "contract", "model", "config", "office")
    for column in (rows.columns[0], rows.columns[2], rows.columns[-1]):  # what identifies something is not cut
        column.no_wrap, column.overflow, column.min_width = False, "fold", 9
    for one in found:
        told = one.status
        office = f"{one.reported.revision} {one.reported.state}".replace("_", " ") if one.report else "-"
        release = f"{told.get('version') or '-'} {one.reported.release.state if one.reported.release else ''}".strip()
        cells = (told.get("state"), release, told.get("contract", "1.0"), one.meta.get("model"), one.meta.get("config"))
        rows.add_row(one.name, *(str(cell or "-") for cell in cells), office)
    terminal.stdout().print(rows)


def _show_layers(found: Sequence[KnownDevice]) -> None:
    from edge_app.config.edit import tables_text

    for one in found:
        told = f"{one.reported.state.replace('_', ' ')}, revision {one.reported.revision} is in use"
        print(f"# {one.name}: the office has set revision {one.revision}; {told if one.report else 'no report'}")
        for problem in one.reported.problems:
            print(f"# {problem}")
        print(tables_text(one.desired.set), end="")
        for key in one.desired.unset:
            print(f"# {key} has its default")
