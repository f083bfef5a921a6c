"""Processor time of programs that have children and are killed and started again, for the tables of trials."""

from __future__ import annotations

import psutil


class ProcessorTimes:
    """Processor time by name. Look often: what a process has used since the last look is lost with it."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, int, float], tuple[float, float]] = {}
        self._known: set[str] = set()

    def look(self, name: str, pid: int) -> None:
        """Note what a process and its children have used."""
        try:
            process = psutil.Process(pid)
            family = [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for one in family:
            try:
                times, key = one.cpu_times(), (name, one.pid, one.create_time())
            except psutil.NoSuchProcess:
                continue
            used = times.user + times.system
            begin = 0.0 if name in self._known else used  # one that came since the first look is new
            self._used[key] = self._used.get(key, (begin, used))[0], used
        self._known.add(name)

    def of(self, name: str) -> float:
        """Return what was used since the first look, s."""
        return sum(last - first for (of, _, _), (first, last) in self._used.items() if of == name)
