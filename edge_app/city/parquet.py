"""Write tables of counts and days of intervals as Parquet, and read days back. The only file that imports DuckDB."""

from __future__ import annotations

import csv
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import duckdb

from edge_app.city.interval_columns import (
    ARRIVED,
    CONTENT,
    DICTIONARY,
    INTERVALS,
    KEY,
    MADE_ID,
    NAMES,
    NOTE,
    QUARTER,
    SAME_KEY,
    TEXTS,
    VEHICLES,
    WHOLE,
    merged,
    read_from,
)
from edge_app.city.records import COLUMNS, NONE, WORDS, Contradiction, Interval, Kept, LineName, Settings, Stretch


@dataclass(frozen=True, slots=True)
class Written:
    """What a file of intervals has. fresh: of `intervals`, those that were in no file before, with their vehicles.

    regained: line and start of quarters with intervals that were only in a file that nobody knew of. contradictions:
    between what is new and what was there.
    """

    intervals: int
    vehicles: int
    fresh: int
    fresh_vehicles: int
    regained: Sequence[tuple[LineName, int]]
    contradictions: Sequence[Contradiction]


_SETTINGS: Final[dict[str, str | bool | int | float | list[str]]] = {
    "threads": 1,
    "memory_limit": "400MB",
    "autoinstall_known_extensions": False,
}


@contextmanager
def _writing(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open DuckDB within the context. folder: for what does not fit into memory. Raises OSError."""
    with _explained(), duckdb.connect(config={**_SETTINGS, "temp_directory": str(folder)}) as connection:
        yield connection


@contextmanager
def _reading() -> Iterator[duckdb.DuckDBPyConnection]:
    """Yield a connection of one's own to the DuckDB for all who read. Raises OSError."""
    with _explained(), _for_all().cursor() as connection:
        yield connection


@lru_cache(1)
def _for_all() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config=_SETTINGS)  # to open one takes longer than most questions


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise OSError(str(error).splitlines()[0]) from None


def write_parquet(
    parts: Iterable[Iterable[Sequence[str | int | float]]], columns: Mapping[str, str], file: Path
) -> None:
    """Write rows into a Parquet file, compressed by zstd, which is there whole or not at all.

    parts: rows part by part; only one of them is in memory at a time. columns: of each row, with their types in SQL.
    file: beside it is room for the rows as text. Raises OSError: when it cannot be written.
    """
    file = file.resolve()
    with tempfile.TemporaryDirectory(prefix=".parquet-", dir=file.parent) as folder:
        text, draft = Path(folder, "rows.csv"), Path(folder, "rows.parquet")
        with text.open("w", encoding="utf-8", newline="") as rows:
            writer = csv.writer(rows, quoting=csv.QUOTE_NONNUMERIC)  # so that an empty text is no NULL
            for part in parts:
                writer.writerows(part)
        kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
        with _writing(Path(folder)) as connection:
            connection.execute(
                f"COPY (FROM read_csv($1, columns = {{{kinds}}}, auto_detect = false, header = false, delim = ',',"
                " quote = '\"', escape = '\"', allow_quoted_nulls = false))"
                f" TO '{_quoted(draft)}' (FORMAT parquet, COMPRESSION zstd)",
                [str(text)],
            )
        draft.replace(file)


