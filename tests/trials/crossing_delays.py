"""Measure how long after a vehicle has passed the line a subscriber knows of it.

    python -m tests.trials.crossing_delays [--crossings 100] [--width 1280] [--height 720]

The service counts a busy rendered street, 15 frames/s in real time, and publishes `crossings` through mosquitto on this
machine. Prints the time to its arrival from `at` of each message, when the centre of the vehicle passed the line, and
from when the crossing was confirmed (logged as counted), and the frames/s that were processed: what is rendered and
detected on one machine slows itself down. The result is 1 where one arrives a second or more after it was confirmed.
--speeds: with a geometry, so that speeds are told, which takes half a second from the line on.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from edge_app.app import service
from edge_app.config.model import Config
from edge_app.console.terminal import bar, stdout
from edge_app.sources.street.street import Street
from edge_app.sources.street.view import View
from edge_app.system.threads import Worker
from tests.support.brokers import mosquitto, subscribed

_FPS: Final = 15.0
_FLOW: Final = (30.0, 30.0)
_TOPIC: Final = "/crossings/"
_LONGEST_S: Final = 600.0


class Confirmed(logging.Handler):
    """When each crossing was logged as counted, UTC s, by its own time."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.at: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "counted":
            self.at[record.__dict__["at"]] = record.created


def configuration(folder: Path, port: int, size: tuple[int, int], *, speeds: bool) -> Config:
    tables: dict[str, object] = {
        "mqtt": {"port": port, "crossings": True},
        "counting": {"interval_s": 10},
        "store": {"folder": folder / "state"},
    }
    if speeds:
        view = View(*size)
        marks = [view.project(x, ahead) for x, ahead in ((-3, 16.5), (3, 16.5), (3, 23), (-3, 23))]
        corners = [(x / size[0], y / size[1]) for x, y in marks]
        tables["geometry"] = {"rectangle": corners, "sides_m": (6.0, 6.5)}
    return Config.model_validate(tables)


def delays(
    folder: Path, size: tuple[int, int], wanted: int, *, speeds: bool
) -> tuple[list[tuple[float, float]], float]:
    """Return so many delays, s, from the line and from the confirmation, and the frames/s meanwhile.

    After ten minutes they are fewer.
    """
    street = Street(width=size[0], height=size[1], fps=_FPS, flow=_FLOW, seed=5, pace="real")
    found, rates, failed, confirmed = list[tuple[float, float]](), list[float](), threading.Event(), Confirmed()
    log = logging.getLogger("edge_app.service")
    log.addHandler(confirmed)
    log.setLevel(logging.INFO)
    with mosquitto(folder / "broker") as broker, subscribed(broker.port) as reader:
        config = configuration(folder, broker.port, size, speeds=speeds)
        with service(config, street) as running, bar("crossings", wanted) as progress:
            worker = Worker("service", running.run, lambda _name, _fault: failed.set())
            worker.start()
            deadline = time.monotonic() + _LONGEST_S
            while len(found) < wanted and time.monotonic() < deadline and not failed.is_set():
                message, now = reader.read(0.5), time.time()
                if message is None:
                    continue
                if _TOPIC in message.topic:
                    at = json.loads(message.payload)["at"]
                    found.append((now - _seconds(at), now - confirmed.at[at]))
                    progress.forward()
                elif message.topic.endswith("/health"):
                    rates.append(json.loads(message.payload)["frames_per_s"])
            worker.stop()
            worker.join(60.0)
    return found, statistics.mean(rates[1:] or rates or [0.0])


def _seconds(at: str) -> float:
    return datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the delays; return 1 where one is a second or more, or none was measured."""
    parser = argparse.ArgumentParser(prog="tests.trials.crossing_delays", description=__doc__.splitlines()[0])
    for name, usual in (("crossings", 100), ("width", 1280), ("height", 720)):
        parser.add_argument(f"--{name}", type=int, default=usual)
    parser.add_argument("--speeds", action="store_true")
    given = parser.parse_args(arguments)
    size = given.width, given.height
    with tempfile.TemporaryDirectory() as folder:
        found, rate = delays(Path(folder), size, given.crossings, speeds=given.speeds)
    if not found:
        return 1
    stdout().print(f"{len(found)} crossings at {rate:.1f} frames/s")
    for since, each in zip(("the line", "confirmation"), zip(*found, strict=True), strict=True):
        stdout().print(
            f"from {since}: median {statistics.median(each):.2f} s, largest {max(each):.2f} s, "
            f"{sum(one < 1 for one in each)} within a second"
        )
    return int(max(one for _, one in found) >= 1)


if __name__ == "__main__":
    sys.exit(main())
