"""Options of `edge-app fleet`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Final

from edge_app.commands._options import add_city_config

_ANSWER_S: Final = 60.0
_RELEASE_S: Final = 1800.0
"""Longest time without a word of a device that fetches and installs a release over a slow network."""
_NAMES: Final = "site/device, or a pattern such as 'harbour/*'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of all kinds."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="WHAT")
    key = kinds.add_parser("key", help="make the key that signs, or show its public part for the devices' files")
    key.add_argument("file", type=Path, metavar="FILE", help="of the private key, PEM; it is made where there is none")
    listed = kinds.add_parser("list", help="show the devices, and what became of what the office has set")
    listed.add_argument("devices", nargs="?", default="*", metavar="DEVICES", help=_NAMES)
    add_city_config(listed)
    _add_configure(kinds)
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
    judge.add_argument(
        "--candidate",
        default="",
        metavar="HASH",
        help="first digits of its SHA-256 (the detector that counts beside; in a roll-out it is the one in service)",
    )
    judge.add_argument(
        "--before", default="", metavar="HASH", help="the same of the detector with which it is compared (the only one)"
    )
    judge.add_argument("--time-zone", default="UTC", metavar="ZONE", help="says when it is night (%(default)s)")
    _add_rollouts(kinds)
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


def _add_configure(kinds: Any) -> None:
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
    add("--sign", action="store_true", help="sign what it sets anew, with the present key, and change nothing")
    add("--no-wait", action="store_true", help="end when devices have accepted it, not when they have tried it")
    _add_devices(configure)


def _add_devices(parser: argparse.ArgumentParser, option: str = "") -> None:
    if option:
        parser.add_argument(option, dest="devices", required=True, metavar="DEVICES", help=_NAMES)
    else:
        parser.add_argument("devices", metavar="DEVICES", help=_NAMES)
    parser.add_argument(
        "--most", type=int, default=1, metavar="N", help="refuse when more devices than these are meant (%(default)s)"
    )
    add_city_config(parser)


def _add_rollouts(kinds: Any) -> None:
    """Add the options of the office's process and of roll-outs."""
    serve = kinds.add_parser(
        "serve", help="hold the signing key: carry out what is ordered on the page, and lead roll-outs"
    )
    add_city_config(serve)
    rollout = kinds.add_parser(
        "rollout", help="give a detector or a release to many devices, a group at a time; see and change that"
    )
    what = rollout.add_subparsers(dest="what", required=True, metavar="WHAT")
    start = what.add_parser(
        "start",
        help="begin one: devices fetch a detector and count with it and the former one, or install a release",
        description="A release is an archive of `make archive RELEASE_KEY=...`, with SHA256SUMS and SHA256SUMS.sig "
        "beside it.",
    )
    start.add_argument(
        "file", type=Path, metavar="FILE", help="as `fleet bundle` has written it, or edge-app-VERSION-PROCESSOR.tar.xz"
    )
    start.add_argument("devices", metavar="DEVICES", help=_NAMES)
    start.add_argument("--url", required=True, metavar="URL", help="https://, where devices find that very file")
    start.add_argument("--name", metavar="NAME", help="for people (the name of the file)")
    start.add_argument(
        "--groups", default="1,10,100", metavar="PERCENT", help="of the devices that have it after each (%(default)s)"
    )
    start.add_argument("--first", default="", metavar="DEVICES", help="these are in the first group")
    start.add_argument("--hours", type=float, default=24.0, metavar="H", help="shortest time of a group (%(default)s)")
    start.add_argument(
        "--longest-hours", type=float, default=336.0, metavar="H", help="then a person is asked (%(default)s)"
    )
    start.add_argument(
        "--failed",
        type=float,
        default=10.0,
        metavar="PERCENT",
        help="of a group that may go back, be gone, drift or do worse before it is stopped (%(default)s)",
    )
    start.add_argument("--older", action="store_true", help="also a release that is older than what a device has")
    listed = what.add_parser("list", help="show all, newest first")
    show = what.add_parser("show", help="show devices, counts and history of one")
    changes = (
        ("pause", "give it to no further device; those that have it keep it and are judged on"),
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
