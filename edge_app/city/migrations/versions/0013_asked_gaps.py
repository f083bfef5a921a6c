"""Make the table of gaps that are asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "asked_gap",
        sa.Column("series_id", sa.Integer(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False, comment="as it was when it was asked for first"),
        sa.Column("reach", sa.BigInteger(), nullable=False, comment="highest number that was asked for"),
        sa.Column("asked", sa.BigInteger(), nullable=False, comment="when its device was asked first"),
        sa.Column("newest", sa.BigInteger(), nullable=False, comment="when it was asked last"),
        sa.Column("again", sa.BigInteger(), nullable=False, comment="it is not asked again before"),
        sa.Column("times", sa.Integer(), nullable=False, comment="how often it was asked"),
        sa.PrimaryKeyConstraint("series_id", "first", name="asked_gap_pk"),
        comment="gaps that are asked for and have not closed; without foreign key, whose check waits for who stores",
    )
