"""Start the process of a candidate, show it frames and read its answers, without ever waiting for it."""

from __future__ import annotations

import mmap
import os
import signal
import subprocess
import sys
from collections import deque
from contextlib import suppress
from typing import Final

import numpy as np

from edge_app.records import Frame, Image
from edge_app.rollout.candidate_messages import Answer, SharedFrame, slots_for
from edge_app.rollout.candidate_settings import CandidateSettings

_PROGRAM: Final = "edge_app.rollout.candidate_program"
_STOP_S: Final = 2.0
_ALONE: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""One thread is enough for what numpy does here."""
_NOT_ITS_OWN: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "CREDENTIALS_DIRECTORY")
"""Variables of the service that its child needs not have."""


def refused_priority() -> str:
    """Return why the system refuses a candidate the lowest priority, "" where it does not."""
    asked = subprocess.run([sys.executable, "-m", _PROGRAM], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


class CandidateProcess:
    """Process that counts with a candidate; one thread uses it.

    Raises OSError: when it cannot be started.

    Attributes: `ready` once the candidate is loaded; `failed`: one sentence on why there will be no more answers, empty
    while there may be.
    """

    def __init__(self, settings: CandidateSettings) -> None:
        self.ready, self.failed = False, ""
        self._memory = os.memfd_create("edge-app-frames")
        self._shared: mmap.mmap | None = None
        self._slot_bytes = self._number = 0
        self._shown: deque[SharedFrame] = deque()
        self._free: list[int] = []
        self._rest = b""
        own = {name: value for name, value in os.environ.items() if name not in _NOT_ITS_OWN}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", _PROGRAM, str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(self._memory,),
                env={**own, **_ALONE},
                bufsize=0,
            )
        except OSError:
            os.close(self._memory)
            raise
        os.set_blocking(self.answers, False)
        self._tell(settings.encode().encode() + b"\n")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def answers(self) -> int:
        """Descriptor that can be read when there are answers, or the process has ended."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def show(self, frame: Frame, *, once: bool) -> bool:
        """Copy a frame into the shared memory; return False where there is no room or no process.

        The thread that counts does not wait meanwhile: numpy copies without Python's lock.
        """
        if not self.ready or self.failed or not self._has_room_for(frame.image):
            return False
        assert self._shared is not None
        self._number += 1
        height, width = frame.image.shape[:2]
        slot = self._free.pop()  # the one that was used last: the others take no memory until they are needed
        pixels = np.frombuffer(self._shared, np.uint8, frame.image.size, slot * self._slot_bytes)
        np.copyto(pixels.reshape(frame.image.shape), frame.image)
        shown = SharedFrame(
            *(self._number, slot, self._slot_bytes, width, height),
            *(frame.index, frame.captured_at, frame.monotonic, once),
        )
        self._shown.append(shown)
        self._tell(shown.encode())
        return True

    def read(self) -> list[Answer]:
        """Return the answers that have come to frames; notes whether the candidate is ready or has failed."""
        answers = [answer for line in self._lines() if (answer := self._decoded(line)) is not None]
        self._free += [self._shown.popleft().slot for _ in answers]
        return answers

    def close(self) -> None:
        """End the process and free the memory; may be called twice."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(_STOP_S if self.ready else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            with suppress(subprocess.TimeoutExpired):  # it ends as soon as it gets a core
                self._process.wait(_STOP_S)
        self.ready = False
        if self._memory >= 0:
            os.close(self._memory)
            self._memory, self._shared = -1, None

    def _tell(self, line: bytes) -> None:
        """Write a line. It never waits: so few wait to be read that the pipe has room for all."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended, which its answers show
            self._process.stdin.write(line)

    def _has_room_for(self, image: Image) -> bool:
        """Return whether a slot is free and large enough; they are made so while none is in use."""
        if image.nbytes > self._slot_bytes:
            if self._shown:
                return False
            slots = slots_for(image.nbytes)
            size = max(slots * image.nbytes, os.fstat(self._memory).st_size)  # the candidate may still look at a part
            os.ftruncate(self._memory, size)
            self._shared, self._slot_bytes = mmap.mmap(self._memory, size), image.nbytes
            self._free = list(range(slots))
        return bool(self._free)

    def _lines(self) -> list[bytes]:
        try:
            read = os.read(self.answers, 1 << 16)
        except BlockingIOError:
            return []
        if not read and not self.failed:
            self.failed = self._ended()
        *lines, self._rest = (self._rest + read).split(b"\n")
        return lines

    def _decoded(self, line: bytes) -> Answer | None:
        """Return the answer to a frame; None for another answer, which is noted."""
        try:
            answer = Answer.decode(line)
        except (ValueError, TypeError, KeyError):
            self.failed = self.failed or "its process answers what is no answer"
            return None
        self.failed = self.failed or answer.failed
        self.ready = self.ready or not answer.failed
        return None if answer.number is None else answer

    def _ended(self) -> str:
        code = self._process.wait()
        if code < 0:
            with suppress(ValueError):
                return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process has ended with exit code {code}"
