"""Answer tables of counts and of intervals as CSV and Parquet files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from fastapi import Response

from edge_app.city.count_tables import Row, Table
from edge_app.city.database.reading import Site
from edge_app.city.parquet import write_parquet
from edge_app.offline.bins import csv_text

_PARQUET: Final = "application/vnd.apache.parquet"
AS_CSV: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
AS_PARQUET: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {_PARQUET: {"schema": {"type": "string", "format": "binary"}}}}
}


def csv_answer(name: str, table: Table, rows: Iterable[Row]) -> Response:
    """Return a table as CSV. name: of the file, without its ending."""
    text = csv_text(rows, tuple(table.columns))
    return Response(text, media_type="text/csv; charset=utf-8", headers=attachment(f"{name}.csv"))


def parquet_answer(name: str, table: Table, rows: Iterable[Row]) -> Response:
    """Return a table as Parquet. name: of the file, without its ending."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "table.parquet"
        write_parquet([rows], table.columns, file)
        content = file.read_bytes()
    return Response(content, media_type=_PARQUET, headers=attachment(f"{name}.parquet"))


def file_name(site: Site, tz: ZoneInfo, begin: datetime, end: datetime, what: str) -> str:
    """Return a name with the first and the last day in a zone, without its ending. what: the step, or `intervals`."""
    first, last = (at.astimezone(tz).date() for at in (begin, end - timedelta(seconds=1)))
    return f"{site.row.id}-{first}{'' if last == first else f'-{last}'}-{what}"


def attachment(name: str) -> dict[str, str]:
    """Return the header that has a browser save an answer under a name."""
    return {"content-disposition": f'attachment; filename="{name}"'}
