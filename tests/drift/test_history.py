"""Hours on disk: half a line is skipped and counted, old months go."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from edge_app.drift.history import Anew, HourHistory
from edge_app.drift.signals import Hour

HOUR = Hour(739_951, 34, {"sharpness": 0.81, "vehicles": 120.0}, {"vehicles": 121.0})
AT = datetime(2026, 11, 29, 10, tzinfo=timezone.utc).timestamp()


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    history = HourHistory(tmp_path / "drift")
    history.add(AT, Anew("setting 1"))
    history.add(AT, HOUR)
    assert list(HourHistory(tmp_path / "drift").read()) == [Anew("setting 1"), HOUR]


def test_half_a_line_of_a_power_cut_costs_one_hour(tmp_path: Path) -> None:
    history = HourHistory(tmp_path)
    history.add(AT, HOUR)
    with (tmp_path / "2026-11.jsonl").open("a") as file:
        file.write('{"day": 7399')
    history.add(AT + 3600, HOUR)
    again = HourHistory(tmp_path)
    assert (list(again.read()), again.skipped) == ([HOUR, HOUR], 1)


def test_a_folder_of_no_meaning_is_read_as_nothing(tmp_path: Path) -> None:
    (tmp_path / "2026-10.jsonl").write_bytes(b'\xff\n[]\n{"day": 1, "slot": 900, "values": {}, "weights": {}}\nnull\n')
    history = HourHistory(tmp_path)
    assert (list(history.read()), history.skipped) == ([], 4)


def test_thirteen_whole_months_stay(tmp_path: Path) -> None:
    history = HourHistory(tmp_path)
    for month in range(20):
        at = datetime(2026 + month // 12, month % 12 + 1, 15, tzinfo=timezone.utc).timestamp()
        history.add(at, HOUR)
    files = sorted(file.name for file in tmp_path.iterdir())
    assert (len(files), files[0], files[-1]) == (14, "2026-07.jsonl", "2027-08.jsonl")
