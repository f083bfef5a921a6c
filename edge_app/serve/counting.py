"""Count the clips of jobs, each in a process of its own: `edge-app count`, whose result is handed out as it is.

A clip that crashes or hangs a decoder ends that process alone, its memory is free again afterwards, and a job that is
cancelled is simply stopped. The process ends with the service, also with one that is killed.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Final

from edge_app.http.problems import RefusalError
from edge_app.serve.fair_queue import FairQueue
from edge_app.serve.jobs import ANNOTATED, CLIP, RESULT, Job, Jobs
from edge_app.serve.leash import ClipLimits, leashed
from edge_app.system.threads import Worker, join_all

log = logging.getLogger(__name__)

_NICE: Final = 10
"""Pictures that somebody waits for come before clips."""
_STOP_S: Final = 10.0
"""Time that a process has to end by itself."""
_NOT_NOW: Final = "the service could not begin to count this clip: send it again later"
_TIDY_S: Final = 30.0
"""Time between two looks for jobs whose results go."""


class Counting:
    """Threads that count the clips of jobs in turns.

    jobs: where they are kept. models: .tflite files by name. at_once: clips counted at a time. each: most jobs of one
    client that are not over; room: of all. longest_s: time after which a count is given up. limits: of a clip.
    """

    def __init__(
        self,
        jobs: Jobs,
        models: Mapping[str, Path],
        *,
        at_once: int,
        each: int,
        room: int,
        longest_s: float,
        limits: ClipLimits,
    ) -> None:
        self._jobs, self._models, self._limits = jobs, models, limits
        self._each, self._room, self._longest_s = each, room, longest_s
        self._queue: FairQueue[str] = FairQueue(room)
        self._changed = threading.Condition()
        self._uploads: list[str] = []
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._stopping = False
        self.healthy = True
        """False when a thread has met a fault and ended, so that clips are no longer counted."""
        self._workers = [Worker(f"jobs {n + 1}", self._run, self._failed) for n in range(at_once)]
        for worker in self._workers:
            worker.start()

    def reserve(self, client: str) -> None:
        """Reserve a place for a clip that begins to arrive. Raises RefusalError: when there are too many already."""
        with self._changed:
            clients = [*(job.client for job in self._jobs.open), *self._uploads]
            if clients.count(client) >= self._each:
                raise RefusalError(
                    HTTPStatus.TOO_MANY_REQUESTS, f"{self._each} of your clips are waiting: send this one later", 60
                )
            if len(clients) >= self._room:
                raise RefusalError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "too many clips are waiting already: send this one later", 60
                )
            self._uploads.append(client)

    def release(self, client: str) -> None:
        """Give a place back: the clip is a job now, or will never be."""
        with self._changed:
            self._uploads.remove(client)

    def add(self, job: Job) -> None:
        """Have a job counted when its turn comes."""
        with self._changed:
            self._queue.put(job.client, job.id)
            self._changed.notify()

    def remove(self, job: Job) -> None:
        """Stop a job if it is not over, and remove it; what its process still writes goes when that has ended."""
        with self._changed:
            self._queue.remove(job.client, job.id)
            process = self._running.get(job.id)
            if process is not None:
                process.terminate()
            self._jobs.discard(job.id)

    @property
    def busy(self) -> bool:
        """True while a clip arrives, waits or is counted."""
        with self._changed:
            return bool(self._uploads or self._running or len(self._queue))

    def close(self) -> None:
        """Stop what is under way; it is lost, as its record says after the next start."""
        with self._changed:
            self._stopping = True
            for process in self._running.values():
                process.terminate()
            self._changed.notify_all()
        join_all(self._workers, 2 * _STOP_S)

    def _run(self, _stop: threading.Event) -> None:
        while not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or len(self._queue), _TIDY_S)
                begun = self._begin()
            self._jobs.expire()
            if begun:
                self._follow(*begun)

    def _begin(self) -> tuple[Job, subprocess.Popen[str]] | None:
        """Begin to count the clip whose turn it is; None when there is none, or it was removed meanwhile."""
        waiting = None if self._stopping else self._queue.take()
        job = self._jobs.begin(waiting) if waiting else None
        if job is None:
            return None
        try:
            process = subprocess.Popen(
                self._command(job, self._jobs.folder(job.id)),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:  # no memory, no more processes or files, or somebody has removed the clip
            log.error("a clip cannot be counted: %s", error.strerror)
            self._jobs.end(job.id, "failed", _NOT_NOW)
            return None
        self._running[job.id] = process
        return job, process

    def _follow(self, job: Job, process: subprocess.Popen[str]) -> None:
        """Read what a count tells until it ends."""
        folder, last = self._jobs.folder(job.id), deque[str](maxlen=20)
        with suppress(OSError):  # it has ended already
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        late = threading.Event()
        limit = threading.Timer(self._longest_s, partial(_give_up, process, late))
        limit.start()
        with process:  # closes its pipe and waits for its end
            assert process.stderr is not None
            for line in process.stderr:
                if not self._read_progress(job.id, line):
                    last.append(line.strip())
        limit.cancel()
        with self._changed:
            self._running.pop(job.id)
            if self._stopping:
                return
        self._end(job, folder, process.returncode, self._too_long() if late.is_set() else _why(last, folder))

    def _command(self, job: Job, folder: Path) -> list[str]:
        clip = folder / CLIP / job.wanted.name
        command = ["-m", "edge_app.cli", "count", str(clip), "--progress"]
        command += ["--out", str(folder / RESULT), "--model", str(self._models[job.wanted.model])]
        for line in job.wanted.lines:
            command += ["--line", line]
        command += ["--annotate", str(folder / ANNOTATED)] if job.wanted.annotate else []
        return leashed(self._limits, clip, command)

    def _read_progress(self, job: str, line: str) -> bool:
        try:
            told = json.loads(line)
            self._jobs.progress(job, int(told["done"]), int(told["of"]))
        except (ValueError, TypeError, KeyError):
            return False
        return True

    def _end(self, job: Job, folder: Path, code: int, why: str) -> None:
        if code == 0 and (folder / RESULT).is_file():
            self._jobs.end(job.id, "done")
        else:
            self._jobs.end(job.id, "failed", why)

    def _failed(self, name: str, fault: BaseException) -> None:
        self.healthy = False
        log.error("%s has ended: clips are no longer counted", name, exc_info=fault)

    def _too_long(self) -> str:
        return f"counting took longer than {self._longest_s / 60:.0f} minutes: send a shorter clip"


def _give_up(process: subprocess.Popen[str], late: threading.Event) -> None:
    """End a count that takes too long, after a moment by force."""
    late.set()
    process.terminate()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()


def _why(last: deque[str], folder: Path) -> str:
    """Return the last sentence of a count that failed, without the path of this machine."""
    told = [line.removeprefix("edge-app: ") for line in last if line.startswith("edge-app: ")]
    sentence = told[-1] if told else "the clip cannot be counted: it may be damaged; play it to see"
    return sentence.replace(f"{folder / CLIP}/", "")
