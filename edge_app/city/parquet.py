"""Write tables of counts as Parquet. The only file that imports DuckDB."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import duckdb

from edge_app.city.records import COLUMNS
from edge_app.offline.bins import csv_text

TYPES: Final[Mapping[str, str]] = {
    "site": "VARCHAR",
    "start": "TIMESTAMPTZ",
    "end": "TIMESTAMPTZ",
    "covered": "DOUBLE",
    "flagged": "DOUBLE",
    **dict.fromkeys(COLUMNS, "BIGINT"),
    "vehicles": "BIGINT",
}
"""Columns of a table of counts: those of its CSV file, with their types in SQL."""


def write_parquet(parts: Iterable[Iterable[Sequence[str | int | float]]], file: Path) -> None:
    """Write rows of the columns TYPES into a Parquet file, compressed by zstd.

    parts: rows part by part; only one of them is in memory at a time. Raises OSError: when it cannot be written.
    """
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 1,
        "memory_limit": "400MB",
        "autoinstall_known_extensions": False,
    }
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="", suffix=".csv") as text:
        text.write(csv_text([], tuple(TYPES)))
        for part in parts:
            text.write(csv_text(part, tuple(TYPES)).partition("\r\n")[2])
        text.flush()
        with duckdb.connect(config=settings) as connection:
            rows = connection.read_csv(text.name, header=True, columns=dict(TYPES))
            try:
                rows.write_parquet(str(file), compression="zstd")
            except duckdb.IOException as error:
                raise OSError(str(error).splitlines()[0]) from None
