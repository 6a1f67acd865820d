"""An SQLAlchemy engine that asks the server nothing of its own accord.

SQLAlchemy's own dialects question a server at the first connection (KingbaseES fails their question for its
version) and give its driver habits of theirs. A source needs a pool and a driver's cursor only, so ours are
plain: `register` gives one its address. It knows no driver, no SQL and no row.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import registry
from sqlalchemy.engine.default import DefaultDialect


class PlainEngine(DefaultDialect):
    """Subclasses import their driver in `import_dbapi`."""

    supports_statement_cache = True

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        # Without values a driver looks for no placeholders, which a name may look like.
        cursor.execute(statement, parameters) if parameters else cursor.execute(statement)


def register(name: str, module: str) -> str:
    """The address of the `Engine` that `module` holds."""
    registry.register(f"guicang.{name}", module, "Engine")
    return f"guicang+{name}://"
