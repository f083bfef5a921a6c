"""Jobs of counting and their folder: each has a record, its clip while it is counted, and its results for a time.

A folder `jobs/ID` holds `job.json`, the clip, `result.json` and perhaps `annotated.mp4`. A job that was not over when
the service ended is lost: its clip goes at the next start, and its record says that it must be sent again.
"""

from __future__ import annotations

import logging
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from edge_app.errors import ServeError
from edge_app.http.problems import RefusalError
from edge_app.serve.answers import Answer
from edge_app.system.files import write_atomic

log = logging.getLogger(__name__)

State = Literal["waiting", "counting", "done", "failed", "lost"]
RESULT: Final = "result.json"
ANNOTATED: Final = "annotated.mp4"
CLIP: Final = "clip"
"""Folder with the clip alone."""
_RECORD: Final = "job.json"
_OVER: Final = ("done", "failed", "lost")
_ID: Final = re.compile(r"(?:([a-z0-9]{1,20})-)?[0-9a-f]{24}")
"""Name of the instance, where there are several, and a random number."""
_KEPT: Final = 100
"""Jobs of one client that are over and kept; for more the oldest go before their time."""
_LOST: Final = "the service was restarted before this clip was counted: send it again"


class Wanted(Answer):
    """What is asked of a clip. name: as its sender calls it. lines: as those of `edge-app count --line`."""

    name: str
    lines: tuple[str, ...] = ()
    model: str = ""
    annotate: bool = False


class Job(Answer):
    """One clip to count, as it is kept and answered. Times are UTC s.

    client: whoever sent it. done, of: frames counted and expected, each twice where it is drawn too; of is 0 while
    unknown. seconds_left: estimate. problem: why there is no result. expires_at: when its results go.
    """

    id: str
    client: str
    wanted: Wanted
    state: State = "waiting"
    created_at: float
    began_at: float | None = None
    done: int = 0
    of: int = 0
    seconds_left: float | None = None
    problem: str | None = None
    expires_at: float | None = None

    @property
    def over(self) -> bool:
        """True when nothing will change any more."""
        return self.state in _OVER


