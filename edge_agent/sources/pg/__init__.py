"""PostgreSQL by its log: the replication connection, and what its output plugin pgoutput says."""
