"""Make the table of the archive's files that are lost for good."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lost_file",
        sa.Column("name", sa.Text(), nullable=False, comment="of the file, below the archive's folder"),
        sa.Column("day", sa.BigInteger(), nullable=False, comment="its first second, UTC"),
        sa.Column("part", sa.Integer(), nullable=False, comment="of the lines: a thousand by their keys"),
        sa.Column("intervals", sa.BigInteger(), nullable=False),
        sa.Column("vehicles", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False, comment="bytes"),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False, comment="why it is lost, for people"),
        sa.Column("who", sa.Text(), nullable=False, comment="who has said so"),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when"),
        sa.PrimaryKeyConstraint("name", name="lost_file_pk"),
        comment="files of the archive that are lost for good",
    )