class Jobs:
    """All jobs of a service, in memory and on disk; every thread may call every method.

    folder: of the jobs alone, made if absent. keep_s: how long results are kept. clock: UTC s. instance: 1 to 20 of
    a-z and 0-9, the beginning of every id, by which a load balancer finds this service among others; "" for a single
    one. Raises ServeError: when the folder cannot be used.
    """

    def __init__(
        self, folder: Path, keep_s: float, clock: Callable[[], float] = time.time, *, instance: str = ""
    ) -> None:
        self._folder, self._keep_s, self._clock, self._instance = folder, keep_s, clock, instance
        self._jobs: dict[str, Job] = {}
        self._lock = threading.RLock()
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for path in sorted(folder.iterdir()):
                self._restore(path)
        except OSError as error:
            raise ServeError(
                f"the folder of jobs {folder} cannot be used ({error.strerror}): choose another with --folder"
            ) from error
        self.expire()

    def new_id(self) -> str:
        """Return the id of a job to come, with a folder for its clip. Raises OSError."""
        made = f"{self._instance}-{secrets.token_hex(12)}".removeprefix("-")
        (self._folder / made / CLIP).mkdir(mode=0o700, parents=True)
        return made

    def folder(self, job: str) -> Path:
        """Return the folder of a job."""
        return self._folder / job

    def add(self, job: str, client: str, wanted: Wanted) -> Job:
        """Record a job whose clip has arrived. Raises OSError."""
        made = Job(id=job, client=client, wanted=wanted, created_at=self._clock())
        self._write(made)
        with self._lock:
            self._jobs[job] = made
        return made

    def discard(self, job: str) -> None:
        """Remove a job with all its files."""
        with self._lock:
            self._jobs.pop(job, None)
        with suppress(OSError):  # first: a service that is killed in between must not find a job without its result
            (self._folder / job / _RECORD).unlink(missing_ok=True)
        shutil.rmtree(self._folder / job, ignore_errors=True)

    def get(self, job: str, client: str) -> Job:
        """Return a job of this client. Raises RefusalError: when there is none."""
        with self._lock:
            found = self._jobs.get(job)
        if found is None or found.client != client:
            raise RefusalError(HTTPStatus.NOT_FOUND, self._why_none(job))
        return found

    def _why_none(self, job: str) -> str:
        named = _ID.fullmatch(job)
        if named is None or (named[1] or "") == self._instance:
            return "there is no such job: it never was, or its time is over"
        elsewhere = f'the instance "{named[1]}"' if named[1] else "an instance without a name"
        asked = f'"{self._instance}"' if self._instance else "one without a name"
        return f"this job is on {elsewhere}, and {asked} was asked: have the load balancer go by the address"

    def of_client(self, client: str) -> Sequence[Job]:
        """Return the jobs of a client, the newest first."""
        with self._lock:
            mine = [job for job in self._jobs.values() if job.client == client]
        return sorted(mine, key=lambda job: job.created_at, reverse=True)

    @property
    def open(self) -> Sequence[Job]:
        """Jobs that are not over."""
        with self._lock:
            return [job for job in self._jobs.values() if not job.over]

    def begin(self, job: str) -> Job | None:
        """Note that a job is being counted, and return it; None when it was removed before."""
        with self._lock:
            found = self._jobs.get(job)
            if found is None or found.over:
                return None
            begun = found.model_copy(update={"state": "counting", "began_at": self._clock()})
            self._keep(begun)
            return begun

    def progress(self, job: str, done: int, of: int) -> None:
        """Note how far a job is, see Job. It is not kept on disk."""
        with self._lock:
            found = self._jobs.get(job)
            if found is None or found.over or found.began_at is None:
                return
            passed = max(0.0, self._clock() - found.began_at)  # the clock may have been set back
            left = (of - done) * passed / done if of >= done > 0 else None
            self._jobs[job] = found.model_copy(update={"done": done, "of": of, "seconds_left": left})

    def end(self, job: str, state: State, problem: str | None = None) -> None:
        """Note that a job is over, and remove its clip. Of one that was removed meanwhile, remove what was written."""
        with self._lock:
            found = self._jobs.get(job)
            if found is None:
                self.discard(job)
                return
            ended = {"state": state, "problem": problem, "seconds_left": None}
            self._keep(found.model_copy(update={**ended, "expires_at": self._clock() + self._keep_s}))
            self._remove_clip(job, results=state == "done")
            over = [one.id for one in self.of_client(found.client) if one.over]
        for old in over[_KEPT:]:
            self.discard(old)

    def expire(self) -> None:
        """Remove the jobs whose time is over."""
        now = self._clock()
        with self._lock:
            old = [job.id for job in self._jobs.values() if job.expires_at is not None and job.expires_at <= now]
        for job in old:
            self.discard(job)

    def _restore(self, path: Path) -> None:
        """Read the record of an earlier run; a folder without one holds a clip that never arrived as a whole."""
        if not _ID.fullmatch(path.name):
            return
        try:
            job = Job.model_validate_json((path / _RECORD).read_bytes())
        except (FileNotFoundError, ValidationError):
            shutil.rmtree(path, ignore_errors=True)
            return
        self._jobs[job.id] = job
        if not job.over:
            self.end(job.id, "lost", _LOST)

    def _keep(self, job: Job) -> None:
        """Note how a job is; when the disk fails, in memory alone: after a restart it is lost."""
        self._jobs[job.id] = job
        try:
            self._write(job)
        except OSError as error:
            log.error("the record of a job cannot be written: %s", error.strerror)

    def _write(self, job: Job) -> None:
        write_atomic(self._folder / job.id / _RECORD, job.model_dump_json(), mode=0o600)

    def _remove_clip(self, job: str, *, results: bool) -> None:
        kept = (_RECORD, RESULT, ANNOTATED) if results else (_RECORD,)
        shutil.rmtree(self._folder / job / CLIP, ignore_errors=True)
        with suppress(OSError):  # the folder has gone, or the disk fails: the next start tries again
            for path in (self._folder / job).iterdir():
                if path.name not in kept and path.is_file():
                    path.unlink(missing_ok=True)
