"""How changes are found: snapshots between marks, then differences, one spool transaction at a time."""
