"""Release 1.0 and this one on the same state folder, in both directions, each with its own code."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from edge_app.records import FLOWS, Sums
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import ClosedInterval, Outbox
from edge_app.storage.sqlite import FILE
from tests.support.ledger_cases import NOON, cars, count, crossing, open_ledger, payloads
from tests.support.paths import ROOT

RELEASE_1_0 = "e0dab0ea87927ba487f6fd922e8779d3ac69e0fd"


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the code of release 1.0."""
    if not shutil.which("git"):
        pytest.skip("needs git, which has release 1.0")
    packed = subprocess.run(["git", "archive", RELEASE_1_0, "edge_app"], cwd=ROOT, capture_output=True, check=False)
    if packed.returncode:
        pytest.skip("this checkout has no release 1.0 in its history")
    folder = tmp_path_factory.mktemp("release-1.0")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder)
    shutil.copy(ROOT / "tests/support/release_1_0.py", folder)
    return folder


def run_old(code: Path, state: Path, action: str, begin: float = 0.0, end: float = 0.0) -> list[dict[str, Any]]:
    """Run release 1.0 on the state folder; return what it delivered."""
    command = [sys.executable, str(code / "release_1_0.py"), str(state), action, str(begin), str(end)]
    environment = {**os.environ, "PYTHONPATH": str(code), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=code, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_new(state: Path, begin: float, end: float) -> Ledger:
    """Count a car a second; the returned ledger is closed."""
    ledger = open_ledger(state, names=("delft", "cam-1"), config="c")
    for second in range(round(end - begin)):
        count(ledger, begin + second)
        ledger.tick(begin + second)
    ledger.close(end)
    return ledger


@pytest.mark.parametrize("ended", ["count", "kill"])
def test_an_upgrade_with_a_full_outbox_within_an_interval_loses_nothing(
    tmp_path: Path, old_code: Path, ended: str
) -> None:
    run_old(old_code, tmp_path, ended, NOON, NOON + 330)
    with sqlite3.connect(tmp_path / FILE) as db:
        queued = [json.loads(payload) for (payload,) in db.execute("SELECT payload FROM outbox ORDER BY key")]
    db.close()
    new = run_new(tmp_path, NOON + 340, NOON + 424)
    assert new.warnings == ()
    found = payloads(tmp_path)
    assert found[:5] == queued, "what 1.0 has queued is unchanged"
    assert [(p["start"], p["seq"], cars(p), cars(p, "totals")) for p in found[5:]] == [
        (NOON + 300, 1, 50, 50),
        (NOON + 360, 2, 60, 110),
    ]
    assert {p["installation"] for p in found[5:]} == {new.installation}
    outbox = Outbox(tmp_path)
    assert [(o.installation, o.seq) for o in outbox.pending()] == [("", 0)] * 5 + [
        (new.installation, 1),
        (new.installation, 2),
    ]
    outbox.close()


def test_a_release_that_is_taken_back_goes_on_and_the_next_one_after_it(tmp_path: Path, old_code: Path) -> None:
    first = run_new(tmp_path, NOON, NOON + 270)
    run_old(old_code, tmp_path, "count", NOON + 280, NOON + 390)
    delivered = run_old(old_code, tmp_path, "deliver")
    assert [p["seq"] for p in delivered] == [1, 2, 3, 4, 5, 6]
    assert [cars(p) for p in delivered] == [60, 60, 60, 60, 50, 60]
    assert [p.get("installation") for p in delivered] == [first.installation] * 4 + [None] * 2
    second = run_new(tmp_path, NOON + 400, NOON + 424)
    assert second.warnings == ()
    assert second.installation != first.installation
    (only,) = payloads(tmp_path)
    assert (only["start"], only["seq"], cars(only), only["installation"]) == (NOON + 360, 1, 50, second.installation)
    outbox = Outbox(tmp_path)
    assert outbox.why_missing(first.installation, "north", 2) == "expired", "given, and not kept by 1.0"
    assert outbox.why_missing(first.installation, "north", 5) == "unknown"
    assert len(outbox) == 1
    outbox.close()


def test_a_short_spell_of_1_0_that_closes_nothing_changes_no_installation(tmp_path: Path, old_code: Path) -> None:
    first = run_new(tmp_path, NOON, NOON + 90)
    run_old(old_code, tmp_path, "count", NOON + 92, NOON + 100)
    second = run_new(tmp_path, NOON + 102, NOON + 124)
    assert second.installation == first.installation
    assert [(p["seq"], cars(p)) for p in payloads(tmp_path)] == [(1, 60), (2, 56)]


def test_1_0_goes_on_in_an_interval_that_a_change_has_cut(tmp_path: Path, old_code: Path) -> None:
    run_new(tmp_path, NOON, NOON + 20)
    other = open_ledger(tmp_path, names=("delft", "cam-1"), config="d")
    count(other, NOON + 21, 3)
    other.close(NOON + 22)
    run_old(old_code, tmp_path, "count", NOON + 30, NOON + 65)
    run_new(tmp_path, NOON + 66, NOON + 70)
    assert sum(map(cars, payloads(tmp_path))) + open_cars(tmp_path) == 20 + 3 + 35 + 4


def open_cars(state: Path) -> int:
    ledger = open_ledger(state, names=("delft", "cam-1"), config="c")
    found = sum(map(cars, ledger.open))
    ledger.close(NOON + 70)
    return found


def test_measures_and_flows_outlast_a_release_that_knows_neither(tmp_path: Path, old_code: Path) -> None:
    none: dict[str, Sums] = {"north": {"speed": {}}, FLOWS: {"entered": {}}}

    def run(begin: float, end: float) -> None:
        counting = Counting(("car", "motorcycle"), 60.0, "c", measures=none)
        ledger = Ledger(tmp_path, ["north", FLOWS], counting, "b", told, names=("delft", "cam-1"), clock=lambda: 0.0)
        assert ledger.warnings == ()
        for second in range(round(end - begin)):
            ledger.record(begin + second, [vehicle := crossing(begin + second)], 0)
            ledger.measure_crossing(vehicle, {"speed": {"n": 1}})
            ledger.measure(FLOWS, begin + second, {"entered": {"n": 1}})
            ledger.tick(begin + second)
        ledger.close(end)

    def told(closed: ClosedInterval) -> str:
        counts = closed.counts
        return json.dumps({"line": counts.line, "seq": closed.seq, "counts": counts.counts, **counts.measures})

    run(NOON, NOON + 90)
    run_old(old_code, tmp_path, "count", NOON + 92, NOON + 130)
    delivered = run_old(old_code, tmp_path, "deliver")
    before = next(p for p in delivered if p["line"] == FLOWS)
    assert before["entered"] == {"n": 60}, "what was closed goes out unchanged"
    run(NOON + 140, NOON + 190)
    found = payloads(tmp_path)
    assert {p["line"] for p in found} == {"north", FLOWS}
    assert all(p["entered"]["n"] == 40 for p in found if p["line"] == FLOWS)
    assert all(p["speed"]["n"] == 40 for p in found if p["line"] == "north")
