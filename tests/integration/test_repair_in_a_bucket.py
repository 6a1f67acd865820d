"""`central-ingest fsck` and `rebuild` where `[lake]` names a bucket: the same damage is found by the same codes, mended
by the same means, and every row stands there once afterwards. The commands run as they are typed, over HTTP."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from central_ingest import commands, storing
from central_ingest.config import load
from central_ingest.journal.files import FileJournal
from central_ingest.keystore import KeyStore
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.recovery import DAMAGED
from central_ingest.landing.store import Store
from central_ingest.ledger.ledger import Ledger, StreamRecord
from protocol.change import ASIDE, ASIDE_LARGE
from tests.objectstores import ACCESS_KEY, SECRET_KEY, Fault, ObjectServer, shared_server
from tests.unit.central_ingest.repaired import COMMITS, LARGE, OTHER, SHA256, Region
from tests.unit.central_ingest.sender import SITE, SITE_KEY, STREAM, VISITS
from tests.unit.central_ingest.test_checkup import empty, rot, tear

LAST = COMMITS - 1
NAME = f"{SITE}.his.db.visits"
Command = Callable[..., tuple[int, Any]]
"""Exit code, and what was printed as JSON."""


@pytest.fixture
def server() -> Iterator[ObjectServer]:
    server = shared_server()
    server.clear()
    yield server
    server.clear()


@pytest.fixture
def config(server: ObjectServer, tmp_path: Path) -> Path:
    """As an operator writes it."""
    credentials = tmp_path / "credentials"
    credentials.write_text(
        f"[default]\naws_access_key_id = {ACCESS_KEY}\naws_secret_access_key = {SECRET_KEY}\n"
    )
    path = tmp_path / "central.toml"
    path.write_text(
        f"""config_version = 1
