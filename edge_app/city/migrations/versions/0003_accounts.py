"""Make the tables of users, their logins, and tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=False, comment="its hash"),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="account_pk"),
        comment="users of the page",
    )
    op.create_table(
        "login",
        sa.Column("digest", sa.Text(), nullable=False, comment="hash of its secret"),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("csrf", sa.Text(), nullable=False),
        sa.Column("began", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account"], ["account.name"], name="login_account_fk"),
        sa.PrimaryKeyConstraint("digest", name="login_pk"),
        comment="logins that may be valid",
    )
    op.create_table(
        "token",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False, comment="hash of its secret"),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("made", sa.BigInteger(), nullable=False),
        sa.Column("ends", sa.BigInteger(), nullable=True, comment="null: never"),
        sa.PrimaryKeyConstraint("name", name="token_pk"),
        sa.UniqueConstraint("digest", name="token_uq"),
        comment="tokens of programs",
    )
