"""Make the table of gaps that have closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "closed_gap",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("installation", sa.String(8), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("lost", sa.BigInteger(), nullable=False, comment="numbers of it that will never come"),
        sa.Column("asked", sa.BigInteger(), nullable=False, comment="when its device was asked first"),
        sa.Column("closed", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["line_id"], ["counting_line.id"], name="closed_gap_line_id_fk"),
        sa.PrimaryKeyConstraint("id", name="closed_gap_pk"),
        comment="gaps of the last days that have closed after they were asked for",
    )