data_dir = {json.dumps(str(tmp_path / "centre"))}
[lake]
url = "s3://{server.bucket()}/region/lake"
endpoint = "{server.url}"
allow_http = true
credentials_file = {json.dumps(str(credentials))}
retry_seconds = 0.2
"""
    )
    keys = KeyStore(load(path).keys_dir)
    keys.create()
    keys.create_site(SITE)
    (load(path).keys_dir / "sites" / f"{SITE}.key").write_text(SITE_KEY.to_text())
    return path


@pytest.fixture
def region(config: Path, tmp_path: Path) -> Region:
    """A sound centre whose lake and large values lie in the bucket, and nothing of them on the disk."""
    loaded = load(config)
    one = Region(tmp_path / "centre", lake=storing.lake_store(loaded), files=storing.files_store(loaded))
    one.live()
    assert [path for path in (one.root / "lake", one.root / "files") if any(path.rglob("*.*"))] == []
    return one


@pytest.fixture
def on(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    def run(*arguments: str) -> tuple[int, Any]:
        monkeypatch.setattr(sys, "argv", ["central-ingest", *arguments, "--json", "--config", str(config)])
        with pytest.raises(SystemExit) as caught:
            commands.run()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), json.loads(out) if out else err

    return run


def told(on: Command, *options: str) -> list[tuple[str, str, str]]:
    """Code, what it is about, and what mends it."""
    _, said = on("fsck", *options)
    return [(one["code"], one["place"], one["mend"]) for one in said["found"]]


def contents(store: Store, folder: str) -> dict[str, bytes]:
    """Of everything below a folder."""
    found: dict[str, bytes] = {}
    for item in store.list(folder):
        name = f"{folder}/{item.name}".lstrip("/")
        found |= contents(store, name[:-1]) if name.endswith("/") else {name: store.get(name)}
    return found


ROWS = Counter(
    (f"changes/{SITE}/his/{schema.table.directory()}", 5 + 2 * number + at, number)
    for at, schema in enumerate((VISITS, OTHER))
    for number in range(COMMITS)
)
"""Table, sequence and key of all that was sent: behind two schemas and two pieces, one row a batch."""


def test_damage_is_found_by_name_and_mended_and_every_row_stands_there_once(
    region: Region, server: ObjectServer, on: Command
) -> None:
    empty(region.entry(LAST))
    region.data_file(2, "beds").unlink()
    rot(region.large)
    broken = contents(region.lake_store, "changes") | {"large": region.large.read_bytes()}
    tables = {("GC-6095", region.path, "again"), ("GC-6096", region.path_of("beds"), "again")}
    server.asked()
    assert set(told(on)) == tables
    assert {one.split()[0] for one in server.asked()} == {"GET", "HEAD"}, "without a repair nothing changes"
    assert set(told(on, "--deep", "--repair")) == {*tables, ("GC-6102", f"{SITE}/{SHA256}", "again")}
    kept = contents(region.lake_store, DAMAGED) | contents(region.lake_store, "files/.damaged")
    assert {b"", broken["large"]} < set(kept.values()) < set(broken.values()), "kept, byte for byte"
    region.land()
    assert (region.rows(), region.large.read_bytes()) == (ROWS, LARGE)
    assert told(on) == []


def test_a_repair_that_the_store_left_in_the_middle_is_run_again(
    region: Region, server: ObjectServer, on: Command
) -> None:
    """Among the damage a file of the right length with other bytes, and a large value that is gone."""
    refer_to_the_large_value(region)
    region.large.unlink()
    tear(region.entry(2, "beds"))
    rot(region.data_file(1, "beds"))
    damage = [(code, region.path_of("beds"), "again") for code in ("GC-6095", "GC-6096")]
    server.order(Fault("cut"))
    code, said = on("fsck")
    assert (code, "GC-6005" in said) == (1, True), "a store that is away is no empty lake"
    server.order(Fault("500", "PUT", "damaged.*00002.json"))
    code, said = on("fsck", "--deep", "--repair")
    assert (code, "GC-6005" in said) == (1, True)
    server.clear()
    found = [one for one in told(on, "--deep", "--repair") if one[2] == "again"]
    assert found == [*damage, ("GC-6102", f"{SITE}/{SHA256}", "again")]
    region.land()
    assert (region.rows(), region.large.read_bytes(), told(on)) == (ROWS, LARGE, [])


def refer_to_the_large_value(region: Region) -> None:
    """The first row of a table says that its name is the large value."""
    lake = DeltaLake(region.lake_store)
    (first, *_) = lake.files(region.path)
    (one,) = lake.read_file(region.path, first)
    aside = {"column": "name", "reason": ASIDE_LARGE, "original": None, "sha256": bytes.fromhex(SHA256)}
    asides = pa.array([[aside | {"bytes": len(LARGE)}]], ASIDE)
    changed = one.set_column(one.schema.get_field_index("_gc_aside"), "_gc_aside", asides)
    lake.rewrite(region.path, [first], [changed], changes_rows=True)


def test_a_checkpoint_that_is_gone_a_ledger_ahead_here_and_behind_there(region: Region, on: Command) -> None:
    visits, beds = region.path, region.path_of("beds")
    DeltaLake(region.lake_store).checkpoint(visits)
    region.checkpoint.unlink()
    region.entry(LAST, "beds").unlink()
    assert told(on, "--repair") == [("GC-6097", beds, "start"), ("GC-6096", visits, "aside")]
    region.land()
    assert (region.rows(), told(on)) == (ROWS, [])
    ledger = Ledger.open(region.root / "ledger.sqlite")
    ledger.save_low_water({STREAM: 0})
    for record in ledger.lake_tables():
        ledger.save_table(replace(record, synced_version=1))
    ledger.close()
    empty(region.entry(LAST, "beds"))
    assert told(on) == [("GC-6095", beds, "start"), ("GC-6097", visits, "nothing")]
    region.land()
    assert (region.rows(), told(on)) == (ROWS, [])


def test_tables_are_made_anew_one_or_all(region: Region, on: Command) -> None:
    ledger = Ledger.open(region.root / "ledger.sqlite")
    journal = FileJournal.open(region.root / "journal")
    ledger.save_heads([StreamRecord(STREAM, region.sender.agent, region.sender.head, 0)], journal.end)
    journal.close()
    ledger.close()
    lake = DeltaLake(region.lake_store)
    before = {path: lake.read(path).drop_columns("_gc_landed").to_pylist() for path in lake.tables()}
    region.data_file(1).unlink()
    empty(region.entry(2))
    (made,) = on("rebuild", NAME)[1]
    assert (made["table"], made["rows"], made["fault"]) == (NAME, COMMITS, None)
    assert region.rows() == ROWS
    for name in contents(region.lake_store, ""):
        region.lake_store.delete(name)
    code, found = on("rebuild", "ALL")
    assert (code, sorted(one["rows"] for one in found)) == (0, [COMMITS, COMMITS])
    assert region.large.read_bytes() == LARGE
    lake = DeltaLake(region.lake_store)
    after = {path: lake.read(path).drop_columns("_gc_landed").to_pylist() for path in lake.tables()}
    assert {path: by_version(rows) for path, rows in after.items()} == {
        path: by_version(rows) for path, rows in before.items()
    }
    region.land()
    assert (region.rows(), told(on)) == (ROWS, [])


def by_version(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["_gc_epoch"], row["_gc_seq"], row["_gc_ord"]))
