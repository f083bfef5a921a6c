"""Tables of the city's database, for PostgreSQL and for SQLite. Times are whole UTC seconds since 1970.

The wide row of an interval is kept short, since there is one a minute for each line: names, hashes and flags that
repeat are in tables of their own, and the primary key is the only index. What would need a further index is kept beside
the line or the series: which time and which numbers have come.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    JSON,
    REAL,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    false,
)

from edge_app.city.records import COLUMNS

METADATA: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_uq",
        "fk": "%(table_name)s_%(column_0_name)s_fk",
    }
)

LINE: Final = Table(
    "counting_line",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("topic_site", Text, nullable=False),
    Column("device", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("told", JSON, nullable=False, comment="spans of time that have come, merged"),
    Column("longest_s", Integer, nullable=False, comment="longest interval so far"),
    UniqueConstraint("topic_site", "device", "name"),
    comment="counting lines as devices name them",
)
SERIES: Final = Table(
    "series",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("line_id", Integer, ForeignKey("counting_line.id"), nullable=False),
    Column("installation", String(8), nullable=False),
    Column("ranges", JSON, nullable=False, comment="unbroken numbers with the totals before and after"),
    Column("newest_told", BigInteger, nullable=False, default=0, comment="by health or ping"),
    Column("gone", JSON, nullable=False, comment="numbers that will never come: first, last, reason"),
    Column("begins", BigInteger, comment="start of its earliest interval; null before the first"),
    UniqueConstraint("line_id", "installation"),
    comment="a line under one installation: numbers from 1 without gaps",
)
CLOSED_GAP: Final = Table(
    "closed_gap",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("line_id", Integer, ForeignKey("counting_line.id"), nullable=False),
    Column("installation", String(8), nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("lost", BigInteger, nullable=False, comment="numbers of it that will never come"),
    Column("asked", BigInteger, nullable=False, comment="when its device was asked first"),
    Column("closed", BigInteger, nullable=False),
    comment="gaps of the last days that have closed after they were asked for",
)
SETTINGS: Final = Table(
    "settings",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("model", Text, nullable=False),
    Column("config", Text, nullable=False),
    Column("boot_id", Text, nullable=False),
    Column("interval_s", Float, nullable=False),
    Column("flags", Text, nullable=False),
    UniqueConstraint("model", "config", "boot_id", "interval_s", "flags"),
    comment="under what intervals were counted, and their quality flags",
)
INTERVAL: Final = Table(
    "counts",
    METADATA,
    Column("line_id", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("arrived_ms", BigInteger, nullable=False),
    Column("series_id", Integer, nullable=False),
    Column("settings_id", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("length_s", Integer, nullable=False),
    Column("frames", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
    Column("coverage", REAL, nullable=False),
    *(Column(name, Integer, nullable=False) for name in COLUMNS),
    Column("aside", Boolean, nullable=False, default=False),
    Column("others", Text, comment="classes that the city does not know, JSON"),
    comment="closed intervals, one content for each id",
    postgresql_partition_by="RANGE (start)",
)
MEASURE: Final = Table(
    "measure",
    METADATA,
    Column("line_id", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("id", Uuid, primary_key=True),
    Column("content", Text, nullable=False, comment="speed, headway and so on, or flows, as they came"),
    comment="measures of the intervals that have some",
)
ARCHIVED: Final = Table(
    "archived",
    METADATA,
    Column("day", BigInteger, primary_key=True, comment="its first second, UTC"),
    Column("part", Integer, primary_key=True, comment="of the lines: a thousand by their keys"),
    Column("name", Text, nullable=False, comment="of the file, empty before the first"),
    Column("intervals", BigInteger, nullable=False),
    Column("vehicles", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("sha256", String(64), nullable=False),
    Column("judged", BigInteger, nullable=False, comment="when the file was compared with its hash"),
    Column("problem", Text, nullable=False, comment="missing, damaged, or empty"),
    Column("moving", Text, nullable=False, comment="file that is being made; empty, when an interval has come since"),
    comment="files of the archive, which hold the intervals of days that have left this database",
)
LOST: Final = Table(
    "lost_file",
    METADATA,
    Column("name", Text, primary_key=True, comment="of the file, below the archive's folder"),
    Column("day", BigInteger, nullable=False, comment="its first second, UTC"),
    Column("part", Integer, nullable=False, comment="of the lines: a thousand by their keys"),
    Column("intervals", BigInteger, nullable=False),
    Column("vehicles", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("sha256", String(64), nullable=False),
    Column("reason", Text, nullable=False, comment="why it is lost, for people"),
    Column("who", Text, nullable=False, comment="who has said so"),
    Column("at", BigInteger, nullable=False, comment="when"),
    comment="files of the archive that are lost for good",
)
CONTRADICTION: Final = Table(
    "contradiction",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("line_id", Integer, ForeignKey("counting_line.id"), nullable=False),
    Column("kind", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("found", BigInteger, nullable=False),
    UniqueConstraint("line_id", "kind", "start", "what"),
    comment="what does not fit in what a line has sent",
)
POISON: Final = Table(
    "poison",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("payload", Text, nullable=False, comment="its first 16,384 characters"),
    Column("reason", Text, nullable=False),
    Column("arrived", BigInteger, nullable=False),
    comment="messages that no device of the contract sends",
)
_SUMS: Final = (
    ("length_s", "of the intervals that begin in it"),
    ("straddling_s", "of those intervals, beyond its end"),
    ("intervals", "that begin in it"),
    ("flagged_s", "of them, with a quality flag"),
)
_DOUBTFUL: Final = "crossings of which the detector is unsure"


def _sums() -> list[Column[int]]:
    return [Column(name, Integer, nullable=False, comment=what) for name, what in _SUMS]


QUARTER: Final = Table(
    "quarter",
    METADATA,
    Column("line_id", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("covered_s", Float, nullable=False),
    *_sums(),
    Column("doubtful", Integer, nullable=False, default=0, server_default="0", comment=_DOUBTFUL),
    *(Column(name, Integer, nullable=False) for name in COLUMNS),
    Column("flags", JSON, nullable=False, comment="seconds by flag"),
    Column("settings", JSON, nullable=False, comment="model and config of its intervals, without repetition"),
    comment="quarters of an hour of each line",
)
DIRTY: Final = Table(
    "dirty",
    METADATA,
    Column("line_id", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    comment="quarters that have changed since they were added up",
)
SITE: Final = Table(
    "site",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("road", Text, nullable=False),
    Column("lat", Float),
    Column("lon", Float),
    Column("time_zone", Text, nullable=False),
    Column("left_name", Text, nullable=False),
    Column("left_bearing", SmallInteger),
    Column("right_name", Text, nullable=False),
    Column("right_bearing", SmallInteger),
    Column("lanes", SmallInteger),
    Column("public", Boolean, nullable=False, default=False),
    Column("by_hand", Boolean, nullable=False, default=False, comment="edited here: devices do not change it any more"),
    Column("course", JSON(none_as_null=True), comment="points of its road, degrees east and north; null: not known"),
    comment="places at roads where vehicles are counted",
)
ATTACHMENT: Final = Table(
    "attachment",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("site_id", Text, ForeignKey("site.id"), nullable=False),
    Column("line_id", Integer, ForeignKey("counting_line.id"), nullable=False),
    Column("begins", BigInteger, nullable=False),
    Column("ends", BigInteger, comment="null: until now"),
    Column(
        "turned", Boolean, nullable=False, default=False, comment="the line's left to right is the site's other way"
    ),
    Column(
        "breaks",
        Boolean,
        nullable=False,
        default=False,
        server_default=false(),
        comment="counts before its begin cannot be compared with those after",
    ),
    Column("reason", Text, nullable=False, default="", server_default="", comment="why it was attached, for people"),
    comment="from when to when a line counts at a site",
)
STEP: Final = Table(
    "step",
    METADATA,
    Column("site_id", Text, primary_key=True),
    Column("step", String(5), primary_key=True, comment="hour, day or month of the site's own time"),
    Column("start", BigInteger, primary_key=True),
    Column("length_s", Integer, nullable=False),
    Column("covered_s", Float, nullable=False),
    Column("flagged_s", Integer, nullable=False),
    Column("straddling_s", Integer, nullable=False),
    Column("doubtful", BigInteger, nullable=False, default=0, server_default="0", comment=_DOUBTFUL),
    *(Column(name, BigInteger, nullable=False) for name in COLUMNS),
    comment="sums of each site over steps of its local time",
)
DEVICE: Final = Table(
    "device",
    METADATA,
    Column("topic_site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("state", Text, nullable=False),
    Column("heard", BigInteger, nullable=False, comment="when its last message came"),
    Column("version", Text, nullable=False),
    Column("contract", Text, nullable=False),
    Column("health", JSON, nullable=False, comment="its last health message"),
    Column("meta", JSON, nullable=False, comment="its last meta message"),
    comment="devices and what they last said of themselves",
)
FIGURE: Final = Table(
    "figure",
    METADATA,
    Column("topic_site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("content", JSON, nullable=False, comment="as health told it"),
    comment="figures of devices by quarter of an hour, of the last weeks",
)
REVIEW: Final = Table(
    "review",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("line_id", Integer, ForeignKey("counting_line.id"), nullable=False),
    Column("at", BigInteger, nullable=False, comment="when the vehicle crossed the line"),
    Column("arrived", BigInteger, nullable=False),
    Column("label", Text, nullable=False, comment="class that was counted"),
    Column("direction", Text, nullable=False),
    Column("score", REAL, nullable=False),
    Column("doubtful", Boolean, nullable=False),
    Column("stands_for", Integer, nullable=False, comment="crossings of its kind that it was drawn from"),
    Column("model", Text, nullable=False),
    Column("box", JSON, nullable=False, comment="of the vehicle: x0, y0, x1, y1 px of the picture"),
    Column("picture", LargeBinary, comment="JPEG; null when its time is over"),
    Column("answer", Text, comment="class, none, unclear; null before"),
    Column("who", Text),
    Column("answered", BigInteger),
    comment="pictures of crossings for people to say what they show, and what they have said",
)
CONFIG: Final = Table(
    "config",
    METADATA,
    Column("topic_site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("config", Text, primary_key=True),
    Column("content", JSON, nullable=False),
    comment="what was counted under each config, as meta/{config} told it",
)
AUDIT: Final = Table(
    "audit",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("change", JSON, nullable=False, comment="key of what was changed: value before and after"),
    comment="who has changed what",
)
ACCOUNT: Final = Table(
    "account",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("password", Text, nullable=False, comment="its hash"),
    Column("made", BigInteger, nullable=False),
    comment="users of the page",
)
LOGIN: Final = Table(
    "login",
    METADATA,
    Column("digest", Text, primary_key=True, comment="hash of its secret"),
    Column("account", Text, ForeignKey("account.name"), nullable=False),
    Column("csrf", Text, nullable=False),
    Column("began", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    comment="logins that may be valid",
)
TOKEN: Final = Table(
    "token",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("digest", Text, nullable=False, comment="hash of its secret"),
    Column("scope", Text, nullable=False),
    Column("made", BigInteger, nullable=False),
    Column("ends", BigInteger, comment="null: never"),
    UniqueConstraint("digest"),
    comment="tokens of programs",
)
