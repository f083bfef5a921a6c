"""Send 100,000 malformed packets, replies and commands: python -m tests.trials.hostile [--packets N] [--seed N].

A broker of plain sockets acknowledges what it gets and sends nonsense between: packets that are mutated, cut, too long
or of the wrong kind, answers that nobody waits for, commands that are none or want too much. First a publisher with its
real outbox is driven as fast as it reads, without waits between its connections; then `edge-app run` for a while. It
must not exit, not stall, not grow, and every interval must arrive in one content.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import signal
import struct
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import psutil

from edge_app.console.terminal import stdout
from edge_app.mqtt import client
from edge_app.mqtt.connection import MAX_PACKET
from edge_app.mqtt.delivery import Pace
from edge_app.mqtt.embedded_broker import HOST
from edge_app.mqtt.endpoint import Backoff, Endpoint
from edge_app.mqtt.events import Timing
from edge_app.mqtt.presence import will
from edge_app.mqtt.publisher import Publisher
from edge_app.mqtt.session import Session
from tests.support.hostile_broker import HostileBroker, hostile_broker, packet, publish, text
from tests.support.program import Program
from tests.support.publisher_cases import DEVICE, INSTALLATION, META, START, State, health, opened

AT_ONCE = 20
"""Packets on their way to the client: more would die with their connection unread."""
EVERY = 400
"""Packets between two intervals."""
IDS = ("city-1", "", "x" * 65, "ümlaut", "a b", 7, None, "city-" + "9" * 40)
TIMES = ("2026-11-29T09:13:00Z", "now", "", 0, None, "2026-13-45T99:99:99Z", "2026-11-29T09:13:00+99:99")
NUMBERS = (1, 0, -1, 3, 10**400, 1.5, "1", None, True, [1], 2**53)


class Nonsense:
    """Endless malformed packets. prefix: of the device. Attribute: `kinds` counts what was made."""

    def __init__(self, seed: int, prefix: str) -> None:
        self._random, self._prefix = random.Random(seed), prefix
        self.kinds: Counter[str] = Counter()

    def next(self, level: int) -> bytes:
        kind = self._random.choices(("command", "reply", "packet"), (60, 25, 15))[0]
        self.kinds[kind] += 1
        made: bytes = getattr(self, f"_{kind}")(level)
        return made

    def _bytes(self, most: int = 40) -> bytes:
        return self._random.randbytes(self._random.randrange(most))

    def _command(self, level: int) -> bytes:
        r = self._random
        args: Any = {
            "line": r.choice(("a", "b", "", "../x", 3, None, "x" * 70)),
            "installation": r.choice((INSTALLATION, "zz", "", 5, None)),
            "from_seq": r.choice(NUMBERS),
            "to_seq": r.choice(NUMBERS),
        }
        document: Any = {
            "schema": r.choice(("edge-app/command/1", "edge-app/command/1", "edge-app/command/2", 1)),
            "id": r.choice((*IDS, f"city-{r.randrange(50)}")),
            "at": r.choice(TIMES),
            "expires": r.choice(TIMES),
            "args": r.choice((args, args, [], None, "x")),
        }
        raw = json.dumps(r.choice((document, document, document, [document], None, 3)), ensure_ascii=False).encode()
        broken = (raw[: r.randrange(len(raw))], b"\xef\xbb\xbf" + raw, self._bytes(), b"[" * 9000, b"NaN", b"9" * 6000)
        payload = r.choice((raw, raw, raw, *broken))
        name = r.choice(("ping", "resend", "resend", "reboot", "a/b", "", "\0", "a+b", "#", "ping ", "x" * 500))
        topic = f"{self._prefix}/commands/{name}".encode()
        topic = r.choice(
            (topic, topic, topic, b"\xff" + topic, self._prefix.encode() + b"/replies/ping", self._bytes())
        )
        if level != 5:
            topic = topic or b"x"
        return publish(topic, payload, qos=r.choice((0, 1)), level=level, retained=r.random() < 0.2)

    def _reply(self, level: int) -> bytes:
        """Answers that nobody waits for, in their right form."""
        number = struct.pack("!H", self._random.randrange(40_000, 65_536))
        tail = b"\0" if level == 5 else b""
        return self._random.choice(
            (
                packet(0x40, number),
                packet(0x50, number),
                packet(0x62, number),
                packet(0x70, number),
                packet(0x90, number + tail + b"\x80"),
                packet(0xB0, number + (tail + b"\x11" if tail else b"")),
                packet(0xD0),
                packet(0xC0),
            )
        )

    def _packet(self, level: int) -> bytes:
        r = self._random
        whole = bytearray(r.choice((self._reply, self._command))(level))
        match r.randrange(6):
            case 0:
                return bytes([r.randrange(256)]) + self._bytes(300)
            case 1:  # some bytes are others
                for _ in range(r.randrange(1, 5)):
                    whole[r.randrange(len(whole))] = r.randrange(256)
                return bytes(whole)
            case 2:
                return packet(r.randrange(256), self._bytes(200))
            case 3:
                return bytes([r.randrange(256)]) + b"\xff\xff\xff" + bytes([r.randrange(256)]) + self._bytes(2000)
            case 4:
                return packet(0x30 | r.randrange(16), text(self._bytes()) + self._bytes(100))
            case _:
                return packet(r.choice((0x20, 0x40, 0x90, 0xB0, 0xE0)), self._bytes(20))


class Feeder:
    """Sends nonsense as fast as it is read, while `wanted` are not handled."""

    def __init__(self, nonsense: Nonsense, wanted: int) -> None:
        self._nonsense, self.wanted = nonsense, wanted
        self.handled = self._sent = 0

    def __call__(self, level: int) -> bytes:
        if self.handled >= self.wanted or self._sent - self.handled >= AT_ONCE:
            return b""
        self._sent += AT_ONCE
        return b"".join(self._nonsense.next(level) for _ in range(AT_ONCE))

    def anew(self) -> None:
        """Begin a connection: what the last one has not read is gone."""
        self._sent = self.handled


def drive(state: State, broker: HostileBroker, feeder: Feeder) -> tuple[Publisher, float]:
    """Drive a publisher until all nonsense is handled and all is delivered; return it with its longest step, s."""
    backoff = Backoff(uniform=lambda _low, _high: 0.0)
    timing = Timing(connect=5.0, keepalive=30, ack=20.0, max_packet=MAX_PACKET)
    session = Session(
        Endpoint(HOST, broker.port),
        DEVICE.client_id,
        will=lambda: will(DEVICE, START),
        timing=timing,
        backoff=backoff,
    )
    publisher = Publisher(
        session,
        state.outbox,
        DEVICE,
        META,
        health,
        interval_s=60.0,
        installation=lambda: INSTALLATION,
        utc=lambda: START + 1e8,
        pace=Pace(rate=1e6),
    )
    longest, closed = 0.0, 0
    deadline = time.monotonic() + 3600
    while feeder.handled < feeder.wanted or publisher.delivered < state.closed:
        assert time.monotonic() < deadline, "it stalls"
        if feeder.handled // EVERY > closed:
            closed += 1
            state.close_intervals(1, "ab"[closed % 2])
        before = publisher.connections, session.failures
        begun = time.monotonic()
        publisher.step(0.01)
        longest = max(longest, time.monotonic() - begun)
        if (publisher.connections, session.failures) != before:
            feeder.anew()
    session.close()
    return publisher, longest


def first(packets: int, seed: int) -> None:
    """Drive a publisher in this process."""
    nonsense = Nonsense(seed, DEVICE.prefix)
    feeder = Feeder(nonsense, packets)
    handle = client._Guarded._packet_handle

    def counted(self: Any) -> Any:
        feeder.handled += 1
        return handle(self)

    client._Guarded._packet_handle = counted  # type: ignore[method-assign]
    process, begun = psutil.Process(), time.monotonic()
    with hostile_broker() as broker, tempfile.TemporaryDirectory() as folder, opened(Path(folder)) as state:
        broker.chatter = feeder
        before = process.memory_info().rss
        publisher, longest = drive(state, broker, feeder)
        contents: dict[tuple[str, int], set[str]] = defaultdict(set)
        for one in broker.received:
            if "/counts/" in one.topic:
                document = json.loads(one.payload)
                contents[one.topic, document["seq"]].add(document["id"])
        assert len(contents) == state.closed
        assert {len(ids) for ids in contents.values()} == {1}
        assert publisher.unsent == 0
        grown = (process.memory_info().rss - before) / 1e6
        made = ", ".join(f"{kind} {n:,}" for kind, n in sorted(nonsense.kinds.items()))
        stdout().print(
            f"{feeder.handled:,} packets handled of {sum(nonsense.kinds.values()):,} sent ({made}) in "
            f"{time.monotonic() - begun:.0f} s: {broker.connections:,} connections, {len(contents)} of {state.closed} "
            f"intervals delivered, each in one content; longest step {longest:.2f} s; {grown:.1f} MB more, with "
            f"{len(broker.received):,} messages kept by the broker here"
        )


def second(seconds: float, seed: int) -> None:
    """Run the whole service against the same nonsense."""
    nonsense = Nonsense(seed, "traffic/v1/trial/one")
    with hostile_broker() as broker, tempfile.TemporaryDirectory() as folder:
        due = [0.0]

        def chatter(level: int) -> bytes:
            if time.monotonic() < due[0]:
                return b""
            due[0] = time.monotonic() + 0.1
            return nonsense.next(level)

        broker.chatter = chatter
        program = Program(Path(folder) / "trial")
        config = f"""
[device]
site = "trial"
device = "one"
[source]
kind = "street"
width = 320
height = 180
[counting]
interval_s = 10
[mqtt]
port = {broker.port}
"""
        program.start(config)
        try:
            time.sleep(seconds / 3)
            memory = program.process.memory_info().rss
            time.sleep(2 * seconds / 3)
            grown = (program.process.memory_info().rss - memory) / 1e6
            broker.chatter = lambda _level: b""
            program.signal(signal.SIGTERM)
            while not program.has_ended():
                time.sleep(0.05)
            code = program.runs[-1].code
        finally:
            program.close()
        intervals = {json.loads(one.payload)["seq"] for one in broker.received if "/counts/" in one.topic}
        stdout().print(
            f"edge-app run, {seconds:.0f} s: {sum(nonsense.kinds.values()):,} packets over {broker.connections} "
            f"connections; intervals {sorted(intervals)} delivered; {grown:.1f} MB more after the first third; exit "
            f"{code}"
        )
        assert code == 0
        assert intervals


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packets", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="of the whole service")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.CRITICAL)  # a line for each of thousands of connections
    first(options.packets, options.seed)
    second(options.seconds, options.seed)


if __name__ == "__main__":
    main()