def write_intervals(rows: Path, known: Path | None, strays: Sequence[Path], file: Path) -> Written:
    """Write intervals into a Parquet file, by line and start, read it back, and compare every value.

    rows: new ones, as CSV of the columns INTERVALS without a header; text is empty where there is none.
    known, strays: files that hold such intervals already, the second ones unknown to the database; of those that are in
    several one stays, the oldest file's. file: beside it is room for what does not fit into memory.
    Raises OSError: when something cannot be read or written, or is not what was to be written.
    """
    with _writing(file.parent) as connection:
        columns = ", ".join(f"'{name}': '{kind}'" for name, kind in INTERVALS.items())
        texts = ", ".join(f"coalesce({name}, '') AS {name}" for name in TEXTS)
        connection.execute(
            f"CREATE TABLE fresh AS SELECT * REPLACE ({texts}) FROM read_csv($1, columns = {{{columns}}},"
            " auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"')",
            [str(rows)],
        )
        for name, files in (("known", [known] if known else []), ("strays", strays)):
            connection.execute(f"CREATE TABLE {name} AS FROM fresh LIMIT 0")
            if files:
                connection.execute(
                    f"INSERT INTO {name} SELECT {NAMES} FROM (SELECT {read_from()})", [[str(one) for one in files]]
                )
        connection.execute(f"CREATE VIEW whole AS {merged()}" if known or strays else "CREATE VIEW whole AS FROM fresh")
        stored = f"* REPLACE (nullif(id, {MADE_ID.format(start='start')}) AS id, to_timestamp(start) AS start)"
        connection.execute(
            f"COPY (SELECT {stored} FROM whole ORDER BY {', '.join(KEY)}) TO '{_quoted(file)}'"
            f" (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 9, PARQUET_VERSION 'V2', WRITE_BLOOM_FILTER false,"
            f" DICTIONARY_SIZE_LIMIT {DICTIONARY}, KV_METADATA {{edge_app: '{NOTE}'}})"
        )
        meant = _one(connection, f"SELECT {WHOLE} FROM whole")
        found = _one(connection, f"SELECT {WHOLE} FROM (SELECT {read_from()})", [[str(file)]])
        if found != meant:
            raise OSError(f"{file.name} was written and reads otherwise")
        added = f"SELECT count(*), coalesce(sum({VEHICLES}), 0) FROM fresh"
        fresh, fresh_vehicles = _one(connection, added)
        return Written(
            intervals=int(meant[0]),
            vehicles=int(meant[1]),
            fresh=int(fresh),
            fresh_vehicles=int(fresh_vehicles),
            regained=_regained(connection),
            contradictions=_contradictions(connection) if known else (),
        )


def _quoted(file: Path) -> str:
    return str(file).replace("'", "''")


def read_intervals(file: Path, stretches: Sequence[Stretch]) -> list[Kept]:
    """Return the intervals of a file that begin within any of some stretches of time, in no order.

    Raises OSError: when it cannot be read.
    """
    if not stretches:
        return []
    names = ("site", "device", "line", "begin", "finish")
    wanted = ", ".join(
        f"unnest($wanted{at}::{'VARCHAR' if at < 3 else 'BIGINT'}[]) AS {name}" for at, name in enumerate(names)
    )
    values = [list(column) for column in zip(*((*one.name, one.start, one.end) for one in stretches), strict=True)]
    begin, finish = min(values[3]), max(values[4])
    # A file is sorted by these: what lies outside is not even unpacked.
    bounds = " AND ".join(f"{name} BETWEEN $least{at} AND $most{at}" for at, name in enumerate(names[:3]))
    question = f"""
        WITH wanted AS (SELECT {wanted}),
        chosen AS (FROM read_parquet($files) a WHERE start >= to_timestamp($begin) AND start < to_timestamp($finish)
            AND {bounds} AND EXISTS (FROM wanted b WHERE a.site = b.site AND a.device = b.device AND a.line = b.line
            AND a.start >= to_timestamp(b.begin) AND a.start < to_timestamp(b.finish)))
        SELECT {NAMES} FROM (SELECT {read_from("chosen")})
    """  # ids are made of what was chosen alone: they cost most
    given: dict[str, Any] = {f"wanted{at}": column for at, column in enumerate(values)}
    for at, column in enumerate(values[:3]):
        given |= {f"least{at}": min(column), f"most{at}": max(column)}
    with _reading() as connection:
        found = connection.execute(question, {**given, "files": [str(file)], "begin": begin, "finish": finish})
        return [_kept(dict(zip(INTERVALS, row, strict=True))) for row in found.fetchall()]


