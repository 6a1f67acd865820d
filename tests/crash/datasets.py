"""Public databases, loaded into real servers as their publishers wrote them, and what the script changes in them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.crash.scripted_sql import Table
from tests.databases import PASSWORD, Database, mariadb, postgres
from tests.servers import SHARED, require_dataset, require_server

SAKILA = SHARED / "sampledb-sakila" / "postgres-sakila-db"


@dataclass(frozen=True)
class Dataset:
    """`files` are run in order by the server's own client."""

    slug: str
    server: Callable[[], Database]
    files: tuple[Path, ...]
    tables: tuple[Table, ...]
    ways: tuple[tuple[str, str], ...] = ()
    """Table and what its capture is told besides: those are scanned seldom, polled and looked at often."""

    def load(self, database: str) -> None:
        server = self.server()
        for file in self.files:
            text = _plain(require_dataset(file).read_text("utf-8"))
            _client(server, database, text)


def _plain(text: str) -> str:
    """Into the database that we made, and owned by whoever loads it."""
    passed_over = (
        r"DROP DATABASE|CREATE DATABASE|\\c |ALTER .* OWNER TO |CREATE OR REPLACE PROCEDURAL|GRANT |REVOKE "
    )
    return re.sub(rf"^({passed_over}).*\n", "", text, flags=re.MULTILINE)


def _client(server: Database, database: str, script: str) -> None:
    place = ["-h", "127.0.0.1", "-P" if server.backend == "mariadb" else "-p", str(server.port)]
    if server.backend == "mariadb":
        command = [require_server("mariadb"), "--no-defaults", "--default-character-set=utf8mb4"]
        command += [*place, "-u", "administrator", database]
    else:
        command = [require_server("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", *place]
        command += ["-U", "administrator", "-d", database]
    secrets = {"PGPASSWORD": PASSWORD, "MYSQL_PWD": PASSWORD}
    done = subprocess.run(
        command, input=script.encode(), capture_output=True, check=False, env={**os.environ, **secrets}
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")[-2_000:]


def _tables(lines: Iterable[str]) -> tuple[Table, ...]:
    """`name key[,key] text[!] [stamp]`: `!` where the text is never null, `-` for none."""
    made = []
    for line in lines:
        name, key, text, *stamp = line.split()
        column = None if text == "-" else text.rstrip("!")
        when = stamp[0] if stamp else None
        made.append(Table(name, tuple(key.split(",")), column, when, not text.endswith("!")))
    return tuple(made)


def _polled(cursor: str, overlap: str) -> str:
    return f'cursor = "{cursor}"\npoll_seconds = 0.5\n{overlap}\n'


def _watched(column: str, reach: str) -> str:
    return f'window = "{column}"\nwindow_seconds = 0.5\n{reach}\n'


DATASETS = (
    Dataset(
        "his",
        mariadb,
        (SHARED / "his-cn-zain" / "his.sql",),
        _tables(
            [
                "dms_dise id name",
                "dms_dise_catalog id name",
                "dms_dosage id name",
                "dms_drug id name",
                "dms_non_drug id name",
                "pms_patient id name",
                "sms_dept id name",
                "sms_description id -",
                "sms_skd id -",
                "sms_workload_record id -",
            ]
        ),
        (("dms_drug", _polled("id", "overlap = 100")), ("pms_patient", _watched("id", "window_span = 1000"))),
    ),
    Dataset(
        "chinook",
        postgres,
        (SHARED / "sampledb-chinook" / "Chinook_PostgreSql.sql",),
        _tables(
            [
                "album album_id title!",
                "customer customer_id address",
                "invoice invoice_id billing_city",
                "invoice_line invoice_line_id -",
                "playlist_track playlist_id,track_id -",
                "track track_id composer",
            ]
        ),
        (
            ("invoice", _watched("invoice_date", "window_days = 36500")),
            ("invoice_line", _polled("invoice_line_id", "overlap = 100")),
            ("track", _watched("track_id", "window_span = 500")),
        ),
    ),
    Dataset(
        "sakila",
        postgres,
        (SAKILA / "postgres-sakila-schema.sql", SAKILA / "postgres-sakila-insert-data-using-copy.sql"),
        _tables(
            [
                "actor actor_id last_name! last_update",
                "address address_id address2 last_update",
                "customer customer_id email last_update",
                "film film_id description last_update",
                "film_actor actor_id,film_id - last_update",
                "inventory inventory_id - last_update",
                "payment payment_id -",
            ]
        ),
        (
            ("actor", _polled("last_update", "overlap_seconds = 60")),
            ("address", _polled("last_update", "overlap_seconds = 60")),
            ("customer", _polled("last_update", "overlap_seconds = 60")),
            ("film", _polled("last_update", "") + _watched("last_update", "window_days = 1")),
            ("film_actor", _watched("last_update", "window_days = 36500")),
            ("inventory", _watched("last_update", "window_days = 1")),
        ),
    ),
)
