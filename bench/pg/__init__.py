"""PostgreSQL by its log: a snapshot, a stream of changes and how fresh it is, beside what the server can give."""
