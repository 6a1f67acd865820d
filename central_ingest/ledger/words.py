"""Text as the ledger keeps it, alike in every database.

SQLite sorts text by its code points and holds any; PostgreSQL sorts as its locale says and refuses U+0000, which
an agent could put into a name or a code. So here text is sorted by code points and U+0000 becomes its picture ␀.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

NUL, PICTURE = "\x00", "\N{SYMBOL FOR NULL}"


class Words(sa.types.TypeDecorator[str]):
    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        collation = "C" if dialect.name == "postgresql" else None
        return dialect.type_descriptor(sa.Text(collation=collation))

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        return None if value is None else value.replace(NUL, PICTURE)
