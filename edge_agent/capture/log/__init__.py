"""Capture by a log: snapshots in chunks, merged into the stream of changes by what each statement saw."""
