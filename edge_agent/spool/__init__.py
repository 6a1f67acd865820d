"""The agent's durable outbox and its memory of positions: one SQLite file, one transaction for both."""
