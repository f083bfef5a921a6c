"""The installed command line as a child process that is started again and again, and what it logged each time."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.support.invariants import Counted, Life, utc
from tests.support.paths import ROOT


class Program:
    """`edge-app run` in a folder of its own; each run has its log in a file of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._ended: list[tuple[float, int | None]] = []
        self._process: psutil.Popen | None = None
        self._signalled = 0.0

    def start(self, config: str) -> None:
        """config: TOML; its state folder, if relative, is in the program's folder."""
        path = self._folder / "edge-app.toml"
        path.write_text(config)
        with self._log.open("wb") as log:
            command = (sys.executable, "-m", "edge_app.cli", "run", "--config", str(path))
            self._process = psutil.Popen(command, cwd=ROOT, stderr=log)

    @property
    def process(self) -> psutil.Process:
        """The running one. AssertionError, with what it said, when it has ended by itself."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        return self._process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self._signalled = time.time()  # it looks at no frame from here on, but may deliver for some seconds

    def has_ended(self) -> bool:
        """To be asked after a signal until it is true."""
        assert self._process is not None
        code = self._process.poll()
        if code is None:
            return False
        self._process = None
        self._ended.append((self._signalled, None if code == -signal.SIGKILL else code))
        return True

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    @property
    def lives(self) -> list[Life]:
        """All that have ended, the first one first."""
        return [_life(self._log_of(run), *ended) for run, ended in enumerate(self._ended)]

    @property
    def counted(self) -> Sequence[Counted]:
        """What the running one says it has counted so far."""
        return _life(self._log, 0.0, None).counted

    @property
    def _log(self) -> Path:
        return self._log_of(len(self._ended))

    def _log_of(self, run: int) -> Path:
        return self._folder / f"run-{run}.log"


def _life(log: Path, ended: float, code: int | None) -> Life:
    records = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    frames = [record for record in records if record["message"] == "first frame"]
    counted = [
        Counted((record["line"], record["class"], record["direction"]), record["at"])
        for record in records
        if record["message"] == "counted"
    ]
    return Life(
        first_frame=utc(frames[0]["time"]) if frames else None,
        ended=ended,
        code=code,
        after_s=frames[0]["after_s"] if frames else None,
        counted=counted,
        faults=[record["message"] for record in records if record["level"] in ("ERROR", "CRITICAL")],
    )
