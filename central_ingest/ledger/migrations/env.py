"""Where Alembic begins: it works on the connection, and in the transaction, that `migrating` hands it."""

from __future__ import annotations

from alembic import context

from central_ingest.ledger import tables

context.configure(
    connection=context.config.attributes["connection"], target_metadata=tables.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
