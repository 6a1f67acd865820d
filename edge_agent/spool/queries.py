"""The spool's SQL by name, read from the `.sql` files beside this module.

The durable queue is its SQL, so it stands where a person reads SQL: `schema.sql` makes an empty spool,
`queries.sql` holds every statement under a line `-- name --` (the form is Procrastinate's). Nothing is
assembled from parts at run time.
"""

from __future__ import annotations

import re
from importlib import resources

_NAME = re.compile(r"^-- ([a-z_]+) --\n", re.MULTILINE)


def _text(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def parse(text: str) -> dict[str, str]:
    """Statements by name; comment lines under a name go along, SQLite skips them."""
    _, *parts = _NAME.split(text)
    names, statements = parts[::2], parts[1::2]
    assert len(set(names)) == len(names)
    return dict(zip(names, (statement.strip() for statement in statements), strict=True))


SCHEMA = _text("schema.sql")
QUERIES = parse(_text("queries.sql"))
