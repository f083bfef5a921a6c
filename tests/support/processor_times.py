"""Processor time of programs that have children and are killed and started again, for the tables of trials."""

from __future__ import annotations

import psutil


class ProcessorTimes:
    """Processor time by name. Look often: what a process has used since the last look is lost with it."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, int, float], tuple[float, float]] = {}

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
            self._used[key] = self._used.get(key, (used, used))[0], used

    def of(self, name: str) -> float:
        """Return what was used since the first look, s."""
        return sum(last - first for (of, _, _), (first, last) in self._used.items() if of == name)
