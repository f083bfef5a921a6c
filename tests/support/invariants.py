"""Check what must hold after kills and outages, from the messages received and the program's log. Pure."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal, TypeAlias

Key: TypeAlias = tuple[str, str, str]
"""Line, class and direction."""

LATE_S = 2.0
"""Seconds of coverage that one run may lack: its first frame, and the second of progress that SIGKILL may take."""
EARLY_S = 0.5
"""Seconds of coverage that one run may have too much: its first frame is logged after processing, not on arrival."""


OFTEN = 8.0
"""Frames/s below which the program may call time unseen, since it got too little of a busy machine."""


@dataclass(frozen=True, slots=True)
class LoggedCrossing:
    """Crossing that the log reports as counted. at: UTC s."""

    key: Key
    at: float


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the program.

    first_frame: UTC s, None when it got none. ended: UTC s at which it got the signal. code: exit code, None when it
    was killed. after_s: from its start to its first frame. faults: messages that it logged as errors.
    """

    first_frame: float | None
    ended: float
    code: int | None
    after_s: float | None = None
    counted: Sequence[LoggedCrossing] = ()
    faults: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """Everything that a trial has recorded.

    payloads: all received on counts/+ and latest/+, in order, repetitions included. unsent: intervals left in the
    outbox at the end.
    """

    payloads: Sequence[bytes]
    runs: Sequence[Run]
    unsent: int = 0

    @property
    def killed(self) -> int:
        return sum(run.code is None for run in self.runs)

    @property
    def intervals(self) -> list[dict[str, Any]]:
        """Decoded payloads, each content once, in order of line and number."""
        unique = [json.loads(payload) for payload in dict.fromkeys(self.payloads)]
        return sorted(unique, key=lambda interval: (interval["line"], interval["seq"]))

    @property
    def lines(self) -> dict[str, list[dict[str, Any]]]:
        by_line: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for interval in self.intervals:
            by_line[interval["line"]].append(interval)
        return by_line


@dataclass(frozen=True, slots=True)
class Finding:
    """Result of checking one promise. found: the figures."""

    promise: str
    found: str
    held: bool


def check(evidence: Evidence) -> list[Finding]:
    """Check each promise of the contract."""
    checks = (_contents, _numbers, _overlaps, _sums, _totals, _coverage, _unsent, _exits)
    return [check_one(evidence) for check_one in checks]


def _contents(evidence: Evidence) -> Finding:
    contents: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    ids: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for payload in evidence.payloads:
        interval = json.loads(payload)
        key = interval["line"], interval["start"]
        contents[key].add(payload)
        ids[interval["id"]].add(key)
    two = sum(len(versions) > 1 for versions in contents.values()) + sum(len(keys) > 1 for keys in ids.values())
    found = f"{len(contents)} intervals in {len(evidence.payloads)} messages, {two} in two versions"
    return Finding("one content an interval", found, bool(contents) and not two)


def _numbers(evidence: Evidence) -> Finding:
    seqs = {line: [i["seq"] for i in intervals] for line, intervals in evidence.lines.items()}
    missing = sum(len(set(range(1, max(numbers) + 1)) - set(numbers)) for numbers in seqs.values())
    exact = all(numbers == list(range(1, len(numbers) + 1)) for numbers in seqs.values())
    return Finding("seq from 1 without a gap", f"{missing} missing", exact and bool(seqs))


def _overlaps(evidence: Evidence) -> Finding:
    pairs = [pair for intervals in evidence.lines.values() for pair in pairwise(intervals)]
    overlaps = sum(utc(before["end"]) > utc(after["start"]) for before, after in pairs)
    return Finding("intervals in order, none overlaps", f"{overlaps} of {len(pairs)} do", not overlaps)


def _sums(evidence: Evidence) -> Finding:
    logged = Counter(crossing.key for run in evidence.runs for crossing in run.counted)
    delivered = sum((_counter(i["line"], i["counts"]) for i in evidence.intervals), Counter[Key]())
    missing, extra = (logged - delivered).total(), (delivered - logged).total()
    found = f"{logged.total()} logged, {delivered.total()} delivered: {missing} missing, {extra} killed before the log"
    held = bool(logged) and not missing and extra <= evidence.killed
    return Finding(f"sums equal the log (+ at most 1 a kill, {evidence.killed})", found, held)


def _totals(evidence: Evidence) -> Finding:
    wrong = 0
    for line, intervals in evidence.lines.items():
        sums = Counter[Key]()
        for interval in intervals:
            sums += _counter(line, interval["counts"])
            wrong += sums != _counter(line, interval["totals"])
    return Finding("totals are the running sums", f"{wrong} are not", not wrong)


def _coverage(evidence: Evidence) -> Finding:
    """Compare coverage with the time for which the program ran; it is rightly lower where frames were rare."""
    wrong, interrupted, off = 0, 0, [0.0]
    for interval in evidence.intervals:
        seconds = list(_observed_s(evidence.runs, utc(interval["start"]), utc(interval["end"])))
        interrupted += len(seconds) > 1
        off.append(interval["coverage"] * interval["interval_s"] - sum(seconds))
        rare = interval["frames"] < OFTEN * sum(seconds)
        allowed = (rare or -LATE_S * max(1, len(seconds)) <= off[-1]) and off[-1] <= EARLY_S * max(1, len(seconds))
        wrong += not allowed or not 0 <= interval["coverage"] <= 1
    found = f"{interrupted} interrupted, {min(off):.1f} to +{max(off):.1f} s off, {wrong} wrong"
    return Finding("coverage is the time it ran", found, not wrong)


def _observed_s(runs: Sequence[Run], start: float, end: float) -> Iterator[float]:
    """Yield the seconds of start..end in which each run worked, without the runs that did not."""
    for run in runs:
        if run.first_frame is not None and (common := min(end, run.ended) - max(start, run.first_frame)) > 0:
            yield common


def _unsent(evidence: Evidence) -> Finding:
    return Finding("nothing is left unsent", f"{evidence.unsent} intervals", not evidence.unsent)


def _exits(evidence: Evidence) -> Finding:
    stopped = [run.code for run in evidence.runs if run.code is not None]
    faults = [fault for run in evidence.runs for fault in run.faults]
    found = f"{evidence.killed} killed, {len(stopped)} stopped, exit codes {sorted(set(stopped))}"
    return Finding("a stop is clean, no error is logged", "; ".join([found, *faults]), not any(stopped) and not faults)


def _counter(line: str, counts: dict[str, dict[Literal["left_to_right", "right_to_left"], int]]) -> Counter[Key]:
    return Counter({(line, label, direction): n for label, by in counts.items() for direction, n in by.items() if n})


def utc(text: str) -> float:
    """Return the UTC s of an RFC 3339 time with Z."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
