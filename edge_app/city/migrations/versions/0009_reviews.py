"""Make the tables of devices' figures and of pictures that people review; count doubtful crossings in sums."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_DOUBTFUL = "crossings of which the detector is unsure"


def upgrade() -> None:
    for table, kind in (("quarter", sa.Integer()), ("step", sa.BigInteger())):
        op.add_column(table, sa.Column("doubtful", kind, nullable=False, server_default="0", comment=_DOUBTFUL))
    op.create_table(
        "figure",
        sa.Column("topic_site", sa.Text(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False, comment="as health told it"),
        sa.PrimaryKeyConstraint("topic_site", "device", "start", name="figure_pk"),
        comment="figures of devices by quarter of an hour, of the last weeks",
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("line_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False, comment="when the vehicle crossed the line"),
        sa.Column("arrived", sa.BigInteger(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False, comment="class that was counted"),
        sa.Column("direction", sa.Text(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=False),
        sa.Column("doubtful", sa.Boolean(), nullable=False),
        sa.Column("stands_for", sa.Integer(), nullable=False, comment="crossings of its kind that it was drawn from"),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("box", sa.JSON(), nullable=False, comment="of the vehicle: x0, y0, x1, y1 px of the picture"),
        sa.Column("picture", sa.LargeBinary(), nullable=True, comment="JPEG; null when its time is over"),
        sa.Column("answer", sa.Text(), nullable=True, comment="class, none, unclear; null before"),
        sa.Column("who", sa.Text(), nullable=True),
        sa.Column("answered", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["line_id"], ["counting_line.id"], name="review_line_id_fk"),
        sa.PrimaryKeyConstraint("id", name="review_pk"),
        comment="pictures of crossings for people to say what they show, and what they have said",
    )
