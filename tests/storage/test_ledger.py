"""Ledger on a working disk: what it saves, how it continues after a restart, and what it puts into the outbox."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_app.errors import StoreError
from edge_app.mqtt.encoding import encode_counts
from edge_app.storage.counts import Counting
from edge_app.storage.ledger import Ledger
from edge_app.storage.outbox import Outbox
from edge_app.storage.sqlite import FILE
from edge_app.system.clock import rfc3339
from tests.support.ledger_cases import CLASSES, NOON, cars, count, crossing, encode, on_disk, open_ledger, payloads
from tests.support.paths import ROOT
from tests.support.publisher_cases import DEVICE


def test_closed_intervals_are_numbered_and_totals_grow(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    for n, vehicles in enumerate((2, 0, 3)):
        count(ledger, NOON + 60 * n + 1, vehicles)
        ledger.tick(NOON + 60 * n + 63)
    ledger.close(NOON + 184)
    sent = payloads(tmp_path)
    assert [p["seq"] for p in sent] == [1, 2, 3]
    assert [p["start"] for p in sent] == [NOON, NOON + 60, NOON + 120]
    assert [cars(p) for p in sent] == [2, 0, 3]
    assert [cars(p, "totals") for p in sent] == [2, 2, 5]


def test_a_stall_of_a_day_loses_none_of_its_intervals_while_the_disk_works(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, ["north", "south"], interval_s=30.0, capacity=10_000)
    count(ledger, NOON + 1)
    ledger.tick(NOON + 86_000)
    ledger.close(NOON + 86_000)
    assert ledger.dropped == 0
    for line in ("north", "south"):
        assert [p["seq"] for p in payloads(tmp_path) if p["line"] == line] == list(range(1, 86_000 // 30 + 1))


def test_a_crossing_is_on_disk_when_record_returns(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "state")
    for n in range(1, 4):
        count(ledger, NOON + n / 10)
        assert len(on_disk(tmp_path / "state", tmp_path / "copy").journal) == n
    assert ledger.unstored == 0
    ledger.close(NOON + 1)


def test_progress_is_saved_once_a_second(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "state")
    for n in range(25):
        ledger.record(NOON + n / 10, [], 1)
        ledger.tick(NOON + n / 10)
    (interval,) = on_disk(tmp_path / "state", tmp_path / "copy").intervals
    assert (interval.frames, interval.dropped) == (21, 21)
    assert interval.observed_s == pytest.approx(2.0)
    ledger.close(NOON + 3)


def test_a_restart_inside_an_interval_still_gives_one_message(tmp_path: Path) -> None:
    first = open_ledger(tmp_path, boot="b1")
    count(first, NOON + 1, 2)
    first.record(NOON + 2, [], 0)
    first.close(NOON + 2)
    second = open_ledger(tmp_path, boot="b2")
    count(second, NOON + 30, 3)
    second.record(NOON + 31, [], 0)
    second.tick(NOON + 63)
    second.close(NOON + 64)
    (only,) = payloads(tmp_path)
    assert (cars(only), only["seq"], only["boot_id"]) == (5, 1, "b2")
    assert only["coverage"] == pytest.approx(2 / 60)
    assert second.installation == first.installation


def test_a_stop_closes_no_interval_and_a_late_start_closes_it_unchanged(tmp_path: Path) -> None:
    first = open_ledger(tmp_path)
    count(first, NOON + 1)
    first.close(NOON + 70)
    assert payloads(tmp_path) == []
    second = open_ledger(tmp_path)
    second.tick(NOON + 6000)
    second.close(NOON + 6000)
    assert [(p["start"], cars(p)) for p in payloads(tmp_path)] == [(NOON, 1)]


def test_a_line_that_is_configured_again_continues_its_numbers(tmp_path: Path) -> None:
    for lines, at in ((["north", "south"], NOON), (["north"], NOON + 120), (["north", "south"], NOON + 240)):
        ledger = open_ledger(tmp_path, lines)
        for line in lines:
            count(ledger, at + 1, 1, line)
        ledger.tick(at + 2)
        ledger.close(at + 2)
    ledger = open_ledger(tmp_path, ["north", "south"])
    ledger.tick(NOON + 600)
    ledger.close(NOON + 600)
    south = [p for p in payloads(tmp_path) if p["line"] == "south"]
    assert [(p["seq"], p["start"], cars(p, "totals")) for p in south] == [(1, NOON, 1), (2, NOON + 240, 2)]


@pytest.mark.parametrize("restart", [True, False])
def test_a_clock_that_steps_back_begins_a_new_installation_and_piles_nothing_up(tmp_path: Path, restart: bool) -> None:
    ledger = open_ledger(tmp_path)
    ledger.tick(NOON)
    ledger.tick(NOON + 3603)
    first = ledger.installation
    if restart:
        ledger.close(NOON + 3604)
        ledger = open_ledger(tmp_path)
    ledger.set_clock(NOON + 100)
    count(ledger, NOON + 100)
    ledger.tick(NOON + 101)
    assert ledger.installation != first
    assert ledger.problem == ""
    ledger.tick(NOON + 123)
    count(ledger, NOON + 130)
    ledger.tick(NOON + 183)
    ledger.close(NOON + 184)
    former, present = of_installations(payloads(tmp_path))
    assert [p["start"] for p in former] == [NOON + 60 * n for n in range(61)]
    assert [(p["start"], p["seq"], cars(p), cars(p, "totals")) for p in present] == [
        (NOON + 60, 1, 1, 1),
        (NOON + 120, 2, 1, 2),
    ]
    assert ledger.late_crossings == 0
    again = open_ledger(tmp_path)
    assert (again.installation, cars(again.open[0]), again.open[0].start) == (ledger.installation, 0, NOON + 180)
    again.close(NOON + 185)


def test_a_kill_after_a_step_back_loses_no_crossing(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "state")
    count(ledger, NOON + 3590)
    ledger.tick(NOON + 3603)
    count(ledger, NOON + 3604, 2)
    ledger.set_clock(NOON + 100)
    count(ledger, NOON + 101, 3)
    shutil.copytree(tmp_path / "state", tmp_path / "killed")
    ledger.close(NOON + 102)
    after = open_ledger(tmp_path / "killed")
    assert [(i.start, cars(i)) for i in after.open] == [(NOON + 60, 3)]
    assert [cars(p) for p in payloads(tmp_path / "killed")] == [1, 2]
    after.close(NOON + 103)


def of_installations(found: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Return the intervals of each installation, in the order of their first one."""
    return [[p for p in found if p["installation"] == one] for one in dict.fromkeys(p["installation"] for p in found)]


