"""Let an attachment say why it began and whether it breaks the series of its site; keep who has changed what."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "attachment",
        sa.Column(
            "breaks",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="counts before its begin cannot be compared with those after",
        ),
    )
    op.add_column(
        "attachment",
        sa.Column("reason", sa.Text(), nullable=False, server_default="", comment="why it was attached, for people"),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("change", sa.JSON(), nullable=False, comment="key of what was changed: value before and after"),
        sa.PrimaryKeyConstraint("id", name="audit_pk"),
        comment="who has changed what",
    )
