"""Let a roll-out give a release of the program: what kind it is, and which order each device has."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kind = "detector, or release of the program"
    op.add_column("rollout", sa.Column("kind", sa.Text(), nullable=False, server_default="detector", comment=kind))
    order = "of the newest command about a release, or empty"
    op.add_column("rollout_device", sa.Column("order_id", sa.Text(), nullable=False, server_default="", comment=order))
    got = "when it had the candidate first; 0: not yet"
    op.add_column("rollout_device", sa.Column("got", sa.BigInteger(), nullable=False, server_default="0", comment=got))
