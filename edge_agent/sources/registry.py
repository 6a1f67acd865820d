"""Opens a source by its kind: the one place that knows all kinds, and that reads a source's secrets.

An address with a password may stand in a file or in the environment instead of the configuration. It is read
anew for each connection, so that a changed password takes effect by itself, and is never part of a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edge_agent.sources.filebook import FileBook
from edge_agent.sources.files import FilesSource
from edge_agent.sources.folder import VanishLimit
from edge_agent.sources.included import is_included
from edge_agent.sources.settings import FilesSettings, PostgresSettings, SourceSettings, SqlSettings
from edge_agent.sources.source import Source
from edge_agent.sources.sql import SqlSource
from protocol.errors import Permanent


def open_source(
    slug: str,
    settings: SourceSettings,
    identity: str | None = None,
    environ: Mapping[str, str] | None = None,
    book: Path | None = None,
) -> Source:
    """The source, not yet connected. `identity` is what a `FilesSource` had in an earlier process, `book` the file of
    what it knew then.

    Permanent GC-1003 for an address that cannot be used, GC-1004 for one that cannot be read; Transient GC-3002.
    """
    keys = {name: table.key for name, table in settings.tables.items() if table.key is not None}
    match settings:
        case PostgresSettings():
            from edge_agent.sources.pg.source import PostgresSource

            return PostgresSource(
                slug,
                lambda: _address(slug, settings, environ or {}),
                lambda table: is_included(settings, table),
                settings.slot_of(slug),
                settings.publications_of(slug),
                keys,
                inserts=settings.inserts_of(slug),
                statement_seconds_max=settings.statement_seconds_max,
                timezone=settings.timezone,
                answer_seconds_max=settings.answer_seconds_max,
            )
        case SqlSettings():
            return SqlSource(
                slug,
                lambda: _address(slug, settings, environ or {}),
                keys,
                settings.statement_seconds_max,
                settings.timezone,
                answer_seconds_max=settings.answer_seconds_max,
            )
        case FilesSettings():
            folder = Path(settings.folder)
            return FilesSource(
                slug,
                folder,
                settings.rules,
                settings.stable_seconds,
                identity,
                keys=keys,
                limit=VanishLimit(settings.vanish_share_max, settings.vanish_files_min),
                reread_hours=settings.reread_hours,
                book=FileBook(book),
            )


def _address(slug: str, settings: SqlSettings, environ: Mapping[str, str]) -> str:
    if settings.url is not None:
        return settings.url.get_secret_value()
    if settings.url_env is not None:
        if settings.url_env not in environ:
            raise Permanent("GC-1004", key=f"sources.{slug}.url_env", origin=settings.url_env)
        return environ[settings.url_env].strip()
    assert settings.url_file is not None
    file = Path(settings.url_file)
    if not file.is_absolute() and (credentials := environ.get("CREDENTIALS_DIRECTORY")):
        file = Path(credentials) / file  # as systemd's LoadCredential= hands it over
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError):
        raise Permanent("GC-1004", key=f"sources.{slug}.url_file", origin=settings.url_file) from None