def test_another_name_of_site_or_device_is_another_installation(tmp_path: Path) -> None:
    known = []
    for names in (("delft", "cam-1"), ("delft", "cam-1"), ("delft", "cam-2"), ("leiden", "cam-2")):
        ledger = open_ledger(tmp_path, names=names)
        known.append(ledger.installation)
        ledger.close(NOON)
    assert known[0] == known[1]
    assert len(set(known)) == 3


@pytest.mark.parametrize("config", ["c", "another"])
@pytest.mark.parametrize("stopped_early", [False, True])
@pytest.mark.parametrize(
    ("seconds_off", "end"), [(1.3, 80), (0.2, 79), (70.0, 120), (-1.6, 77), (-17.9, 61), (-20.0, 61), (-7200.0, 120)]
)
@pytest.mark.parametrize("names", [("delft", "cam-2"), ("leiden", "cam-1")])
def test_what_a_former_name_has_left_open_goes_out_under_that_name(
    tmp_path: Path, config: str, stopped_early: bool, seconds_off: float, end: int, names: tuple[str, str]
) -> None:
    """The clock at the restart may be ahead of the former run, or behind it."""
    former = open_named(tmp_path, ("delft", "cam-1"), "c")
    count(former, NOON + 30, 2)
    former.tick(NOON + 63)
    count(former, NOON + 78.9, 3)
    former.close(NOON + 78.9)
    now = NOON + 78.9 + seconds_off
    for n in range(1 + stopped_early):
        present = open_named(tmp_path, names, config)
        if n == 0 and stopped_early:
            present.close(now)
    count(present, now + 0.1, 4)
    present.close(now + 1)
    told = payloads(tmp_path)
    assert [(p["site"], p["device"], p["installation"], p["seq"], cars(p), cars(p, "totals")) for p in told] == [
        ("delft", "cam-1", former.installation, 1, 2, 2),
        ("delft", "cam-1", former.installation, 2, 3, 5),
    ]
    assert told[1]["start"] == rfc3339(NOON + 60)
    assert told[1]["end"] == rfc3339(NOON + end)
    assert sum(map(cars, present.open)) == 4
    assert seconds_off < -18.9 or min(i.start for i in present.open) >= NOON + end
    again = open_named(tmp_path, names, config)
    assert (again.installation, sum(map(cars, again.open))) == (present.installation, 4)
    assert [state.seq for state in on_disk(tmp_path, tmp_path / "copy").lines] == [0]
    again.close(now + 2)


