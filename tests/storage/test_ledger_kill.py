"""SIGKILL at random times: no counted crossing is lost, no interval has two contents, no number is left out."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.ledger_cases import NOON, cars, open_ledger, payloads
from tests.support.paths import ROOT

KILLS = int(os.environ.get("EDGE_APP_KILLS", "10"))


def lines_of_killed_run(folder: Path, begin: float, after_lines: int) -> list[str]:
    """Return the lines that a child printed; it is killed after `after_lines` of them."""
    command = [sys.executable, "-m", "tests.support.kill_ledger", str(folder), str(begin)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(after_lines)]
        child.kill()
        lines += child.stdout.readlines()
    assert all(lines), "the child ended by itself"
    return [line.strip() for line in lines]


@pytest.mark.long
def test_kills_lose_no_crossing_and_no_number(tmp_path: Path) -> None:
    rng = random.Random(2026)
    folder, now, counted = tmp_path / "state", NOON, 0
    sent: dict[float, dict[str, Any]] = {}
    for _ in range(KILLS):
        for line in lines_of_killed_run(folder, now, rng.randint(1, 300)):
            word, _, rest = line.partition(" ")
            if word == "sent":
                payload = json.loads(rest)
                assert sent.setdefault(payload["start"], payload) == payload, "one interval, two contents"
            elif word == "at":
                now = float(rest) + 1.0
            counted += word == "counted"
    ledger = open_ledger(folder, interval_s=10.0)
    ledger.tick(now)
    ledger.tick(now + 30)
    assert ledger.warnings == ()
    ledger.close(now + 30)
    for payload in payloads(folder):
        known = sent.setdefault(payload["start"], payload)
        assert known == {**known, **payload}, "one interval, two contents"
    intervals = sorted(sent.values(), key=lambda payload: payload["start"])
    assert [payload["seq"] for payload in intervals] == list(range(1, len(intervals) + 1))
    assert [payload["start"] for payload in intervals] == [NOON + 10 * n for n in range(len(intervals))]
    assert counted <= sum(map(cars, intervals)) <= counted + KILLS
    assert cars(intervals[-1], "totals") == sum(map(cars, intervals))
    assert counted > 15 * KILLS, "too little was counted to mean anything"
