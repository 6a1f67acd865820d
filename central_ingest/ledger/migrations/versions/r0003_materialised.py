"""How far each table's `current` is materialised."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

WORDS = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "materialised",
        sa.Column("path", WORDS, primary_key=True),
        sa.Column("landed", sa.BigInteger),
        sa.Column("time", sa.BigInteger),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("base_rows", sa.BigInteger, nullable=False),
        sa.Column("tail_rows", sa.BigInteger, nullable=False),
        sa.Column("asked", sa.BigInteger),
    )
