"""Make the table by which pages learn what other workers have stored."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "live_batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when it was stored"),
        sa.Column("content", sa.Text(), nullable=False, comment="its intervals as pages are told of them, JSON"),
        sa.PrimaryKeyConstraint("id", name="live_batch_pk"),
        comment="batches of new intervals of the last minutes, for the pages that watch",
        sqlite_autoincrement=True,
    )
