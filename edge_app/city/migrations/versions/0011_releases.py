"""Let a roll-out give a release of the program: what kind it is, and which order each device has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COMMENTS = (
    ("rollout", "candidate", sa.String(64), "SHA-256 of the detector file, or of the archive"),
    ("rollout", "key", sa.Text(), "of the configuration, which is set to the candidate; of none: empty"),
    ("rollout", "bundle", sa.JSON(), "arguments of fetch or release: url, bytes, sha256 and so on"),
    (
        *("rollout_device", "former", sa.String(64)),
        "SHA-256 of the detector, or version of the program before; empty: not known",
    ),
    ("rollout_device", "drifted", sa.Boolean(), "it told a drift before it got the candidate"),
)
"""Columns that mean more than before; SQLite keeps no comments."""


def upgrade() -> None:
    kind = "detector, or release of the program"
    op.add_column("rollout", sa.Column("kind", sa.Text(), nullable=False, server_default="detector", comment=kind))
    order = "of the newest command about a release, or empty"
    op.add_column("rollout_device", sa.Column("order_id", sa.Text(), nullable=False, server_default="", comment=order))
    got = "when it had the candidate first; 0: not yet"
    op.add_column("rollout_device", sa.Column("got", sa.BigInteger(), nullable=False, server_default="0", comment=got))
    if op.get_bind().dialect.name == "postgresql":
        for table, column, kind_of, comment in _COMMENTS:
            op.alter_column(table, column, existing_type=kind_of, existing_nullable=False, comment=comment)
