"""Keep with a device of a roll-out how it did before: figures are deleted sooner than the longest roll-out ends."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_USUAL = "its figures before it got the candidate; null: not known yet"
_COMMENTS = (
    ("rollout_device", "state", "as MemberState of the program names them"),
    ("rollout_device", "reason", "why it is so, or what it waits for; or empty"),
    ("rollout_event", "what", "as What of the program names them"),
)


def upgrade() -> None:
    op.add_column("rollout_device", sa.Column("usual", sa.JSON(), nullable=True, comment=_USUAL))
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        for table, column, comment in _COMMENTS:
            op.alter_column(table, column, existing_type=sa.Text(), existing_nullable=False, comment=comment)
