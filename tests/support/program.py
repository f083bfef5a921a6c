"""Run the installed command line as a child process, again and again, and read its logs."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from tests.support.invariants import LoggedCrossing, Run, utc
from tests.support.paths import ROOT


class Program:
    """`edge-app run` in a folder of its own, with a log file for each run.

    clock: file with the seconds by which its clock is off; see stepped_program.py. trial_s: length of a trial of the
    office's configurations, s; 0 for the program's own. synced: its clock counts as set.
    """

    def __init__(self, folder: Path, clock: Path | None = None, *, trial_s: float = 0.0, synced: bool = False) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._command: tuple[str, ...] = ("tests.support.stepped_program", str(clock)) if clock else ("edge_app.cli",)
        if trial_s or synced:
            self._command = ("tests.support.office_program", str(trial_s), str(int(synced)))
        self._ended: list[tuple[float, int | None]] = []
        self._process: psutil.Popen | None = None
        self._signalled = 0.0

    def start(self, config: str) -> None:
        """Start a run. config: TOML; a relative state folder is in the program's folder."""
        path = self._folder / "edge-app.toml"
        path.write_text(config)
        with self._log.open("wb") as log:
            command = (sys.executable, "-m", *self._command, "run", "--config", str(path))
            self._process = psutil.Popen(command, cwd=ROOT, stderr=log)

    @property
    def text(self) -> str:
        """Log of the current run so far."""
        return self._log.read_text()

    @property
    def process(self) -> psutil.Process:
        """Running process. Raises AssertionError: with its log, when it has ended by itself."""
        assert self._process is not None
        assert self._process.poll() is None, self._log.read_text()
        return self._process

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self._signalled = time.time()  # it processes no frame after this, but may deliver for some seconds

    def has_ended(self) -> bool:
        """Return True when the process has ended; call it after a signal until it does."""
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
    def runs(self) -> list[Run]:
        """Runs that have ended, in order."""
        return [_read_run(self._log_of(number), *ended) for number, ended in enumerate(self._ended)]

    @property
    def counted(self) -> Sequence[LoggedCrossing]:
        """Crossings that the current run has logged so far."""
        return _read_run(self._log, 0.0, None).counted

    @property
    def _log(self) -> Path:
        return self._log_of(len(self._ended))

    def _log_of(self, number: int) -> Path:
        return self._folder / f"run-{number}.log"


def _read_run(log: Path, ended: float, code: int | None) -> Run:
    records = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
    frames = [record for record in records if record["message"] == "first frame"]
    counted = [
        LoggedCrossing((record["line"], record["class"], record["direction"]), utc(record["at"]))
        for record in records
        if record["message"] == "counted"
    ]
    return Run(
        first_frame=utc(frames[0]["time"]) if frames else None,
        ended=ended,
        code=code,
        after_s=frames[0]["after_s"] if frames else None,
        counted=counted,
        faults=[record["message"] for record in records if record["level"] in ("ERROR", "CRITICAL")],
    )
