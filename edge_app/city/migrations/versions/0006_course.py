"""Keep the course of a site's road."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    comment = "points of its road, degrees east and north; null: not known"
    op.add_column("site", sa.Column("course", sa.JSON(), nullable=True, comment=comment))
