"""A file of intervals has every value, and an id only where a device would not make it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import duckdb
import pytest

from edge_app.city.interval_columns import INTERVALS
from edge_app.city.parquet import read_intervals, write_intervals
from edge_app.city.records import COLUMNS, NONE, Interval, LineName, Stretch
from edge_app.mqtt.identity import Device, interval_id
from tests.city.cases import NAME, START, series


def written(folder: Path, intervals: Sequence[Interval], name: str = "rows") -> Path:
    """Write intervals that came 3.25 s after their end as the database tells them."""
    file = folder / f"{name}.csv"
    with file.open("w", encoding="utf-8", newline="") as to:
        rows = csv.DictWriter(to, list(INTERVALS))
        for one in intervals:
            settings = {
                key: getattr(one.settings, key) for key in ("model", "config", "boot_id", "interval_s", "flags")
            }
            names = dict(zip(("site", "device", "line"), one.name, strict=True))
            own = {key: getattr(one, key) for key in INTERVALS if hasattr(one, key)}
            counts = dict(zip(COLUMNS, one.counts, strict=True))
            rows.writerow({**own, **names, **settings, **counts, "length_s": one.end - one.start, "delay_ms": 3250})
    return file


def of_a_device(length: float, name: LineName) -> list[Interval]:
    made = []
    for one in series(3, name=name, length=max(1, int(length))):
        device = Device(name.site, name.device, one.settings.boot_id, "")
        identity = interval_id(device, name.line, one.start, length, one.installation, one.settings.boot_id)
        made.append(
            replace(one, id=UUID(identity), totals=NONE, settings=replace(one.settings, interval_s=float(length)))
        )
    return made


def test_every_value_comes_back_and_the_id_of_a_device_takes_no_room(tmp_path: Path) -> None:
    regular = [
        one
        for n, length in enumerate((60, 10, 900, 86_400, 0.5))
        for one in of_a_device(length, NAME._replace(line=f"l{n}"))
    ]
    odd = replace(
        regular[0],
        id=uuid4(),
        name=NAME._replace(line="odd"),
        installation="",
        others='{"tram": {"left_to_right": 1}}',
        measures='{"a": "\\n,\\"\'"}',
        coverage=0.1234,
        aside=True,
        settings=replace(regular[0].settings, model='m "1", x', flags="blind,dark", config=""),
    )
    file = tmp_path / "it's.parquet"
    made = write_intervals(written(tmp_path, [odd, *regular]), None, [], file)
    assert (made.intervals, made.fresh, made.vehicles) == (16, 16, sum(sum(one.counts) for one in [odd, *regular]))
    ids = duckdb.read_parquet(str(file)).project("line, id").order("line").fetchall()
    assert [(line, key) for line, key in ids if key] == [("odd", odd.id)]
    stretches = [Stretch(NAME._replace(line=line), 0, 2**40) for line in ("odd", *(f"l{n}" for n in range(5)))]
    kept = read_intervals(file, stretches)
    by_start = {(one.name, one.start): one for one in (odd, *regular)}
    assert {(one.interval.name, one.interval.start): one.interval for one in kept} == by_start
    assert {one.arrived_ms - one.interval.end * 1000 for one in kept} == {3250}
    found = read_intervals(file, [Stretch(NAME._replace(line="l0"), START + 1, START + 61)])
    assert [one.interval for one in found] == [regular[1]]


def test_a_file_of_few_lines_has_nothing_that_no_reader_asks_for(tmp_path: Path) -> None:
    """Filters for single values were a sixth of a line's day."""
    file = tmp_path / "day.parquet"
    write_intervals(written(tmp_path, of_a_device(60, NAME)), None, [], file)
    with duckdb.connect() as connection:
        question = "SELECT count(*), count(bloom_filter_length) FROM parquet_metadata(?)"
        columns, filters = connection.execute(question, [str(file)]).fetchone() or (0, -1)
    assert columns > 20
    assert filters == 0


def test_what_is_no_file_of_intervals_is_refused(tmp_path: Path) -> None:
    (tmp_path / "none.parquet").write_bytes(b"PAR1")
    with pytest.raises(OSError, match="too small"):
        read_intervals(tmp_path / "none.parquet", [Stretch(NAME, 0, 2**40)])
    (tmp_path / "rows.csv").write_text("a,b\n")
    with pytest.raises(OSError, match="CSV Error"):
        write_intervals(tmp_path / "rows.csv", None, [], tmp_path / "new.parquet")
