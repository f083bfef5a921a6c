"""A device that publishes and answers commands until it is killed: resend_device.py FOLDER PORT."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from edge_app.mqtt.events import Timing
from edge_app.mqtt.publisher import Publisher
from edge_app.storage.outbox import Outbox
from tests.support.publisher_cases import DEVICE, INSTALLATION, META, health, session_to


def main(folder: Path, port: int) -> None:
    session = session_to(port, timing=Timing(connect=2.0, keepalive=5, ack=5.0))
    publisher = Publisher(
        session,
        Outbox(folder),
        DEVICE,
        META,
        health,
        interval_s=60.0,
        installation=lambda: INSTALLATION,
        utc=lambda: 1.9e9,
    )
    publisher.run(threading.Event())


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
