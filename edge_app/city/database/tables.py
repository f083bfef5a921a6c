"""Tables of the city's database, for PostgreSQL and for SQLite. Times are whole UTC seconds since 1970.

The wide row of an interval is kept short, since there is one a minute for each line: names, hashes and flags that
repeat are in tables of their own, and the primary key is the only index. What would need a further index is kept beside
the line or the series: which time and which numbers have come.

The office: the page's workers have no signing key. They insert an `office_order`, and the process with the key
(`edge-app fleet serve`, alive while `office_process.seen` is younger than a minute) carries it out. `args` of an order
by `kind`: config {"values": {key: value}, "unset": [key], "left": [key]}; restart {}; snapshot {"width", "lines"};
harvest {"enabled", "hours"}; pause, go_on, take_back {"why"}. `waiting` becomes `sent`, then `answered` or `refused`,
or `expired` where nobody answered. A picture of a snapshot is in `order_file`. Roll-outs are led by that process alone.
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
from edge_app.records import VEHICLES

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
ASKED_GAP: Final = Table(
    "asked_gap",
    METADATA,
    Column("series_id", Integer, primary_key=True, autoincrement=False),
    Column("first", BigInteger, primary_key=True),
    Column("last", BigInteger, nullable=False, comment="as it was when it was asked for first"),
    Column("reach", BigInteger, nullable=False, comment="highest number that was asked for"),
    Column("asked", BigInteger, nullable=False, comment="when its device was asked first"),
    Column("newest", BigInteger, nullable=False, comment="when it was asked last"),
    Column("again", BigInteger, nullable=False, comment="it is not asked again before"),
    Column("times", Integer, nullable=False, comment="how often it was asked"),
    comment="gaps that are asked for and have not closed; without foreign key, whose check waits for who stores",
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
LIVE_BATCH: Final = Table(
    "live_batch",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False, comment="when it was stored"),
    Column("content", Text, nullable=False, comment="its intervals as pages are told of them, JSON"),
    comment="batches of new intervals of the last minutes, for the pages that watch",
    sqlite_autoincrement=True,  # a number never comes again, also when all rows are gone
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
FORGOTTEN: Final = Table(
    "forgotten_contradictions",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("many", BigInteger, nullable=False),
    comment="how many contradictions were deleted, since only the newest are kept",
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
_LATE: Final = "of its intervals, that arrived later than their own length after their end"


def _sums() -> list[Column[int]]:
    return [Column(name, Integer, nullable=False, comment=what) for name, what in _SUMS]


QUARTER: Final = Table(
    "quarter",
    METADATA,
    Column("line_id", Integer, primary_key=True),
    Column("start", BigInteger, primary_key=True),
    Column("covered_s", Float, nullable=False),
    *_sums(),
    Column("late_s", Integer, nullable=False, default=0, server_default="0", comment=_LATE),
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
    Column("late_s", Integer, nullable=False, default=0, server_default="0", comment=_LATE),
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
    Column("desired", JSON(none_as_null=True), comment="what the office sets: revision, at, author, set, unset"),
    Column("reported", JSON(none_as_null=True), comment="its last config/reported message"),
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

COMPARABLE: Final = Table(
    "comparable_line",
    METADATA,
    Column("topic_site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("line", Text, primary_key=True),
    Column("drawn", Text, primary_key=True, comment="its two ends, x and y of each with four digits"),
    Column("who", Text, nullable=False, comment="who has said so"),
    Column("at", BigInteger, nullable=False),
    comment="lines that were moved so that counts before and after can be compared",
)
COMPARED: Final = Table(
    "compared_hour",
    METADATA,
    Column("model", String(12), primary_key=True, comment="the detector that counted beside"),
    Column("in_service", String(12), primary_key=True, comment="the detector whose counts are used"),
    Column("topic_site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("line", Text, primary_key=True),
    Column("installation", String(8), primary_key=True),
    Column("start", BigInteger, primary_key=True, comment="of the hour in which its intervals begin"),
    Column(
        "newest", BigInteger, nullable=False, comment="highest number of an interval in it: a repeated one adds none"
    ),
    *(Column(f"beside_{name}", Integer, nullable=False) for name in VEHICLES),
    *(Column(f"used_{name}", Integer, nullable=False) for name in VEHICLES),
    comment="vehicles of two detectors over the same frames, from shadow/LINE, by hour",
)
ROLLOUT: Final = Table(
    "rollout",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False, comment="for people, of no other roll-out"),
    Column("kind", Text, nullable=False, server_default="detector", comment="detector, or release of the program"),
    Column("candidate", String(64), nullable=False, comment="SHA-256 of the detector file, or of the archive"),
    Column("key", Text, nullable=False, comment="of the configuration, which is set to the candidate; of none: empty"),
    Column("bundle", JSON, nullable=False, comment="arguments of fetch or release: url, bytes, sha256 and so on"),
    Column("cascade", JSON, nullable=False, comment="shares, least, hours, longest_hours, failed"),
    Column("state", Text, nullable=False, comment="running, paused, taking_back, taken_back or done"),
    Column("group_no", Integer, nullable=False, comment="the present group, from 0"),
    Column("group_begins", JSON, nullable=False, comment="when each group began so far"),
    Column("since", BigInteger, nullable=False, comment="from when the hours of the present group count"),
    Column("why", Text, nullable=False, comment="one sentence on the newest change of state or group"),
    Column("who", Text, nullable=False, comment="who made it: a person, or rule"),
    Column("changed", BigInteger, nullable=False, comment="when that was"),
    Column("version", Integer, nullable=False, comment="raised by every change, so that none overwrites another"),
    Column("evidence", JSON, nullable=False, comment="what was counted, and what a group still lacks to pass"),
    UniqueConstraint("name"),
    comment="candidates that are given to the fleet, a group at a time",
)
ROLLOUT_DEVICE: Final = Table(
    "rollout_device",
    METADATA,
    Column("rollout_id", Integer, ForeignKey("rollout.id"), primary_key=True),
    Column("topic_site", Text, primary_key=True),
    Column("device", Text, primary_key=True),
    Column("group_no", Integer, nullable=False),
    Column("state", Text, nullable=False, comment="as MemberState of the program names them"),
    Column("reason", Text, nullable=False, comment="why it is so, or what it waits for; or empty"),
    Column("changed", BigInteger, nullable=False, comment="when its state did"),
    Column("fetched", Boolean, nullable=False, comment="the candidate lies on it"),
    Column("tries", Integer, nullable=False, comment="how often it was asked to fetch"),
    Column(
        "former",
        String(64),
        nullable=False,
        comment="SHA-256 of the detector, or version of the program before; empty: not known",
    ),
    Column(
        "before",
        JSON,
        nullable=False,
        comment="what the office set before: key -> value, null: the default; without what it left",
    ),
    Column("drifted", Boolean, nullable=False, comment="it told a drift before it got the candidate"),
    Column(
        "order_id", Text, nullable=False, server_default="", comment="of the newest command about a release, or empty"
    ),
    Column(
        "got", BigInteger, nullable=False, server_default="0", comment="when it had the candidate first; 0: not yet"
    ),
    Column(
        "follows", Text, nullable=False, server_default="", comment="first camera of its machine, or empty: it is asked"
    ),
    Column("usual", JSON(none_as_null=True), comment="its figures before it got the candidate; null: not known yet"),
    comment="devices of each roll-out",
)
ROLLOUT_EVENT: Final = Table(
    "rollout_event",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("rollout_id", Integer, ForeignKey("rollout.id"), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("who", Text, nullable=False, comment="a person, rule, or the device"),
    Column("what", Text, nullable=False, comment="as What of the program names them"),
    Column("subject", Text, nullable=False, comment="site/device for what happened to one, else empty"),
    Column("why", Text, nullable=False),
    comment="history of roll-outs",
)
ORDER: Final = Table(
    "office_order",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("who", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("kind", Text, nullable=False, comment="config, restart, snapshot, harvest, pause, go_on or take_back"),
    Column("subject", Text, nullable=False, comment="site/device, or the name of a roll-out"),
    Column("args", JSON, nullable=False, comment="what is asked, by kind"),
    Column("state", Text, nullable=False, comment="waiting, sent, answered, refused or expired"),
    Column("answer", Text, nullable=False, comment="one sentence for people, empty before"),
    Column("changed", BigInteger, nullable=False, comment="when its state did"),
    comment="what people ask of the office's process, which has the signing key",
)
ORDER_FILE: Final = Table(
    "order_file",
    METADATA,
    Column("order_id", Integer, ForeignKey("office_order.id"), primary_key=True),
    Column("name", Text, nullable=False),
    Column("content", LargeBinary, nullable=False),
    comment="what devices have sent for an order; it is kept for a day",
)
OFFICE: Final = Table(
    "office_process",
    METADATA,
    Column("id", Integer, primary_key=True, comment="always 1: there is one"),
    Column("holder", Text, nullable=False, comment="random name of the process; empty when none runs"),
    Column("beats", BigInteger, nullable=False, comment="rises while it runs"),
    Column("seen", BigInteger, nullable=False, comment="when it rose last"),
    Column("problem", Text, nullable=False, comment="one sentence on what it cannot do, empty when all is well"),
    comment="the process with the signing key: at most one at a time",
)
