"""Make the tables of roll-outs, orders to the office's process and comparisons; keep devices' configurations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_CLASSES = ("car", "motorcycle", "bus", "truck", "bicycle")


def upgrade() -> None:
    for name, comment in (
        ("desired", "what the office sets: revision, at, author, set, unset"),
        ("reported", "its last config/reported message"),
    ):
        op.add_column("device", sa.Column(name, sa.JSON(), nullable=True, comment=comment))
    op.create_table(
        "compared_hour",
        sa.Column("model", sa.String(12), nullable=False, comment="the detector that counted beside"),
        sa.Column("in_service", sa.String(12), nullable=False, comment="the detector whose counts are used"),
        sa.Column("topic_site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("installation", sa.String(8), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False, comment="of the hour in which its intervals begin"),
        sa.Column(
            "newest",
            sa.BigInteger(),
            nullable=False,
            comment="highest number of an interval in it: a repeated one adds none",
        ),
        *(sa.Column(f"beside_{name}", sa.Integer(), nullable=False) for name in _CLASSES),
        *(sa.Column(f"used_{name}", sa.Integer(), nullable=False) for name in _CLASSES),
        sa.PrimaryKeyConstraint(
            "model", "in_service", "topic_site", "device", "line", "installation", "start", name="compared_hour_pk"
        ),
        comment="vehicles of two detectors over the same frames, from shadow/LINE, by hour",
    )
    _rollouts()
    _orders()


def _rollouts() -> None:
    op.create_table(
        "rollout",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="for people, of no other roll-out"),
        sa.Column("candidate", sa.String(64), nullable=False, comment="SHA-256 of the detector file"),
        sa.Column("key", sa.Text(), nullable=False, comment="of the configuration, which is set to the candidate"),
        sa.Column("bundle", sa.JSON(), nullable=False, comment="what is fetched: url, bytes, sha256"),
        sa.Column("cascade", sa.JSON(), nullable=False, comment="shares, least, hours, longest_hours, failed"),
        sa.Column("state", sa.Text(), nullable=False, comment="running, paused, taking_back, taken_back or done"),
        sa.Column("group_no", sa.Integer(), nullable=False, comment="the present group, from 0"),
        sa.Column("group_begins", sa.JSON(), nullable=False, comment="when each group began so far"),
        sa.Column("since", sa.BigInteger(), nullable=False, comment="from when the hours of the present group count"),
        sa.Column("why", sa.Text(), nullable=False, comment="one sentence on the newest change of state or group"),
        sa.Column("who", sa.Text(), nullable=False, comment="who made it: a person, or rule"),
        sa.Column("changed", sa.BigInteger(), nullable=False, comment="when that was"),
        sa.Column(
            "version", sa.Integer(), nullable=False, comment="raised by every change, so that none overwrites another"
        ),
        sa.Column(
            "evidence", sa.JSON(), nullable=False, comment="what was counted, and what a group still lacks to pass"
        ),
        sa.PrimaryKeyConstraint("id", name="rollout_pk"),
        sa.UniqueConstraint("name", name="rollout_uq"),
        comment="candidates that are given to the fleet, a group at a time",
    )
    op.create_table(
        "rollout_device",
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("topic_site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("group_no", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, sent, trying, running, back, gone or returned"),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="why it is back or gone; of the others what it waits for"
        ),
        sa.Column("changed", sa.BigInteger(), nullable=False, comment="when its state did"),
        sa.Column("fetched", sa.Boolean(), nullable=False, comment="the candidate lies on it"),
        sa.Column("tries", sa.Integer(), nullable=False, comment="how often it was asked to fetch"),
        sa.Column(
            "former",
            sa.String(64),
            nullable=False,
            comment="SHA-256 of the detector in service before; empty: not known",
        ),
        sa.Column(
            "before",
            sa.JSON(),
            nullable=False,
            comment="what the office set before: key -> value, without what it left",
        ),
        sa.Column(
            "drifted",
            sa.Boolean(),
            nullable=False,
            comment="it told a drift of its detector before it got the candidate",
        ),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollout.id"], name="rollout_device_rollout_id_fk"),
        sa.PrimaryKeyConstraint("rollout_id", "topic_site", "device", name="rollout_device_pk"),
        comment="devices of each roll-out",
    )
    op.create_table(
        "rollout_event",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("rollout_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False, comment="a person, rule, or the device"),
        sa.Column(
            "what",
            sa.Text(),
            nullable=False,
            comment="started, group, paused, gone_on, stopped, taken_back, done, back",
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="site/device for what happened to one, else empty"),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["rollout_id"], ["rollout.id"], name="rollout_event_rollout_id_fk"),
        sa.PrimaryKeyConstraint("id", name="rollout_event_pk"),
        comment="history of roll-outs",
    )


def _orders() -> None:
    op.create_table(
        "office_order",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="config, restart, snapshot, harvest, pause, go_on or take_back",
        ),
        sa.Column("subject", sa.Text(), nullable=False, comment="site/device, or the name of a roll-out"),
        sa.Column("args", sa.JSON(), nullable=False, comment="what is asked, by kind"),
        sa.Column("state", sa.Text(), nullable=False, comment="waiting, sent, answered, refused or expired"),
        sa.Column("answer", sa.Text(), nullable=False, comment="one sentence for people, empty before"),
        sa.Column("changed", sa.BigInteger(), nullable=False, comment="when its state did"),
        sa.PrimaryKeyConstraint("id", name="office_order_pk"),
        comment="what people ask of the office's process, which has the signing key",
    )
    op.create_table(
        "order_file",
        sa.Column("order_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["order_id"], ["office_order.id"], name="order_file_order_id_fk"),
        sa.PrimaryKeyConstraint("order_id", name="order_file_pk"),
        comment="what devices have sent for an order; it is kept for a day",
    )
    op.create_table(
        "office_process",
        sa.Column("id", sa.Integer(), nullable=False, comment="always 1: there is one"),
        sa.Column("holder", sa.Text(), nullable=False, comment="random name of the process; empty when none runs"),
        sa.Column("beats", sa.BigInteger(), nullable=False, comment="rises while it runs"),
        sa.Column("seen", sa.BigInteger(), nullable=False, comment="when it rose last"),
        sa.Column(
            "problem", sa.Text(), nullable=False, comment="one sentence on what it cannot do, empty when all is well"
        ),
        sa.PrimaryKeyConstraint("id", name="office_process_pk"),
        comment="the process with the signing key: at most one at a time",
    )