def open_named(folder: Path, names: tuple[str, str], config: str) -> Ledger:
    encode = partial(encode_counts, replace(DEVICE, site=names[0], device=names[1]))
    return Ledger(folder, ["north"], Counting(CLASSES, 60.0, config), "b", encode, names=names, clock=lambda: 0.0)


@pytest.mark.parametrize("renames", [1, 3])
def test_intervals_closed_in_the_save_that_begins_an_installation_are_of_that_installation(
    tmp_path: Path, renames: int
) -> None:
    """Each start finds an open interval that is long over, under another name than the one before."""
    lines, at, ledgers = ("north", "south"), NOON, []
    for number in range(renames + 1):
        ledger = open_ledger(tmp_path, lines, names=("delft", f"cam-{number}"), boot=f"b{number}")
        ledger.tick(at)
        count(ledger, at + 1)
        ledger.tick(at + 63)
        count(ledger, at + 64)
        assert ledger.problem == ""
        ledgers.append(ledger)
        ledger.close(at + 65)
        at += 300.0
    with closing(Outbox(tmp_path)) as outbox:
        waiting = outbox.pending()
        own = [outbox.is_own(ledger.installation, "delft", f"cam-{number}") for number, ledger in enumerate(ledgers)]
    assert all(own)
    for outgoing in waiting:
        told = json.loads(outgoing.payload)
        row = (outgoing.line, outgoing.installation, outgoing.seq)
        assert row == (told["line"], told["installation"], told["seq"])
    assert len({outgoing.installation for outgoing in waiting}) == renames + 1


