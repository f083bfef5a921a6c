"""Make the table of lines that were moved, and whose counts can be compared with those before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "comparable_line",
        sa.Column("topic_site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("line", sa.Text(), nullable=False),
        sa.Column("drawn", sa.Text(), nullable=False, comment="its two ends, x and y of each with four digits"),
        sa.Column("who", sa.Text(), nullable=False, comment="who has said so"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic_site", "device", "line", "drawn", name="comparable_line_pk"),
        comment="lines that were moved so that counts before and after can be compared",
    )
