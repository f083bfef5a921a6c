"""Run the service in front of a rendered street and print when that began: street_device.py CONFIG SEED FLOW."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path

from edge_app.app import service
from edge_app.config.load import load
from edge_app.sources.street.street import Street

FPS = 15.0


def street(seed: int, flow: float, start_at: float | None = None) -> Street:
    """Return the street of this seed; given when it began, its truth has the right times."""
    return Street(fps=FPS, seed=seed, flow=(flow, flow), pace="real", start_at=start_at)


def main(config: Path, seed: int, flow: float) -> None:
    stop, source = threading.Event(), street(seed, flow)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with service(load(config), source) as running:
        running.run(stop)
    print(source.start_at)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
