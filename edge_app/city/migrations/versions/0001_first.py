"""Make the tables of the first release.

Written out and never changed again: what a later release needs is a migration of its own, also where it reads alike.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_WAYS = ("left_to_right", "right_to_left")
_CLASSES = ("car", "motorcycle", "bus", "truck", "bicycle")


def _classes(kind: sa.types.TypeEngine[int]) -> list[sa.Column[int]]:
    return [sa.Column(f"{name}_{way}", kind, nullable=False) for name in _CLASSES for way in _WAYS]


def upgrade() -> None:
    op.create_table(
        "config",
        sa.Column("topic_site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("topic_site", "device", "config", name="config_pk"),
        comment="what was counted under each config, as meta/{config} told it",
    )
    op.create_table(
        "device",
        sa.Column("topic_site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("heard", sa.BigInteger(), nullable=False, comment="when its last message came"),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("contract", sa.Text(), nullable=False),
        sa.Column("health", sa.JSON(), nullable=False, comment="its last health message"),
        sa.Column("meta", sa.JSON(), nullable=False, comment="its last meta message"),
        sa.PrimaryKeyConstraint("topic_site", "device", name="device_pk"),
        comment="devices and what they last said of themselves",
    )
    op.create_table(
        "dirty",
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("line_id", "start", name="dirty_pk"),
        comment="quarters that have changed since they were added up",
    )
    op.create_table(
        "counts",
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("arrived_ms", sa.BigInteger(), nullable=False),
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("settings_id", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("length_s", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("dropped", sa.Integer(), nullable=False),
        sa.Column("coverage", sa.REAL(), nullable=False),
        *_classes(sa.Integer()),
        sa.Column("aside", sa.Boolean(), nullable=False),
        sa.Column("others", sa.Text(), nullable=True, comment="classes that the city does not know, JSON"),
        sa.PrimaryKeyConstraint("line_id", "start", "id", name="counts_pk"),
        comment="closed intervals, one content for each id",
        postgresql_partition_by="RANGE (start)",
    )
    op.create_table(
        "counting_line",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic_site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False, comment="spans of time that have come, merged"),
        sa.Column("longest_s", sa.Integer(), nullable=False, comment="longest interval so far"),
        sa.PrimaryKeyConstraint("id", name="counting_line_pk"),
        sa.UniqueConstraint("topic_site", "device", "name", name="counting_line_uq"),
        comment="counting lines as devices name them",
    )
    op.create_table(
        "measure",
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column(
            "content",
            sa.Text(),
            nullable=False,
            comment="speed, headway and so on, or flows, as they came",
        ),
        sa.PrimaryKeyConstraint("line_id", "start", "id", name="measure_pk"),
        comment="measures of the intervals that have some",
    )
    op.create_table(
        "poison",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False, comment="its first 16,384 characters"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="poison_pk"),
        comment="messages that no device of the contract sends",
    )
    op.create_table(
        "quarter",
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("covered_s", sa.Float(), nullable=False),
        sa.Column("length_s", sa.Integer(), nullable=False, comment="of the intervals that begin in it"),
        sa.Column("straddling_s", sa.Integer(), nullable=False, comment="of those intervals, beyond its end"),
        sa.Column("intervals", sa.Integer(), nullable=False, comment="that begin in it"),
        sa.Column("flagged_s", sa.Integer(), nullable=False, comment="of them, with a quality flag"),
        *_classes(sa.Integer()),
        sa.Column("flags", sa.JSON(), nullable=False, comment="seconds by flag"),
        sa.Column(
            "settings", sa.JSON(), nullable=False, comment="model and config of its intervals, without repetition"
        ),
        sa.PrimaryKeyConstraint("line_id", "start", name="quarter_pk"),
        comment="quarters of an hour of each line",
    )
    op.create_table(
        "settings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=False),
        sa.Column("interval_s", sa.Float(), nullable=False),
        sa.Column("flags", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="settings_pk"),
        sa.UniqueConstraint("model", "config", "boot_id", "interval_s", "flags", name="settings_uq"),
        comment="under what intervals were counted, and their quality flags",
    )
    op.create_table(
        "site",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("road", sa.Text(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=True),
        sa.Column("lon", sa.Float(), nullable=True),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("left_name", sa.Text(), nullable=False),
        sa.Column("left_bearing", sa.SmallInteger(), nullable=True),
        sa.Column("right_name", sa.Text(), nullable=False),
        sa.Column("right_bearing", sa.SmallInteger(), nullable=True),
        sa.Column("lanes", sa.SmallInteger(), nullable=True),
        sa.Column("public", sa.Boolean(), nullable=False),
        sa.Column("by_hand", sa.Boolean(), nullable=False, comment="edited here: devices do not change it any more"),
        sa.PrimaryKeyConstraint("id", name="site_pk"),
        comment="places at roads where vehicles are counted",
    )
    op.create_table(
        "step",
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("step", sa.String(length=5), nullable=False, comment="hour, day or month of the site's own time"),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("length_s", sa.Integer(), nullable=False),
        sa.Column("covered_s", sa.Float(), nullable=False),
        sa.Column("flagged_s", sa.Integer(), nullable=False),
        sa.Column("straddling_s", sa.Integer(), nullable=False),
        *_classes(sa.BigInteger()),
        sa.PrimaryKeyConstraint("site_id", "step", "start", name="step_pk"),
        comment="sums of each site over steps of its local time",
    )
    op.create_table(
        "attachment",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("site_id", sa.Text(), nullable=False),
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("begins", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=True, comment="null: until now"),
        sa.Column("turned", sa.Boolean(), nullable=False, comment="the line's left to right is the site's other way"),
        sa.ForeignKeyConstraint(["line_id"], ["counting_line.id"], name="attachment_line_id_fk"),
        sa.ForeignKeyConstraint(["site_id"], ["site.id"], name="attachment_site_id_fk"),
        sa.PrimaryKeyConstraint("id", name="attachment_pk"),
        comment="from when to when a line counts at a site",
    )
    op.create_table(
        "contradiction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("stop", sa.BigInteger(), nullable=False),
        sa.Column("found", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["line_id"], ["counting_line.id"], name="contradiction_line_id_fk"),
        sa.PrimaryKeyConstraint("id", name="contradiction_pk"),
        sa.UniqueConstraint("line_id", "kind", "start", "what", name="contradiction_uq"),
        comment="what does not fit in what a line has sent",
    )
    op.create_table(
        "series",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("installation", sa.String(length=8), nullable=False),
        sa.Column("ranges", sa.JSON(), nullable=False, comment="unbroken numbers with the totals before and after"),
        sa.Column("newest_told", sa.BigInteger(), nullable=False, comment="by health or ping"),
        sa.Column("gone", sa.JSON(), nullable=False, comment="numbers that will never come: first, last, reason"),
        sa.ForeignKeyConstraint(["line_id"], ["counting_line.id"], name="series_line_id_fk"),
        sa.PrimaryKeyConstraint("id", name="series_pk"),
        sa.UniqueConstraint("line_id", "installation", name="series_uq"),
        comment="a line under one installation: numbers from 1 without gaps",
    )