def quarters_of(file: Path) -> set[tuple[LineName, int]]:
    """Return line and start, UTC s, of the quarters that a file has intervals of.

    Raises OSError: when it is no file of intervals.
    """
    question = f"SELECT DISTINCT site, device, line, {QUARTER} FROM (SELECT {read_from()})"
    with _reading() as connection:
        rows = connection.execute(question, [[str(file)]]).fetchall()
        return {(LineName(*name), start) for *name, start in rows}


def has_all(file: Path, former: Path) -> bool:
    """Return whether a file has every interval of a former one. Raises OSError: when one of both cannot be read."""
    every = f"SELECT {read_from('read_parquet($2)')}"
    lacking = f"SELECT count(*) FROM (SELECT {read_from()}) a WHERE NOT EXISTS (FROM ({every}) b WHERE {SAME_KEY})"
    with _reading() as connection:
        return _one(connection, lacking, [[str(former)], [str(file)]]) == (0,)


def figures_of(file: Path) -> tuple[int, int]:
    """Return how many intervals a file has, and their vehicles. Raises OSError: when it cannot be read whole."""
    with _reading() as connection:
        many, vehicles, _ = _one(connection, f"SELECT {WHOLE} FROM (SELECT {read_from()})", [[str(file)]])
        return int(many), int(vehicles)


def _one(connection: duckdb.DuckDBPyConnection, question: str, given: Sequence[Any] = ()) -> tuple[Any, ...]:
    row = connection.execute(question, list(given)).fetchone()
    assert row is not None
    return row


def _regained(connection: duckdb.DuckDBPyConnection) -> list[tuple[LineName, int]]:
    nowhere = f"NOT EXISTS (FROM known b WHERE {SAME_KEY}) AND NOT EXISTS (FROM fresh b WHERE {SAME_KEY})"
    rows = connection.execute(f"SELECT DISTINCT site, device, line, {QUARTER} FROM strays a WHERE {nowhere}").fetchall()
    return [(LineName(*name), start) for *name, start in rows]


def _contradictions(connection: duckdb.DuckDBPyConnection) -> list[Contradiction]:
    """Return what does not fit between new intervals and those of the file.

    Mostly it was told when they came; not where the file could not be read then.
    """
    line = "a.site = b.site AND a.device = b.device AND a.line = b.line"
    content = " OR ".join(f"a.{name} IS DISTINCT FROM b.{name}" for name in CONTENT)
    stranger = f"NOT EXISTS (FROM known b WHERE {SAME_KEY})"
    earlier = f"(SELECT *, true AS first FROM known UNION ALL SELECT *, false FROM fresh) b WHERE (first OR {ARRIVED})"
    kinds = {
        "content": f"known b WHERE {SAME_KEY} AND ({content} OR abs(a.coverage - b.coverage) >= 1e-4)",
        "number": f"{earlier} AND {stranger} AND {line} AND a.seq = b.seq"
        " AND a.installation <> '' AND a.installation = b.installation",
        "overlap": f"{earlier} AND {stranger} AND {line} AND NOT a.aside AND NOT b.aside"
        " AND a.start < b.start + b.length_s AND b.start < a.start + a.length_s",
    }
    found = []
    for kind, meets in kinds.items():
        of_kind = f"SELECT site, device, line, seq, start, start + length_s FROM fresh a WHERE EXISTS (FROM {meets})"
        for *name, seq, start, end in connection.execute(of_kind).fetchall():
            found.append(Contradiction(kind, LineName(*name), WORDS[kind].format(seq), start, end))
    return found


def _kept(row: Mapping[str, Any]) -> Kept:
    end = row["start"] + row["length_s"]
    interval = Interval(
        id=row["id"],
        name=LineName(row["site"], row["device"], row["line"]),
        installation=row["installation"],
        seq=row["seq"],
        start=row["start"],
        end=end,
        counts=tuple(row[name] for name in COLUMNS),
        totals=NONE,
        coverage=row["coverage"],
        frames=row["frames"],
        dropped=row["dropped"],
        settings=Settings(row["model"], row["config"], row["boot_id"], row["interval_s"], row["flags"]),
        others=row["others"],
        measures=row["measures"],
        aside=row["aside"],
    )
    return Kept(interval, end * 1000 + row["delay_ms"])
