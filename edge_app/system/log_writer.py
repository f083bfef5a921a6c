"""Write texts to stderr in a thread of their own, so that a stderr that nobody reads never stops the work.

A full pipe, a terminal after Ctrl-S, a log driver or a journal that hangs: `write` to any of them blocks, and with it
the thread that wanted to say something. Here it is only this thread that waits.
"""

from __future__ import annotations

import contextlib
import os
import select
import stat
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from edge_app.system.threads import start_thread

LIMIT: Final = 1000
"""Texts that wait; further ones are dropped."""
_KEPT: Final = 500
"""Texts that stay in memory after they were written."""
_KEPT_CHARACTERS: Final = 2_000
"""Most that is kept of one of them."""
_STDERR: Final = 2


class LogWriter:
    """Bounded queue in front of stderr. Any thread may call every method; none of them blocks.

    gap: returns the text to write where so many texts were dropped. file: descriptor to write to.
    `dropped` counts the texts that were dropped since the start. `recent` has the last ones, the oldest first, also
    those that nobody read.
    """

    def __init__(self, gap: Callable[[int], str], file: int = _STDERR, limit: int = LIMIT) -> None:
        self._gap, self._file, self._limit = gap, file, limit
        self._texts: deque[str] = deque()
        self._recent: deque[str] = deque(maxlen=_KEPT)
        self._changed = threading.Condition()
        self._busy = False
        self._missing = 0
        self._thread: threading.Thread | None = None
        self.dropped = 0

    def put(self, text: str) -> None:
        """Have a text written as a line, after those that wait; or drop it when too many do."""
        with self._changed:
            self._begin()
            self._recent.append(text[:_KEPT_CHARACTERS])
            if len(self._texts) >= self._limit:
                self.dropped += 1
                self._missing += 1
                return
            self._note_gap()
            self._texts.append(text)
            self._changed.notify_all()

    @property
    def recent(self) -> list[str]:
        with self._changed:
            return list(self._recent)

    def flush(self, timeout: float = 1.0) -> None:
        """Wait until everything is written, but no longer than `timeout` s: nobody may be reading."""
        end = time.monotonic() + timeout
        with self._changed:
            self._begin()
            self._changed.wait_for(lambda: not self._texts and not self._busy, max(0.0, end - time.monotonic()))

    def _begin(self) -> None:
        """Start the thread; without one now (the system has none left) the next text tries again."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="log", daemon=True)
            with contextlib.suppress(OSError):
                start_thread(thread, tries_s=0)
                self._thread = thread

    def _note_gap(self) -> None:
        if self._missing:
            self._texts.append(self._gap(self._missing))
            self._missing = 0

    def _run(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                if not self._texts:
                    self._note_gap()
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._texts)
                text = self._texts.popleft()
                self._busy = True
            # Not through sys.stderr: a thread that hangs in its buffer would stop the end of the program too.
            try:
                self._write(text.encode("utf-8", "backslashreplace") + b"\n")
            except (OSError, MemoryError):  # closed by its reader, or the disk of a file is full
                self.dropped += 1

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._file, data) :]
            except BlockingIOError:
                select.select((), (self._file,), ())


def own_stderr() -> int:
    """Make descriptor 2 one that never blocks, and return another for stderr as it was.

    Libraries in C write their warnings to it themselves, such as OpenCV about a broken picture: with a stderr that
    nobody reads they would stop the thread that called them. What it does not take of theirs is lost.
    """
    before = os.dup(_STDERR)
    if stat.S_ISREG(os.fstat(_STDERR).st_mode):  # never blocks, and two descriptions would write over one another
        return before
    try:
        # A description of its own, since that of a terminal is the shell's too.
        own = os.open(f"/proc/self/fd/{_STDERR}", os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # a socket, such as the journal's, or a pipe of another user: no shell shares it
        if not os.isatty(_STDERR):
            os.set_blocking(_STDERR, False)
        return before
    os.dup2(own, _STDERR)
    os.close(own)
    return before