def test_totals_name_every_class_counted_under_the_installation(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    ledger.record(NOON + 1, [crossing(NOON + 1, label="motorcycle")], 0)
    ledger.tick(NOON + 63)
    ledger.close(NOON + 63)
    other = Ledger(tmp_path, ["north"], Counting(["car"], 60.0), "b2", encode)
    other.tick(NOON + 123)
    other.close(NOON + 123)
    assert payloads(tmp_path)[-1]["totals"]["motorcycle"]["left_to_right"] == 1


def test_a_restart_with_another_configuration_keeps_the_old_one_for_what_it_counted(tmp_path: Path) -> None:
    first = open_ledger(tmp_path, config="a")
    count(first, NOON + 1, 2)
    first.close(NOON + 2)
    second = open_ledger(tmp_path, config="b", interval_s=10.0)
    count(second, NOON + 31.5, 3)
    second.tick(NOON + 43)
    second.close(NOON + 43)
    found = [(p["start"], p["end"], p["config"], cars(p), p["seq"]) for p in payloads(tmp_path)]
    assert found == [(NOON, NOON + 32, "a", 5, 1), (NOON + 32, NOON + 40, "b", 0, 2)]
    assert list(payloads(tmp_path)[0]["counts"]) == ["car", "motorcycle"]


def test_a_full_outbox_drops_the_oldest_and_counts_it_over_restarts(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path, capacity=3)
    outbox = Outbox(tmp_path)
    for n in range(5):
        count(ledger, NOON + 60 * n + 1)
        ledger.tick(NOON + 60 * n + 63)
    assert [p["seq"] for p in payloads(tmp_path)] == [3, 4, 5]
    assert (len(outbox), outbox.dropped, ledger.dropped) == (3, 2, 2)
    assert cars(payloads(tmp_path)[-1], "totals") == 5
    ledger.close(NOON + 400)
    reopened = open_ledger(tmp_path, capacity=3)
    assert reopened.dropped == 2
    reopened.close(NOON + 401)
    outbox.close()


def test_a_power_cut_loses_only_crossings_after_the_last_sync(tmp_path: Path) -> None:
    state, cut = tmp_path / "state", tmp_path / "cut"
    ledger = open_ledger(state)
    count(ledger, NOON + 0.0)  # synced at once, since the last sync is more than a second ago
    for n in range(1, 10):
        count(ledger, NOON + n / 10)
    ledger.tick(NOON + 1.0)
    synced = (state / f"{FILE}-wal").stat().st_size
    for n in range(11, 15):
        count(ledger, NOON + n / 10)
    shutil.copytree(state, cut)
    assert (cut / f"{FILE}-wal").stat().st_size > synced
    os.truncate(cut / f"{FILE}-wal", synced)
    ledger.close(NOON + 2)
    after = open_ledger(cut)
    assert [cars(interval) for interval in after.open] == [10]
    assert after.warnings == ()
    after.close(NOON + 3)


def test_a_tick_without_frames_syncs_the_crossings_before_it(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    wal = tmp_path / f"{FILE}-wal"
    count(ledger, NOON)
    count(ledger, NOON + 0.1)
    sizes = []
    for at in (0.2, 1.1, 2.2):
        ledger.tick(NOON + at)
        sizes.append(wal.stat().st_size)
    assert sizes[0] < sizes[1] == sizes[2], "a commit that changes no page would sync nothing"
    ledger.close(NOON + 3)


def test_an_interval_open_at_a_kill_is_not_skipped_even_without_frames(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "state")
    ledger.tick(NOON + 30)
    ledger.tick(NOON + 61)
    shutil.copytree(tmp_path / "state", tmp_path / "killed")
    ledger.close(NOON + 62)
    after = open_ledger(tmp_path / "killed")
    after.tick(NOON + 3600)
    after.close(NOON + 3600)
    assert [(p["start"], p["coverage"]) for p in payloads(tmp_path / "killed")] == [(NOON, 0.0), (NOON + 60, 0.0)]


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace, which shows the syncs, is not installed")
def test_there_is_one_sync_a_second_with_traffic_and_none_without(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.support.ledger_cases import *\n"
        "ledger = open_ledger(Path(sys.argv[1])); busy = sys.argv[2] == 'busy'\n"
        "for n in range(400):\n"
        "    ledger.record(NOON + n / 10, [crossing(NOON + n / 10)] if busy and n % 3 == 0 else [], 0)\n"
        "    ledger.tick(NOON + n / 10)\n"
    )
    syncs = {}
    for traffic in ("busy", "empty"):
        trace = tmp_path / f"{traffic}.strace"
        command = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync", "-o", str(trace)]
        command += [sys.executable, "-c", script, str(tmp_path / traffic), traffic]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if run.returncode and "ptrace" in run.stderr:
            pytest.skip("strace may not trace here")
        assert run.returncode == 0, run.stderr
        syncs[traffic] = trace.read_text().count(f"{FILE}-wal")
    assert syncs["empty"] <= 4, "only to create the file"
    assert 38 <= syncs["busy"] - syncs["empty"] <= 42, "40 s of traffic"


def test_a_second_instance_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    with pytest.raises(StoreError, match=rf"used by another process \(pid {os.getpid()}\)"):
        open_ledger(tmp_path)
    ledger.close(NOON)
    open_ledger(tmp_path).close(NOON)


def test_a_crossing_of_an_unknown_line_raises(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path)
    with pytest.raises(ValueError, match="west"):
        ledger.record(NOON, [crossing(NOON, "west")], 0)
    ledger.close(NOON)


@settings(deadline=None, max_examples=15)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.2, 0.9, 1.4, 30.0, 61.0, 300.0, -20.0, -500.0]),
            st.integers(0, 2),
            st.sampled_from(["go on", "go on", "go on", "stop", "power off"]),
        ),
        max_size=25,
    )
)
def test_every_crossing_is_in_one_interval_however_runs_end_and_the_clock_steps(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[float, int, str]]
) -> None:
    folder = tmp_path_factory.mktemp("state")
    ledger, now, given_crossings = open_ledger(folder), NOON, 0
    for after, vehicles, then in script:
        now += after
        count(ledger, now, vehicles)
        given_crossings += vehicles
        ledger.tick(now)
        if then != "go on":
            ledger, folder = restart(ledger, folder, now, clean=then == "stop")
    closed = payloads(folder)
    assert sum(map(cars, closed)) + sum(map(cars, ledger.open)) == given_crossings
    assert all(0 <= p["coverage"] <= 1 for p in closed)
    for found in of_installations(closed):
        assert [p["seq"] for p in found] == list(range(1, len(found) + 1))
        assert all(before["end"] <= after["start"] for before, after in itertools.pairwise(found))
        assert all(cars(p, "totals") == sum(map(cars, found[: n + 1])) for n, p in enumerate(found))
    ledger.close(now)


def restart(ledger: Ledger, folder: Path, now: float, *, clean: bool) -> tuple[Ledger, Path]:
    """Open a new ledger on the files: as a stop leaves them, or a copy taken while the old one still runs."""
    if clean:
        ledger.close(now)
        return open_ledger(folder), folder
    copy = folder.with_name(folder.name + "x")
    shutil.copytree(folder, copy)
    ledger.close(now)
    return open_ledger(copy), copy
