"""What the scrub has found."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    words = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "damage",
        sa.Column("name", words, primary_key=True),
        sa.Column("code", words, nullable=False),
        sa.Column("facts", words, nullable=False),
        sa.Column("found", sa.BigInteger, nullable=False),
    )
