"""A part of a fleet in a process of its own: its devices count, lose power, have wrong clocks, and report.

The parent starts parts with `begin`, reads a `Report` from each every second, has them hold (`Part.hold`: nothing is
counted any more, and what was counted is told), and ends them.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import multiprocessing
import os
import random
import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Literal

from tests.support.fleet_devices import KINDS, FleetDevice, LeanDevice, Model, RealDevice, Way, config_of
from tests.support.lean_ledger import Counted
from tests.support.lean_publisher import Carrier

Client = Literal["lean", "real"]
MOST_A_PROCESS: Final[dict[Client, int]] = {"lean": 2_500, "real": 50}
"""paho waits by select(2), which takes no file above number 1,023: a real device has about ten files."""
_ACTIONS: Final = 20
"""Actions in a row before connections are looked at again: all intervals close in the same second."""
_HOUR_S: Final = 3600


@dataclass(frozen=True)
class Plan:
    """What happens to a fleet. Times are s since its begin.

    lasts_s: the devices count for so long. connects_s: within which all come. restarts: share of the devices that are
    switched off once, half of them without a goodbye. wrong_clocks: share with a clock that is wrong.
    """

    way: Way
    client: Client
    seed: int
    lasts_s: float
    connects_s: float
    restarts: float
    wrong_clocks: float
    folder: Path


@dataclass(frozen=True)
class Fate:
    """What happens to one device. clocks: when, and by how much its clock is wrong from then on; s."""

    begins_s: float
    off_s: float | None
    off_for_s: float
    goodbye: bool
    clocks: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Report:
    """State of a part. connected, delivered, unsent: sums of its devices. behind_s: by which its actions are late."""

    connected: int
    delivered: int
    unsent: int
    behind_s: float
    processor_s: float


def fate_of(number: int, plan: Plan) -> Fate:
    """Return what happens to a device, the same at every call.

    A wrong clock is a day behind, an hour ahead, or a little behind or ahead until it is set right in the middle: what
    ends in its future then waits for its time, which must come within the run.
    """
    chance = random.Random(f"{plan.seed} {number}")
    begins = chance.uniform(0.0, plan.connects_s)
    middle = chance.uniform(0.4, 0.6) * plan.lasts_s
    clocks: Sequence[tuple[float, float]] = ()
    if chance.random() < plan.wrong_clocks:
        some = min(_HOUR_S / 2, plan.lasts_s / 5)
        stepped = [((0.0, -some), (middle, 0.0)), ((0.0, some), (middle, 0.0))]
        clocks = chance.choice([((0.0, -24.0 * _HOUR_S),), ((0.0, 1.0 * _HOUR_S),), *stepped])
    off = chance.uniform(0.2, 0.7) * plan.lasts_s if chance.random() < plan.restarts else None
    return Fate(begins, off, chance.uniform(1.0, 0.1 * plan.lasts_s), chance.random() < 0.5, clocks)


class _Fleet:
    """The devices of a part, and what is to be done with each when."""

    def __init__(self, plan: Plan, numbers: Sequence[int]) -> None:
        self._plan, self._began = plan, time.monotonic()
        self._carrier = Carrier()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._on: set[FleetDevice] = set()
        self._holds = False
        self.behind_s = 0.0
        models: dict[int, Model] = {}
        self.devices = [self._device(number, models) for number in numbers]
        self._began = time.monotonic()
        for number, device in zip(numbers, self.devices, strict=True):
            self._foresee(device, fate_of(number, plan))

    def turn(self, longest_s: float) -> None:
        """Do what is due, and wait for at most so long."""
        for _ in range(_ACTIONS):
            if not self._heap or self._heap[0][0] > time.monotonic():
                break
            due, _, action = heapq.heappop(self._heap)
            self.behind_s = max(self.behind_s, time.monotonic() - due)
            action()
        left = self._heap[0][0] - time.monotonic() if self._heap else longest_s
        if self._plan.client == "lean":
            self._carrier.turn(min(longest_s, max(0.0, left)))
        else:
            time.sleep(min(longest_s, max(0.0, left)))

    def hold(self) -> list[Counted]:
        """Count no more, switch on what is off, and return what was counted."""
        self._holds, self._heap = True, []
        for device in self.devices:
            self._switch_on(device)
        return [counted for device in self.devices for counted in device.counted()]

    def close(self) -> None:
        """Switch all off."""
        for device in self.devices:
            device.stop(goodbye=True)
        self._carrier.close()

    def _device(self, number: int, models: dict[int, Model]) -> FleetDevice:
        plan = self._plan
        if plan.client == "real":
            return RealDevice(number, plan.way, plan.folder / f"pole-{number}")
        config, street = config_of(number, plan.way, plan.folder)
        model = models.get(number % KINDS) or models.setdefault(number % KINDS, Model.of(config))
        return LeanDevice(number, plan.way, model, street, self._carrier, random.Random(number).random())

    def _foresee(self, device: FleetDevice, fate: Fate) -> None:
        for at, offset in fate.clocks:
            self._at(at, lambda offset=offset: device.set_clock(offset))  # type: ignore[misc]
        self._at(fate.begins_s, lambda: self._switch_on(device))
        self._at(fate.begins_s, lambda: self._count(device))
        if fate.off_s is not None:
            off = max(fate.off_s, fate.begins_s + 1.0)
            self._at(off, lambda: self._switch_off(device, goodbye=fate.goodbye))
            self._at(off + fate.off_for_s, lambda: self._switch_on(device))

    def _at(self, since_begin_s: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (self._began + since_begin_s, next(self._order), action))

    def _count(self, device: FleetDevice) -> None:
        due = device.count() if device in self._on else 1.0
        self._at(time.monotonic() - self._began + due, lambda: self._count(device))

    def _switch_on(self, device: FleetDevice) -> None:
        if device not in self._on:
            device.start()
            self._on.add(device)

    def _switch_off(self, device: FleetDevice, *, goodbye: bool) -> None:
        device.stop(goodbye=goodbye)
        self._on.discard(device)


class Part:
    """A part of a fleet that runs in a process of its own."""

    def __init__(self, plan: Plan, numbers: Sequence[int]) -> None:
        context = multiprocessing.get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(target=_run, args=(plan, numbers, there), daemon=True)
        self._process.start()
        there.close()
        self.report = Report(0, 0, 0, 0.0, 0.0)

    def look(self) -> None:
        """Take the newest report. Raises EOFError: when the process has ended by a fault."""
        while self._here.poll():
            came = self._here.recv()
            if isinstance(came, Report):
                self.report = came

    def hold(self) -> list[Counted]:
        """Have its devices count no more, and return what they have counted."""
        self._here.send("hold")
        while not isinstance(came := self._here.recv(), list):
            self.report = came
        return came

    def end(self) -> None:
        """End the process."""
        if self._process.is_alive():
            self._here.send("end")
            self._process.join(60.0)
        self._process.kill()


def _run(plan: Plan, numbers: Sequence[int], parent: Connection) -> None:
    os.nice(1)  # devices are machines of their own: the city side goes first
    logging.disable(logging.WARNING)  # of thousands that all say that the broker is away
    fleet = _Fleet(plan, numbers)
    try:
        _serve(fleet, parent)
    except (EOFError, BrokenPipeError):
        pass  # the trial was killed: threads of devices must not outlive it
    finally:
        fleet.close()


def _serve(fleet: _Fleet, parent: Connection) -> None:
    """Let devices count, and report, until the parent wants the end."""
    reported = 0.0
    while True:
        fleet.turn(0.1)
        if parent.poll():
            if parent.recv() == "end":
                break
            parent.send(fleet.hold())
        if time.monotonic() - reported >= 1.0:
            reported = time.monotonic()
            used = resource.getrusage(resource.RUSAGE_SELF)
            devices = fleet.devices
            parent.send(
                Report(
                    sum(one.connected for one in devices),
                    sum(one.delivered for one in devices),
                    sum(one.unsent for one in devices),
                    fleet.behind_s,
                    used.ru_utime + used.ru_stime,
                )
            )
            fleet.behind_s = 0.0


@contextmanager
def begin(plan: Plan, devices: int) -> Iterator[list[Part]]:
    """Run a fleet of so many devices within the context."""
    most = MOST_A_PROCESS[plan.client]
    parts = [Part(plan, range(first, min(devices, first + most))) for first in range(0, devices, most)]
    try:
        yield parts
    finally:
        for part in parts:
            part.end()
