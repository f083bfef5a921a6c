"""What must hold after kills and outages, judged from what a subscriber received and what the program logged. Pure."""

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
"""Coverage that one life may lack: its first look, and the second of progress that SIGKILL may take."""
EARLY_S = 0.5
"""Coverage that one life may have too much: its first frame is logged when it has been processed, not when it came."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A crossing that the log says was counted; at: UTC s."""

    key: Key
    at: float


@dataclass(frozen=True, slots=True)
class Life:
    """One run of the program. first_frame, ended: UTC s; first_frame is None when it did not come so far,
    ended is when it was told to.

    code: exit code, None for one that was killed. after_s: from its start to its first frame. faults: what it logged
    as an error.
    """

    first_frame: float | None
    ended: float
    code: int | None
    after_s: float | None = None
    counted: Sequence[Counted] = ()
    faults: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """payloads: everything received on counts/+ and latest/+, in order, repetitions included. unsent: what is left in
    the outbox at the end."""

    payloads: Sequence[bytes]
    lives: Sequence[Life]
    unsent: int = 0

    @property
    def killed(self) -> int:
        return sum(life.code is None for life in self.lives)

    @property
    def intervals(self) -> list[dict[str, Any]]:
        """One of each, in order of line and number."""
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
    promise: str
    found: str
    kept: bool


def judge(evidence: Evidence) -> list[Finding]:
    """Each promise of the contract, and whether it was kept."""
    checks = (_contents, _numbers, _overlaps, _sums, _totals, _coverage, _unsent, _exits)
    return [check(evidence) for check in checks]


def _contents(evidence: Evidence) -> Finding:
    contents: dict[tuple[str, str], set[bytes]] = defaultdict(set)
    ids: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for payload in evidence.payloads:
        interval = json.loads(payload)
        where = interval["line"], interval["start"]
        contents[where].add(payload)
        ids[interval["id"]].add(where)
    two = sum(len(found) > 1 for found in contents.values()) + sum(len(found) > 1 for found in ids.values())
    found = f"{len(contents)} intervals in {len(evidence.payloads)} messages, {two} in two versions"
    return Finding("one content an interval", found, bool(contents) and not two)


def _numbers(evidence: Evidence) -> Finding:
    seqs = {line: [i["seq"] for i in intervals] for line, intervals in evidence.lines.items()}
    missing = sum(len(set(range(1, max(found) + 1)) - set(found)) for found in seqs.values())
    exact = all(found == list(range(1, len(found) + 1)) for found in seqs.values())
    return Finding("seq from 1 without a gap", f"{missing} missing", exact and bool(seqs))


def _overlaps(evidence: Evidence) -> Finding:
    pairs = [pair for intervals in evidence.lines.values() for pair in pairwise(intervals)]
    overlaps = sum(utc(before["end"]) > utc(after["start"]) for before, after in pairs)
    return Finding("intervals in order, none overlaps", f"{overlaps} of {len(pairs)} do", not overlaps)


def _sums(evidence: Evidence) -> Finding:
    logged = Counter(counted.key for life in evidence.lives for counted in life.counted)
    told = sum((_counter(i["line"], i["counts"]) for i in evidence.intervals), Counter[Key]())
    missing, beyond = (logged - told).total(), (told - logged).total()
    found = f"{logged.total()} logged, {told.total()} told: {missing} missing, {beyond} killed before they were logged"
    kept = bool(logged) and not missing and beyond <= evidence.killed
    return Finding(f"sums equal the log (+ at most 1 a kill, {evidence.killed})", found, kept)


def _totals(evidence: Evidence) -> Finding:
    wrong = 0
    for line, intervals in evidence.lines.items():
        sums = Counter[Key]()
        for interval in intervals:
            sums += _counter(line, interval["counts"])
            wrong += sums != _counter(line, interval["totals"])
    return Finding("totals are the running sums", f"{wrong} are not", not wrong)


def _coverage(evidence: Evidence) -> Finding:
    wrong, interrupted, off = 0, 0, [0.0]
    for interval in evidence.intervals:
        lives = list(_shares(evidence.lives, utc(interval["start"]), utc(interval["end"])))
        interrupted += len(lives) > 1
        off.append(interval["coverage"] * interval["interval_s"] - sum(lives))
        allowed = -LATE_S * max(1, len(lives)) <= off[-1] <= EARLY_S * max(1, len(lives))
        wrong += not allowed or not 0 <= interval["coverage"] <= 1
    found = f"{interrupted} interrupted, {min(off):.1f} to +{max(off):.1f} s off, {wrong} wrong"
    return Finding("coverage is the time it ran", found, not wrong)


def _shares(lives: Sequence[Life], start: float, end: float) -> Iterator[float]:
    for life in lives:
        if life.first_frame is not None and (seen := min(end, life.ended) - max(start, life.first_frame)) > 0:
            yield seen


def _unsent(evidence: Evidence) -> Finding:
    return Finding("nothing is left unsent", f"{evidence.unsent} intervals", not evidence.unsent)


def _exits(evidence: Evidence) -> Finding:
    stopped = [life.code for life in evidence.lives if life.code is not None]
    faults = [fault for life in evidence.lives for fault in life.faults]
    found = f"{evidence.killed} killed, {len(stopped)} stopped, exit codes {sorted(set(stopped))}"
    return Finding("a stop is clean, no error is logged", "; ".join([found, *faults]), not any(stopped) and not faults)


def _counter(line: str, counts: dict[str, dict[Literal["left_to_right", "right_to_left"], int]]) -> Counter[Key]:
    return Counter({(line, label, way): n for label, ways in counts.items() for way, n in ways.items() if n})


def utc(text: str) -> float:
    """UTC s of an RFC 3339 time with Z."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
