"""Make the table of the archive's files, and keep when each series begins."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "archived",
        sa.Column("day", sa.BigInteger(), nullable=False, comment="its first second, UTC"),
        sa.Column("part", sa.Integer(), nullable=False, comment="of the lines: a thousand by their keys"),
        sa.Column("name", sa.Text(), nullable=False, comment="of the file, empty before the first"),
        sa.Column("intervals", sa.BigInteger(), nullable=False),
        sa.Column("vehicles", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes"),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("judged", sa.BigInteger(), nullable=False, comment="when the file was compared with its hash"),
        sa.Column("problem", sa.Text(), nullable=False, comment="missing, damaged, or empty"),
        sa.Column(
            "moving",
            sa.Text(),
            nullable=False,
            comment="file that is being made; empty, when an interval has come since",
        ),
        sa.PrimaryKeyConstraint("day", "part", name="archived_pk"),
        comment="files of the archive, which hold the intervals of days that have left this database",
    )
    op.add_column(
        "series",
        sa.Column(
            "begins", sa.BigInteger(), nullable=True, comment="start of its earliest interval; null before the first"
        ),
    )
    op.execute(
        "UPDATE series SET begins = earliest.start FROM"
        " (SELECT series_id, min(start) AS start FROM counts WHERE NOT aside GROUP BY series_id) AS earliest"
        " WHERE earliest.series_id = series.id"
    )
