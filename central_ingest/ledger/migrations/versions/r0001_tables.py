"""The tables as they were when migrations began. A ledger of before has some of them or all, and gets the others."""

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

revision = "0001"
down_revision = None

WORDS = Text().with_variant(Text(collation="C"), "postgresql")
metadata = MetaData()


def upgrade() -> None:
    metadata.create_all(op.get_bind())


Table("meta", metadata, Column("name", WORDS, primary_key=True), Column("value", WORDS, nullable=False))

Table(
    "site",
    metadata,
    Column("code", WORDS, primary_key=True),
    Column("name", WORDS, nullable=False),
    Column("created", BigInteger, nullable=False),
)

Table(
    "agent",
    metadata,
    Column("id", WORDS, primary_key=True),
    Column("site", WORDS, nullable=False, index=True),
    Column("suite", BigInteger, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("version", WORDS, nullable=False),
    Column("enrolled", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)

Table(
    "invitation",
    metadata,
    Column("secret_hash", LargeBinary, primary_key=True),
    Column("site", WORDS, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used_by", WORDS),
)

Table(
    "grant_",
    metadata,
    Column("site", WORDS, primary_key=True),
    Column("source", WORDS, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("agent", WORDS, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("used", BigInteger),
)

Table(
    "stream",
    metadata,
    Column("site", WORDS, primary_key=True),
    Column("source", WORDS, primary_key=True),
    Column("agent", WORDS, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("resume", LargeBinary, nullable=False),
    Column("admitted_bytes", BigInteger, nullable=False),
    Column("public", LargeBinary),
    Column("received", BigInteger),
    Column("low_water", BigInteger, nullable=False, default=0),
)

Table(
    "lake_table",
    metadata,
    Column("path", WORDS, primary_key=True),
    Column("site", WORDS, nullable=False),
    Column("source", WORDS, nullable=False),
    Column("name", WORDS, nullable=False),
    Column("key", WORDS, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("synced_version", BigInteger, nullable=False),
    Column("landed", BigInteger),
    Column("rows", BigInteger, nullable=False, default=0),
)

Table(
    "schema",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

Table(
    "parked",
    metadata,
    Column("site", WORDS, primary_key=True),
    Column("source", WORDS, primary_key=True),
    Column("path", WORDS, primary_key=True),
    Column("code", WORDS, nullable=False),
    Column("reason", WORDS, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
)

Table(
    "inventory",
    metadata,
    Column("site", WORDS, primary_key=True),
    Column("source", WORDS, primary_key=True),
    Column("name", WORDS, primary_key=True),
    Column("columns", BigInteger, nullable=False),
    Column("rows_estimate", BigInteger),
    Column("captured", Boolean, nullable=False),
    Column("reason", WORDS, nullable=False),
    Column("seen", BigInteger, nullable=False),
)

Table(
    "fleet",
    metadata,
    Column("agent", WORDS, primary_key=True),
    Column("heard", BigInteger, nullable=False),
    Column("status", WORDS, nullable=False),
)

Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("who", WORDS, nullable=False),
    Column("what", WORDS, nullable=False),
)

Table(
    "command",
    metadata,
    Column("id", WORDS, primary_key=True),
    Column("agent", WORDS, nullable=False),
    Column("site", WORDS, nullable=False),
    Column("source", WORDS, nullable=False),
    Column("name", WORDS, nullable=False),
    Column("arguments", WORDS, nullable=False),
    Column("who", WORDS, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("sent", BigInteger),
    Column("answered", BigInteger),
    Column("code", WORDS),
    Column("facts", WORDS),
)

Table(
    "held",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("site", WORDS, nullable=False),
    Column("source", WORDS, nullable=False),
    Column("path", WORDS, nullable=False),
    Column("last_epoch", BigInteger, nullable=False, default=0),
    Column("last_seq", BigInteger, nullable=False, default=0),
    Column("envelopes", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("end", BigInteger, nullable=False, default=0),
    UniqueConstraint("site", "source", "path"),
    sqlite_autoincrement=True,
)

Table(
    "gap",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("site", WORDS, nullable=False),
    Column("source", WORDS, nullable=False),
    Column("path", WORDS, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("last_epoch", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("envelopes", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("rows", BigInteger),
    Column("code", WORDS, nullable=False),
    Column("reason", WORDS, nullable=False),
    Column("who", WORDS, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("command", WORDS),
    Column("healed", BigInteger),
)

Table(
    "quarantine_request",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("held", BigInteger, nullable=False),
    Column("what", WORDS, nullable=False),
    Column("who", WORDS, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("finished", BigInteger),
    Column("code", WORDS),
    Column("reason", WORDS),
)

Table(
    "hole",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("site", WORDS, nullable=False),
    Column("source", WORDS, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("before", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("agent", WORDS, nullable=False),
    Column("waits", Boolean, nullable=False),
    Column("found", BigInteger, nullable=False),
    Column("asked", BigInteger),
    Column("times", Integer, nullable=False),
    Column("came", BigInteger, nullable=False),
    Column("came_bytes", BigInteger, nullable=False),
    Column("state", WORDS, nullable=False),
)
