"""Lead roll-outs on a fleet: python -m tests.trials.office_rollout [--kind detector|release] [--only CASE].

Devices with the office code of real ones talk with a city's ingest and the office's process over mosquitto, and fetch
over HTTPS what is given; what they count is drawn as in tests.trials.rollouts, and time goes on when nothing is left to
do. An equal candidate must go through all groups, with one device that is away at the begin and an office's process
that is killed twice. A detector that misses 10 % must be stopped in the first group, and so must a release that
crashes, does not come back, is slow, or misses half; every device that is there must have again what it had before. A
stand-in for root installs releases, and no order may be carried out twice. The exit code is 1 where that is not so.
Needs mosquitto.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from edge_app.city.database.rollouts import Kept
from edge_app.console.terminal import stdout, table
from edge_app.records import VEHICLES
from edge_app.rollout.members import Kind
from edge_app.rollout.plan import Cascade, groups
from tests.support.field_devices import OWN
from tests.support.led_fleet import BEGIN, NEXT, Counting, LedFleet, led_fleet
from tests.trials.rollouts import Change, equal, fleet, hour_of, misses, seen

CASES: Final[Mapping[Kind, Mapping[str, Change]]] = {
    "detector": {"equal": equal, "misses": misses(0.1)},
    "release": {"equal": equal, "crashes": equal, "dies": equal, "slow": equal, "misses": misses(0.5)},
}
NAMES: Final = {"misses": {"detector": "misses 10 %", "release": "misses 50 %"}}
_COMPARED: Final = 5
"""Devices with which a release that misses half is found: two have it in the first group."""
_HOURS: Final = 400.0
_BACK_AFTER: Final = 5
_KILLED_AFTER: Final = (2, 30)
Row = tuple[str, ...]


def counting_of(names: list[str], change: Change, seed: int) -> Counting:
    """Return what both detectors count on simulated streets, the same for the same device and hour."""
    random = np.random.default_rng(seed)
    world = fleet(len(names), random)
    rows = {name: number for number, name in enumerate(names)}

    def count(name: str, hour: int) -> tuple[Mapping[str, float], Mapping[str, float]]:
        of_hour = np.random.default_rng([seed, hour])
        wet = of_hour.random() < 0.13
        mine = np.random.default_rng([seed, hour, rows[name]])
        one = hour_of(world, [rows[name]], hour // 3600 % 24, wet, mine)
        new, old = seen(world, [rows[name]], one, change(one), mine)
        candidate, before = (dict(zip(VEHICLES, each[0].tolist(), strict=True)) for each in (new, old))
        return candidate, before

    return count


def run(kind: Kind, case: str, devices: int, seed: int, folder: Path) -> tuple[Row, bool]:
    """Lead one roll-out; return its row, and whether it went as it must."""
    began = time.monotonic()
    with led_fleet(folder, devices) as city:
        names, cascade = list(city.devices), Cascade()
        counting = counting_of(names, CASES[kind][case], seed)
        candidate = city.candidate if kind == "detector" else city.bundle["sha256"]
        away = groups(names, candidate, cascade)[0][0] if case == "equal" else ""
        if kind == "detector":
            city.begin(case, cascade)
        else:
            city.remember(counting)
            suffer(city, case)
            city.begin_release(case, cascade)
        if away:
            city.devices[away].stop()
        city.take_office()

        def each_hour(hour: int) -> None:
            if away and hour == _BACK_AFTER:
                city.devices[away].start()
            if case == "equal" and hour in _KILLED_AFTER:
                city.take_office()

        def over(kept: Kept) -> bool:
            return kept.rollout.state in ("done", "taken_back", "paused")

        hours = city.drive(case, counting, over, hours=_HOURS, each_hour=each_hour)
        return _judge(kind, case, city, hours, time.monotonic() - began)


def suffer(city: LedFleet, case: str) -> None:
    """Let the new release do to devices what the case says."""
    for device in city.devices.values():
        if case in ("crashes", "dies"):
            device.root.faults[NEXT] = "crashes" if case == "crashes" else "dies"
    city.sick = {"frames_per_s": 7.0} if case == "slow" else {}


def _judge(kind: Kind, case: str, city: LedFleet, hours: float, took_s: float) -> tuple[Row, bool]:
    kept, members, events = city.rollout(case)
    stopped = next((event for event in events if event.what == "stopped"), None)
    new, old = (city.candidate, OWN) if kind == "detector" else (NEXT, "0.1.0")
    alive = [device for device in city.devices.values() if device.alive]
    present = [device.present if kind == "detector" else device.root.version for device in alive]
    had = sum(one.fetched or one.got > 0 or one.order != "" for one in members)
    if case == "equal":
        fine = kept.rollout.state == "done" and all(one == new for one in present) and city.killed == 2
    else:
        fine = kept.rollout.state == "taken_back" and kept.rollout.group == 0 and all(one == old for one in present)
    for device in city.devices.values():
        fine &= len(set(device.root.carried_out)) == len(device.root.carried_out) <= (1 if case == "equal" else 2)
    after = f"{(stopped.at - BEGIN) / 3600:.1f}" if stopped else "-"
    for event in events:
        at = f"{(event.at - BEGIN) / 3600:6.1f} h"
        print(f"{at}  {event.what.replace('_', ' ')}: {event.subject}{event.subject and ' '}{event.why} ({event.who})")
    name = NAMES.get(case, {}).get(kind, case)
    cells = (name, kept.rollout.state.replace("_", " "), str(kept.rollout.group + 1), str(had), after)
    return (*cells, f"{hours:.1f}", str(city.killed), f"{took_s:.0f}"), fine


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kind", choices=CASES, default="detector")
    parser.add_argument("--only", help="one case alone")
    arguments = parser.parse_args()
    if arguments.kind == "release" and arguments.only in (None, "misses") and arguments.devices < _COMPARED:
        parser.error(f"what a release counts is judged beside three devices without it: --devices {_COMPARED} at least")
    rows = table("candidate", "end", "group", "had it", "stopped, h", "over, h", "kills", "took, s")
    fine = True
    for case in CASES[arguments.kind]:
        if arguments.only not in (None, case):
            continue
        with tempfile.TemporaryDirectory() as folder:
            row, well = run(arguments.kind, case, arguments.devices, arguments.seed, Path(folder))
        rows.add_row(*row)
        fine &= well
    stdout().print(rows)
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
