"""Measure what saving on every change costs a broker and prevents losing: python -m tests.trials.broker_saves.

mosquitto runs as deploy/broker configures it, but without TLS, so that only the saving is compared. In each row so
many devices with two lines have left their retained messages, a consumer with a kept session is away, four clients
publish intervals as fast as they are acknowledged, and the broker is killed with SIGKILL after the last
acknowledgement. `--queued N` measures instead what N messages take that wait for such a consumer: memory, file, a save.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from edge_app.console.terminal import stdout, table
from edge_app.mqtt.events import Acked, Connected, Message, Timing
from tests.support.brokers import Mosquitto, mosquitto, run_until, session, subscribed
from tests.support.paths import ROOT

SAVINGS = {
    "each change": ("autosave_on_changes true", "autosave_interval 1"),
    "every second": ("autosave_interval 1",),
    "every 60 s": ("autosave_interval 60",),
}
PAYLOAD = b"x" * 1000
"""Size of an interval with five classes."""
CLIENTS = 4
PATIENT = Timing(connect=10.0, keepalive=60, ack=120.0)
KEPT_S = 3600


@dataclass(frozen=True, slots=True)
class Cost:
    """Result of one row.

    rate: acknowledged messages a second. written_kb: kB written to the disk for each message. lost: messages of `sent`
        that the consumer never received.
    """

    rate: float
    written_kb: float
    sent: int
    lost: int


def settings(saving: str, folder: Path) -> list[str]:
    """Return the shipped file's general settings with those of another way of saving."""
    shipped = (ROOT / "deploy/broker/mosquitto.conf").read_text("utf-8")
    kept = re.findall(r"(?m)^(?:persistence|max_queued_messages|max_packet_size) .*$", shipped)
    return ["allow_anonymous true", f"persistence_location {folder}/", *kept, *SAVINGS[saving]]


def publish(port: int, name: str, topics: list[str], *, retained: bool = False) -> None:
    """Publish over one connection as fast as the broker acknowledges."""
    with closing(session(port, name, timing=PATIENT)) as publisher:
        run_until(publisher, Connected)
        for topic in topics:
            publisher.publish(Message(topic, PAYLOAD, qos=1, retained=retained))
        run_until(publisher, Acked, len(topics), timeout=600.0)


def retained_topics(devices: int) -> list[str]:
    parts = ("status", "meta", "latest/a", "latest/b")
    return [f"traffic/v1/site/pole-{number}/{part}" for number in range(devices) for part in parts]


def written(broker: Mosquitto) -> int:
    """Return the bytes that the broker has caused to be written to the disk."""
    fields = dict(line.split(": ") for line in Path(f"/proc/{broker.pid}/io").read_text().splitlines())
    return int(fields["write_bytes"])


def cost(saving: str, devices: int, count: int, folder: Path) -> Cost:
    with mosquitto(folder / "fill", *settings("every 60 s", folder)) as broker:
        publish(broker.port, "fill", retained_topics(devices), retained=True)
        broker.stop()  # saves
    topics = [f"traffic/v1/site/pole-{number}/counts/a" for number in range(count // CLIENTS)]
    with mosquitto(folder / "run", *settings(saving, folder)) as broker:
        with subscribed(broker.port, "traffic/v1/+/+/counts/#", name="ingest", keep=KEPT_S):
            pass
        before, began = written(broker), time.monotonic()
        threads = [threading.Thread(target=publish, args=(broker.port, f"p{n}", topics)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took, bytes_written = time.monotonic() - began, written(broker) - before
        broker.kill()
        broker.start()
        found = sum(1 for _ in received(broker.port))
    sent = len(topics) * CLIENTS
    return Cost(sent / took, bytes_written / sent / 1e3, sent, sent - found)


def of_a_queue(count: int, folder: Path) -> str:
    """Return in a sentence what messages take that wait for a consumer which is away. count: of them."""
    limits = ("max_queued_messages 0", "max_inflight_messages 1000", "persistence true", "autosave_interval 86400")
    with mosquitto(folder / "run", "allow_anonymous true", f"persistence_location {folder}/", *limits) as broker:
        with subscribed(broker.port, "traffic/v1/+/+/counts/#", name="ingest", keep=KEPT_S):
            pass
        empty = memory(broker)
        topics = [f"traffic/v1/site/pole-{number}/counts/a" for number in range(count)]
        publish(broker.port, "filler", topics)
        each, before, began = (memory(broker) - empty) / count, processor_s(broker), time.monotonic()
        os.kill(broker.pid, signal.SIGUSR1)
        saved, size = folder / "mosquitto.db", -1
        while not saved.exists() or saved.stat().st_size != size:
            size = saved.stat().st_size if saved.exists() else -1
            time.sleep(0.2)
        took = time.monotonic() - began - 0.2
        return (
            f"{count:,} queued: {each:,.0f} bytes of memory and {size / count:,.0f} of the file each; saving them took "
            f"{processor_s(broker) - before:.2f} s of processor time, {took:.1f} s in all"
        )


def memory(broker: Mosquitto) -> int:
    """Return the bytes of memory that the broker has."""
    pages = Path(f"/proc/{broker.pid}/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def processor_s(broker: Mosquitto) -> float:
    """Return the processor time that the broker has taken, s."""
    fields = Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def received(port: int) -> Iterator[Message]:
    """Yield the messages that the broker has queued for the consumer, until none comes for a second."""
    with subscribed(port, "traffic/v1/+/+/counts/#", name="ingest", keep=KEPT_S) as reader:
        quiet_since = time.monotonic()
        while time.monotonic() - quiet_since < 1.0:
            message = reader.read(0.1)
            if message is not None:
                quiet_since = time.monotonic()
                yield message


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure what saving on every change costs a broker.")
    parser.add_argument("--devices", type=int, nargs="+", default=[0, 100, 300, 1000, 10_000])
    parser.add_argument("--seconds", type=float, default=10.0, help="about so long for each row")
    parser.add_argument("--queued", type=int, help="measure what so many waiting messages take, and nothing else")
    arguments = parser.parse_args()
    if arguments.queued:
        with tempfile.TemporaryDirectory() as name:
            print(of_a_queue(arguments.queued, Path(name)))
        return 0
    rows = table("devices", "saved", "messages/s", "kB written a message", "lost after kill -9")
    for devices in arguments.devices:
        for saving in SAVINGS:
            with tempfile.TemporaryDirectory() as folder:
                trial = cost(saving, devices, 200, Path(folder))
            with tempfile.TemporaryDirectory() as folder:
                found = cost(saving, devices, int(min(20_000, trial.rate * arguments.seconds)), Path(folder))
            rows.add_row(
                f"{devices:,}",
                saving,
                f"{found.rate:,.0f}",
                f"{found.written_kb:,.1f}",
                f"{found.lost:,} of {found.sent:,}",
            )
    stdout().print(rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
