"""How long is the road unseen while another detector takes over, and while a service counts anew instead?

`python -m tests.trials.switch [--times 5] [--fps 15]` runs a service in front of a rendered street, and has another
detector take over and go again, some times; then it counts anew as often, as a change of other keys does. It prints the
longest time from one counted frame to the next around each, ms: with nothing going on that is the time between frames.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from edge_app.app import service
from edge_app.config.model import Config
from edge_app.detectors.manifest import default_model
from edge_app.detectors.tflite import TfliteDetector
from edge_app.rollout.switching import Detectors
from edge_app.service import Service, Takeover
from edge_app.sources.street.street import Street
from edge_app.storage.ledger import Ledger
from edge_app.system.memory import free_mb
from edge_app.system.threads import Worker
from tests.support.two_hashes import twin

_SETTLE_S = 6.0


class Frames:
    """Times at which frames were counted, monotonic s."""

    def __init__(self) -> None:
        self.at: list[float] = []
        record = Ledger.record

        def noted(ledger: Ledger, *args: Any, **options: Any) -> None:
            self.at.append(time.monotonic())
            record(ledger, *args, **options)

        Ledger.record = noted  # type: ignore[method-assign,assignment]

    def longest(self, begin: float) -> float:
        """Return the longest time between two frames from a moment on, ms."""
        at = [one for one in self.at if one >= begin - 1.0]
        return 1000 * max(after - before for before, after in itertools.pairwise(at))


def run(config: Config, street: Callable[[], Street], during: Callable[[Service], None]) -> None:
    """Run a service while something is done."""
    with service(config, street()) as running:
        worker = Worker("service", lambda stop: running.run(stop), lambda _name, fault: print(fault))
        worker.start()
        while not running.frames:
            time.sleep(0.05)
        time.sleep(_SETTLE_S)
        during(running)
        worker.stop()
        worker.join(30.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--fps", type=float, default=15.0)
    arguments = parser.parse_args()
    frames, folder = Frames(), Path(tempfile.mkdtemp())
    new, own = twin(folder), default_model()
    tables = {"source": {"kind": "street"}, "mqtt": {"port": 1}, "store": {"folder": folder / "state"}}
    config = Config.model_validate(tables)
    detectors: dict[str, list[float]] = {"nothing": [], "there": [], "back": [], "anew": []}

    def street() -> Street:
        return Street(width=1280, height=720, fps=arguments.fps, pace="real")

    def switch(running: Service) -> None:
        loaded = Detectors(
            TfliteDetector(own, engines=2), lambda file: TfliteDetector(file, engines=config.detector.threads), free_mb
        )
        for n in range(arguments.times):
            begin = time.monotonic()
            time.sleep(_SETTLE_S)
            detectors["nothing"].append(frames.longest(begin))
            for name, file in (("there", new), ("back", own)):
                begin, taken = time.monotonic(), threading.Event()
                detector = loaded.ready(file)
                running.take_over(Takeover(detector, f"{name}{n}", name, taken.set))
                taken.wait()
                after = time.monotonic() - begin
                time.sleep(2.0)
                detectors[name].append(frames.longest(begin))
                print(
                    f"{name}: {after:.2f} s until it counted, {detectors[name][-1]:.0f} ms between frames", flush=True
                )
            loaded.took_over(loaded.ready(own))
            loaded.forget_others()

    run(config, street, switch)
    begin = 0.0
    for n in range(arguments.times + 1):
        run(config, street, lambda _running: None)
        if n:
            detectors["anew"].append(frames.longest(begin))
            print(f"anew: {detectors['anew'][-1]:.0f} ms between frames", flush=True)
        begin = frames.at[-1]
    for name, times in detectors.items():
        print(f"{name}: median {median(times):.0f} ms, longest {max(times):.0f} ms")


if __name__ == "__main__":
    main()
