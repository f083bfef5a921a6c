"""Tell of sums how much came late, and of contradictions how many were deleted."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_LATE = "of its intervals, that arrived later than their own length after their end"


def upgrade() -> None:
    for table in ("quarter", "step"):  # of what was added up before this is not known: 0
        late = sa.Column("late_s", sa.Integer(), nullable=False, server_default="0", comment=_LATE)
        op.add_column(table, late)
    op.create_table(
        "forgotten_contradictions",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("many", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="forgotten_contradictions_pk"),
        comment="how many contradictions were deleted, since only the newest are kept",
    )
