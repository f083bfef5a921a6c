"""Hours on disk: half a line is skipped and counted, old months go."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

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


@pytest.mark.parametrize(
    "line",
    [
        '{"day": Infinity, "slot": 1, "values": {}, "weights": {}}',
        '{"day": -5, "slot": 1, "values": {}, "weights": {}}',
        '{"day": 3652060, "slot": 1, "values": {}, "weights": {}}',  # after the year 9999
        '{"day": 739951, "slot": 1, "values": {"sharpness": NaN}, "weights": {}}',
        '{"day": 739951, "slot": 1, "values": {"sharpness": Infinity}, "weights": {}}',
        '{"day": 739951, "slot": 1, "values": {"sharpness": -1}, "weights": {}}',
        '{"day": 739951, "slot": 1, "values": {"score": 0.5}, "weights": {"score": NaN}}',
        '{"day": 739951, "slot": 1, "values": {"score": 0.5}, "weights": {"score": -3}}',
        '{"day": 739951, "slot": 1, "values": {"score": 0.5}, "weights": {"score": 0}}',
        f'{{"day": 739951, "slot": 1, "values": {{"score": 1{"0" * 400}}}, "weights": {{}}}}',
        "[" * 100_000,
    ],
)
def test_numbers_that_no_hour_has_are_damage(tmp_path: Path, line: str) -> None:
    (tmp_path / "2026-10.jsonl").write_text(f"{line}\n")
    history = HourHistory(tmp_path)
    assert (list(history.read()), history.skipped) == ([], 1)


def test_of_a_file_that_no_device_has_written_only_the_begin_is_read(tmp_path: Path) -> None:
    HourHistory(tmp_path).add(AT, HOUR)
    with (tmp_path / "2026-11.jsonl").open("a") as file:
        file.write(f"{0:300}\n" * 10_000)
    history = HourHistory(tmp_path)
    assert list(history.read()) == [HOUR]
    assert 0 < history.skipped < 8_000


def test_what_was_learnt_anew_is_known_when_its_own_month_is_gone(tmp_path: Path) -> None:
    history = HourHistory(tmp_path)
    history.add(AT, Anew("setting 1"))
    for month in range(1, 20):
        history = history if month % 2 else HourHistory(tmp_path)  # a device starts again now and then
        list(history.read())
        history.add(datetime(2026 + month // 12, month % 12 + 1, 15, tzinfo=timezone.utc).timestamp(), HOUR)
    assert list(HourHistory(tmp_path).read()) == [Anew("setting 1"), *[HOUR] * 14]


def test_what_was_learnt_anew_while_the_disk_was_full_is_written_with_the_next_hour(tmp_path: Path) -> None:
    history = HourHistory(tmp_path / "drift")
    history.add(AT, Anew("setting 1"))
    (tmp_path / "drift").rename(tmp_path / "away")
    (tmp_path / "drift").write_text("a file in its place")
    with pytest.raises(OSError, match="File exists"):
        history.add(AT, Anew("setting 2"))
    (tmp_path / "drift").unlink()
    (tmp_path / "away").rename(tmp_path / "drift")
    history.add(AT, HOUR)
    assert list(HourHistory(tmp_path / "drift").read()) == [Anew("setting 1"), Anew("setting 2"), HOUR]


def test_months_of_a_clock_that_was_ahead_do_not_outlive_what_is_learnt_anew(tmp_path: Path) -> None:
    history = HourHistory(tmp_path)
    history.add(datetime(2099, 5, 1, tzinfo=timezone.utc).timestamp(), Anew("setting 1"))
    history.add(datetime(2099, 5, 1, tzinfo=timezone.utc).timestamp(), HOUR)
    history.add(AT, Anew("setting 2"))
    history.add(AT, HOUR)
    assert list(HourHistory(tmp_path).read()) == [Anew("setting 2"), HOUR]
