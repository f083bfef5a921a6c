"""Columns of a file of intervals, and parts of questions about them, as SQL of DuckDB. Pure: text alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from edge_app.city.records import COLUMNS
from edge_app.city.sums import QUARTER_S

KEY: Final = ("site", "device", "line", "start", "id")
INTERVALS: Final[Mapping[str, str]] = {
    "site": "VARCHAR",
    "device": "VARCHAR",
    "line": "VARCHAR",
    "start": "BIGINT",
    "id": "UUID",
    "installation": "VARCHAR",
    "seq": "INTEGER",
    "length_s": "INTEGER",
    "delay_ms": "BIGINT",
    "coverage": "DOUBLE",
    "frames": "INTEGER",
    "dropped": "INTEGER",
    **dict.fromkeys(COLUMNS, "INTEGER"),
    "aside": "BOOLEAN",
    "others": "VARCHAR",
    "measures": "VARCHAR",
    "model": "VARCHAR",
    "config": "VARCHAR",
    "boot_id": "VARCHAR",
    "interval_s": "DOUBLE",
    "flags": "VARCHAR",
}
"""Columns of intervals, with their types in SQL. start: UTC s. delay_ms: from the end to the arrival. In a file `start`
is a time, and `id` is null where it is the one that a device makes."""
NAMES: Final = ", ".join(INTERVALS)
TEXTS: Final = tuple(name for name, kind in INTERVALS.items() if kind == "VARCHAR")
"""Columns of text, which is empty where there is none."""
SAME_KEY: Final = " AND ".join(f"a.{name} = b.{name}" for name in KEY)
"""Condition that `a` and `b` are one interval."""
ARRIVED: Final = " < ".join(f"({n}.start + {n}.length_s) * 1000 + {n}.delay_ms" for n in "ba")
"""Condition that `b` came before `a`."""
CONTENT: Final = tuple(name for name in INTERVALS if name not in (*KEY, "delay_ms", "aside", "coverage"))
"""What may not differ in one interval, beside its coverage, of which PostgreSQL keeps seven digits."""
VEHICLES: Final = " + ".join(COLUMNS)
QUARTER: Final = f"start - start % {QUARTER_S}"
"""Start of the quarter of an hour in which an interval begins, UTC s."""
# edge_app.mqtt.identity.interval_id in SQL. An id that it does not give is kept, so that nothing hangs on the rule.
MADE_ID: Final = """left(sha256(concat_ws('/', site, device, line,
    strftime(make_timestamp({start} * 1000000), '%Y-%m-%dT%H:%M:%SZ'),
    printf('%g', interval_s), installation, boot_id)), 32)::UUID"""
NOTE: Final = (
    "id where null: first 32 hexadecimal digits of SHA-256 of site/device/line/start/interval_s/installation/boot_id, "
    "start as 2026-11-29T09:11:00Z; delay_ms: from the end to the arrival"
)
DICTIONARY: Final = 1_200
"""Values of a column that a dictionary is made of: minutes of a day are more, and take less as differences."""
WHOLE: Final = f"count(*), coalesce(sum({VEHICLES}), 0), coalesce(bit_xor(hash({NAMES})), 0)"
"""What a table is compared by: how many intervals, their vehicles, and every value of every row."""


def read_from(source: str = "read_parquet($1)") -> str:
    """Return what selects the columns INTERVALS of what has those of some files. source: which."""
    start = "(epoch_us(start) // 1000000)"
    return f"* REPLACE (coalesce(id, {MADE_ID.format(start=start)}) AS id, {start} AS start) FROM {source}"


def merged() -> str:
    """Return the question for what is known, stray and fresh, each interval once."""
    rest = f"SELECT a.* FROM {{}} a WHERE NOT EXISTS (FROM known b WHERE {SAME_KEY})"
    return (
        f"FROM known UNION ALL SELECT DISTINCT ON ({', '.join(KEY)}) * FROM ({rest.format('strays')}) UNION ALL "
        f"{rest.format('fresh')} AND NOT EXISTS (FROM strays b WHERE {SAME_KEY})"
    )
