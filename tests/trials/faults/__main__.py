"""Let calls of a running service fail at random: python -m tests.trials.faults [--rounds N] [--seed N] [--folder DIR].

The service counts on the rendered street, in intervals of 10 s, and publishes to a mosquitto of its own. It starts with
a full disk. Then, in each round, some kinds of calls fail for some seconds, all of them or a share: open, write, fsync,
stat, mmap (of the state folder), sockets of the Internet, the start of threads, /proc and /sys, memory. The calls are
refused by a library that is compiled here with gcc and loaded with LD_PRELOAD. Between the rounds all is well.

Exit 1 when the process ended, an interval was not observed, or vehicles that the log called counted are neither
delivered nor still open.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import Outbox
from tests.support.brokers import mosquitto, subscribed
from tests.trials.faults.control import KINDS, Control

_CONFIG: Final = """
[device]
site = "trial"
device = "faults"
[source]
kind = "street"
flow = [30.0, 30.0]
[counting]
interval_s = 10
[mqtt]
port = {port}
[store]
folder = "{state}"
"""
_DISK: Final = ("open", "write", "fsync", "stat", "mmap")
_ERRORS: Final = {
    **dict.fromkeys(_DISK, (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE)),
    "socket": (errno.ENETUNREACH, errno.ECONNRESET, errno.EMFILE, errno.ENOBUFS),
    "thread": (errno.EAGAIN,),
    "proc": (errno.EACCES, errno.EIO),
    "memory": (errno.ENOMEM,),
}
_MOST_MEMORY: Final = 0.1
"""Largest share of calls that lack memory: each drops a frame, and all of them would be a stall indeed."""
_COVERED: Final = 0.8
"""Least coverage of an interval in which the service did not stall; the machine may be busy with other things."""


@dataclass
class Found:
    """What came to light. delivered: id of each interval -> its message."""

    logged: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    delivered: dict[str, dict[str, Any]] = field(default_factory=dict)
    conflicts: int = 0
    tracebacks: list[str] = field(default_factory=list)


def choose(chance: random.Random) -> tuple[tuple[str, ...], float, int]:
    """Return the kinds of calls that fail in a round, the share of them, and the errno."""
    dead = chance.random() < 0.5
    pool = _DISK if dead else (*KINDS, "memory")
    kinds = tuple(chance.sample(pool, chance.randint(1, 3)))
    share = 1.0 if dead else chance.choice((1.0, 0.5, 0.1, 0.02))
    share = min(share, _MOST_MEMORY) if "memory" in kinds else share
    return kinds, share, chance.choice(_ERRORS[kinds[0]])


def watch(process: subprocess.Popen[str], found: Found, log: Path) -> None:
    """Read the log of the service to its end."""
    assert process.stderr is not None
    with log.open("w") as copy:
        for line in process.stderr:
            copy.write(line)
            copy.flush()
            try:
                record = json.loads(line)
            except ValueError:
                found.tracebacks.append(line.strip())
                continue
            if record["message"].startswith("counted"):
                found.logged[record["line"], record["class"], record["direction"]] += 1
            if "exc_info" in record:
                found.tracebacks.append(record["message"])


def receive(port: int, found: Found, stop: threading.Event) -> None:
    """Collect every interval, each once, as a consumer does."""
    with subscribed(port, "traffic/v1/+/+/counts/+") as reader:
        while not stop.is_set():
            message = reader.read(0.2)
            if message is None:
                continue
            content = json.loads(message.payload)
            known = found.delivered.setdefault(content["id"], content)
            found.conflicts += known != content


def left_open(state: Path) -> Counter[tuple[str, str, str]]:
    """Return the vehicles in the state folder that nobody has received yet."""
    ledger = Ledger(state, [], Counting((), 10.0), "after", lambda _closed: "{}", names=("trial", "faults"))
    left: Counter[tuple[str, str, str]] = Counter()
    for interval in ledger.open:
        _add(left, interval.line, interval.counts)
    outbox = Outbox(state)
    for row in outbox.pending(limit=100_000):
        _add(left, row.line, json.loads(row.payload)["counts"])
    outbox.close()
    ledger.close(time.time())
    return left


def _add(sums: Counter[tuple[str, str, str]], line: str, counts: Any) -> None:
    for label, directions in counts.items():
        for direction, n in directions.items():
            sums[line, label, direction] += n


def compile_shim(folder: Path) -> Path:
    """Return the compiled library. Raises RuntimeError: without gcc."""
    library = folder / "shim.so"
    source = Path(__file__).with_name("shim.c")
    try:
        subprocess.run(("gcc", "-shared", "-fPIC", "-O2", "-o", str(library), str(source), "-ldl"), check=True)
    except FileNotFoundError as error:
        raise RuntimeError("needs gcc: apt install gcc libc6-dev") from error
    return library


def trial(folder: Path, rounds: int, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Run the rounds; return figures, and a sentence for each broken promise."""
    chance, found, over = random.Random(seed), Found(), threading.Event()
    state, config = folder / "state", folder / "edge-app.toml"
    control = Control(folder / "control", state)
    broken: list[str] = []
    with mosquitto(folder) as broker:
        config.write_text(_CONFIG.format(port=broker.port, state=state))
        environment = {**os.environ, "LD_PRELOAD": str(compile_shim(folder)), "FAULTS_CONTROL": str(folder / "control")}
        command = (sys.executable, "-m", "tests.trials.faults.child", str(config), str(folder / "control"))
        reader = threading.Thread(target=receive, args=(broker.port, found, over))
        reader.start()
        control.set(_DISK, 1.0, errno.ENOSPC)  # full already at the start
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        log = threading.Thread(target=watch, args=(process, found, folder / "log"))
        log.start()
        try:
            time.sleep(30)
            control.clear()
            time.sleep(10)
            done = 0
            while done < rounds and process.poll() is None:
                kinds, share, error = choose(chance)
                control.set(kinds, share, error)
                time.sleep(chance.choice((1, 3, 8, 15, 25)))
                control.clear()
                time.sleep(chance.choice((1, 4, 8)))
                done += 1
                print(f"{done}: {share:.0%} of {', '.join(kinds)}: {errno.errorcode[error]}", file=sys.stderr)
            time.sleep(30 if process.poll() is None else 0)
            process.send_signal(signal.SIGTERM)
            code = process.wait(60)
        finally:
            control.clear()
            process.kill()
            process.wait()
            log.join()
            time.sleep(2)
            over.set()
            reader.join()
    delivered: Counter[tuple[str, str, str]] = Counter()
    for message in found.delivered.values():
        _add(delivered, message["line"], message["counts"])
    left, coverage = left_open(state), [message["coverage"] for message in found.delivered.values()]
    middle = sorted(found.delivered.values(), key=lambda message: str(message["start"]))[1:-1]
    lowest = min((message["coverage"] for message in middle), default=0.0)
    if done < rounds or code:
        broken.append(f"the service ended with {code} in round {done}")
    if delivered + left != found.logged:
        broken.append(f"logged {dict(found.logged)}, delivered {dict(delivered)}, left {dict(left)}")
    if found.conflicts:
        broken.append(f"{found.conflicts} ids with two contents")
    if found.tracebacks:
        broken.append(f"{len(found.tracebacks)} tracebacks: {found.tracebacks[:5]}")
    if lowest < _COVERED:
        when = [message["start"] for message in middle if message["coverage"] < _COVERED]
        broken.append(f"a coverage of {lowest:.2f} in the intervals from {when}")
    figures = {
        "rounds": done,
        "injected": control.injected,
        "counted": found.logged.total(),
        "delivered": delivered.total(),
        "open": left.total(),
        "intervals": len(found.delivered),
        "installations": len({message["installation"] for message in found.delivered.values()}),
        "lowest coverage": lowest,
        "mean coverage": round(sum(coverage) / max(1, len(coverage)), 3),
    }
    return figures, broken


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.trials.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=100, metavar="N", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=2026, metavar="N")
    parser.add_argument("--folder", type=Path, help="keep state, configuration and log here")
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="faults-") as name:
        folder = args.folder or Path(name)
        folder.mkdir(exist_ok=True)
        figures, broken = trial(folder, args.rounds, args.seed)
    print(json.dumps(figures, indent=1))
    for sentence in broken:
        print(f"BROKEN: {sentence}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
