"""Threads that work on pictures, one for each engine, behind one fair and bounded queue."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

from edge_app.http.problems import RefusalError
from edge_app.serve.fair_queue import FairQueue
from edge_app.system.threads import Worker, join_all

T = TypeVar("T")

_END_S: Final = 5.0
"""Longest wait for the threads to end."""
_PART: Final = 0.05
"""Weight of the newest duration in the running mean."""
_LONGEST_RETRY_S: Final = 60
_CLIENTS: Final = 1000
"""Clients whose last duration is remembered."""


class _Job:
    __slots__ = ("client", "future", "work")

    def __init__(self, client: str, work: Callable[[int], Any]) -> None:
        self.client, self.work, self.future = client, work, Future[Any]()


class Engines:
    """Pool of threads that gives its clients equal time, so that large pictures of one delay no other for long.

    threads: their number; work gets its thread's number, 0 to threads - 1, and is the only user of that engine.
    room: most pieces of work that wait. clock: s, never steps.
    """

    def __init__(self, threads: int, room: int, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self._queue: FairQueue[_Job] = FairQueue(room)
        self._changed = threading.Condition()
        self._open = True
        self._mean_s = 0.05
        self._expected_s: OrderedDict[str, float] = OrderedDict()
        self._faults: list[str] = []
        self._workers = [Worker(f"engine {n + 1}", partial(self._run, n), self._failed) for n in range(threads)]
        self.threads = threads
        for worker in self._workers:
            worker.start()

    @property
    def waiting(self) -> int:
        """Pieces of work that no engine has begun."""
        return len(self._queue)

    @property
    def healthy(self) -> bool:
        """True while every engine runs and new work is taken."""
        return self._open and not self._faults

    def submit(self, client: str, work: Callable[[int], T]) -> Future[T]:
        """Add work and return its result to come; a cancelled one that waits is never begun.

        client: name of whoever asks; all have turns. Raises RefusalError: when the queue is full. Work of a client with
        much waiting may be refused later, through its future, to make room for others.
        """
        job = _Job(client, work)
        with self._changed:
            dropped = self._queue.put(client, job) if self._open else job
            self._changed.notify()
        if dropped is job:
            raise self._full() if self._open else _stopping()
        if dropped is not None and dropped.future.set_running_or_notify_cancel():
            dropped.future.set_exception(self._full())
        return job.future

    def close(self) -> None:
        """Refuse what waits, and wait for what is under way."""
        with self._changed:
            self._open = False
            waiting = [job for job in iter(self._queue.take, None) if job.future.set_running_or_notify_cancel()]
            self._changed.notify_all()
        for job in waiting:
            job.future.set_exception(
                RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping: ask again", 5)
            )
        join_all(self._workers, _END_S)

    def _full(self) -> RefusalError:
        """Return the refusal of a full queue; it is empty again after about `retry_after_s`."""
        seconds = math.ceil((len(self._queue) + 1) * self._mean_s / self.threads)
        return RefusalError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            "too many pictures are waiting already: ask again after the seconds in Retry-After",
            min(_LONGEST_RETRY_S, max(1, seconds)),
        )

    def _run(self, number: int, _stop: threading.Event) -> None:
        while (begun := self._next()) is not None:
            job, expected_s = begun
            began = self._clock()
            try:
                job.future.set_result(job.work(number))
            except BaseException as fault:  # of any kind: whoever waits must hear of it
                job.future.set_exception(fault)
            self._correct(job.client, expected_s, self._clock() - began)

    def _next(self) -> tuple[_Job, float] | None:
        """Return the next work that somebody waits for, and the time that it was charged; None at the end.

        It is charged what the client's last one took: else another engine would begin the client's next one as well.
        """
        with self._changed:
            while self._open or len(self._queue):
                self._changed.wait_for(lambda: len(self._queue) or not self._open)
                job = self._queue.take()
                if job is not None and job.future.set_running_or_notify_cancel():
                    expected_s = self._expected_s.get(job.client, self._mean_s)
                    self._queue.charge(job.client, expected_s)
                    return job, expected_s
        return None

    def _correct(self, client: str, expected_s: float, took_s: float) -> None:
        with self._changed:
            self._queue.charge(client, took_s - expected_s)
            self._expected_s[client] = took_s
            self._expected_s.move_to_end(client)
            if len(self._expected_s) > _CLIENTS:
                self._expected_s.popitem(last=False)
            self._mean_s += _PART * (took_s - self._mean_s)

    def _failed(self, name: str, _fault: BaseException) -> None:
        self._faults.append(name)


def _stopping() -> RefusalError:
    return RefusalError(HTTPStatus.SERVICE_UNAVAILABLE, "the service is stopping: ask again in a few seconds", 5)
