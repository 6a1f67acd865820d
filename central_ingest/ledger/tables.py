"""The ledger's tables. Journal and lake are the truth; what stands here is derived from them or decided by people.

Times are UTC microseconds. Hashes and keys are raw bytes. A change here wants a migration (see `migrations`).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    UniqueConstraint,
)

from .words import Words

metadata = MetaData()

meta = Table(
    "meta", metadata, Column("name", Words, primary_key=True), Column("value", Words, nullable=False)
)

site = Table(
    "site",
    metadata,
    Column("code", Words, primary_key=True),
    Column("name", Words, nullable=False),
    Column("created", BigInteger, nullable=False),
)

agent = Table(
    "agent",
    metadata,
    Column("id", Words, primary_key=True),
    Column("site", Words, nullable=False, index=True),
    Column("suite", BigInteger, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("version", Words, nullable=False),
    Column("enrolled", BigInteger, nullable=False),
    Column("revoked", BigInteger),
)

invitation = Table(
    "invitation",
    metadata,
    Column("secret_hash", LargeBinary, primary_key=True),
    Column("site", Words, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("used_by", Words),
)

grant = Table(
    "grant_",
    metadata,
    Column("site", Words, primary_key=True),
    Column("source", Words, primary_key=True),
    Column("epoch", BigInteger, primary_key=True),
    Column("agent", Words, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("used", BigInteger),
)

stream = Table(
    "stream",
    metadata,
    Column("site", Words, primary_key=True),
    Column("source", Words, primary_key=True),
    Column("agent", Words, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("resume", LargeBinary, nullable=False),
    Column("admitted_bytes", BigInteger, nullable=False),
    Column("public", LargeBinary),
    Column("received", BigInteger),
    Column("low_water", BigInteger, nullable=False, default=0),
)
"""Where each stream stands, as of the journal offset `meta.checkpoint`. `admitted_bytes`: envelope bytes of the epoch;
`public`: the signing key after a rotation; `low_water`: the journal offset below which all has durably landed."""

lake_table = Table(
    "lake_table",
    metadata,
    Column("path", Words, primary_key=True),
    Column("site", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("key", Words, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("synced_version", BigInteger, nullable=False),
    Column("landed", BigInteger),
    Column("rows", BigInteger, nullable=False, default=0),
)
"""The catalogue. `name` is the exact name as JSON, `key` a JSON list; `synced_version` is durable for certain."""

schema = Table(
    "schema",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

parked = Table(
    "parked",
    metadata,
    Column("site", Words, primary_key=True),
    Column("source", Words, primary_key=True),
    Column("path", Words, primary_key=True),
    Column("code", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("since", BigInteger, nullable=False),
)
"""What could not land, and why. `path` is empty where the whole stream's landing is parked."""

inventory = Table(
    "inventory",
    metadata,
    Column("site", Words, primary_key=True),
    Column("source", Words, primary_key=True),
    Column("name", Words, primary_key=True),
    Column("columns", BigInteger, nullable=False),
    Column("rows_estimate", BigInteger),
    Column("captured", Boolean, nullable=False),
    Column("reason", Words, nullable=False),
    Column("seen", BigInteger, nullable=False),
)

fleet = Table(
    "fleet",
    metadata,
    Column("agent", Words, primary_key=True),
    Column("heard", BigInteger, nullable=False),
    Column("status", Words, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("time", BigInteger, nullable=False),
    Column("who", Words, nullable=False),
    Column("what", Words, nullable=False),
)

command = Table(
    "command",
    metadata,
    Column("id", Words, primary_key=True),
    Column("agent", Words, nullable=False),
    Column("site", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("name", Words, nullable=False),
    Column("arguments", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("issued", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("sent", BigInteger),
    Column("answered", BigInteger),
    Column("code", Words),
    Column("facts", Words),
)
"""What was asked of agents. `arguments` and `facts` are JSON objects of text; `sent`: when first; once `answered`, a
`code` says why it was not done."""

held = Table(
    "held",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("site", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("path", Words, nullable=False),
    Column("last_epoch", BigInteger, nullable=False, default=0),
    Column("last_seq", BigInteger, nullable=False, default=0),
    Column("envelopes", BigInteger, nullable=False, default=0),
    Column("bytes", BigInteger, nullable=False, default=0),
    Column("end", BigInteger, nullable=False, default=0),
    UniqueConstraint("site", "source", "path"),
    sqlite_autoincrement=True,
)
"""What the quarantine holds of each line of `parked`, up to the offset `end` of its own journal."""

gap = Table(
    "gap",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("site", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("path", Words, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("last_epoch", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("envelopes", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("rows", BigInteger),
    Column("code", Words, nullable=False),
    Column("reason", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("command", Words),
    Column("healed", BigInteger),
)
"""What was dropped: versions from (epoch, seq) to (last_epoch, last_seq) of the table at `path`, of every table of the
stream where `path` is empty. `rows` is null where nobody can count them; `healed`: when nothing before it counted
any more."""

quarantine_request = Table(
    "quarantine_request",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("held", BigInteger, nullable=False),
    Column("what", Words, nullable=False),
    Column("who", Words, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("finished", BigInteger),
    Column("code", Words),
    Column("reason", Words),
)
"""What the command line asks of the lander: retry or drop. Once `finished`, a `code` says why it was not done."""

hole = Table(
    "hole",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("site", Words, nullable=False),
    Column("source", Words, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("first", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("before", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    Column("start", BigInteger, nullable=False),
    Column("stop", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("agent", Words, nullable=False),
    Column("waits", Boolean, nullable=False),
    Column("found", BigInteger, nullable=False),
    Column("asked", BigInteger),
    Column("times", Integer, nullable=False),
    Column("came", BigInteger, nullable=False),
    Column("came_bytes", BigInteger, nullable=False),
    Column("state", Words, nullable=False),
)
"""Envelopes `first` to `last` that the journal lost between its offsets `start` and `stop`, as `holes.HoleRecord` says.
`state`: open, healed or gone; `last` and `hash` move down as they come again."""

damage = Table(
    "damage",
    metadata,
    Column("name", Words, primary_key=True),
    Column("code", Words, nullable=False),
    Column("facts", Words, nullable=False),
    Column("found", BigInteger, nullable=False),
)
"""Files that are not what was written, as `damage.Damage` says. `facts` is a JSON object."""

materialised = Table(
    "materialised",
    metadata,
    Column("path", Words, primary_key=True),
    Column("landed", BigInteger),
    Column("time", BigInteger),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("base_rows", BigInteger, nullable=False),
    Column("tail_rows", BigInteger, nullable=False),
    Column("asked", BigInteger),
)
"""How far the `current` of a table (`path` is that of its `changes`) is materialised, as its own statement says too:
all of the envelopes up to (epoch, seq), and all that had landed by `time`. `landed`: what the catalogue said of the
table then; another value there means news. `asked`: when somebody wanted it rebuilt."""

cut = Table(
    "cut",
    metadata,
    Column("site", Words, primary_key=True),
    Column("source", Words, primary_key=True),
    Column("minute", BigInteger, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("received", BigInteger, nullable=False),
)
"""Envelopes that end a transaction of their source, the last one received in each minute (since 1970, UTC)."""
