"""Let a device of a roll-out follow another one on its machine, and tell that a key had its default before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

_FOLLOWS = "first camera of its machine, or empty: it is asked"
_BEFORE = "what the office set before: key -> value, null: the default; without what it left"


def upgrade() -> None:
    column = sa.Column("follows", sa.Text(), nullable=False, server_default="", comment=_FOLLOWS)
    op.add_column("rollout_device", column)
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps no comments
        op.alter_column("rollout_device", "before", existing_type=sa.JSON(), existing_nullable=False, comment=_BEFORE)
