"""The command line on a small data directory: what it prints, and its exit codes."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from central_ingest import commands
from central_ingest.config import load
from central_ingest.enrolment import secret_hash
from central_ingest.keystore import KeyStore
from central_ingest.landing.delta import DeltaLake
from central_ingest.landing.lake import Txn
from central_ingest.landing.rows import batch_rows, mark_row, stamp_landed
from central_ingest.ledger.commands import new_command
from central_ingest.ledger.ledger import AgentRecord, InventoryLine, Ledger, TableRecord
from central_ingest.ledger.materialised import Standing
from central_ingest.ledger.quarantine import Gap
from protocol.batch import decode_batch, encode_batch
from protocol.change import KEY, MarkKind
from protocol.enrolment import Token
from protocol.keys import from_base64
from protocol.schema import Column, TableSchema

from .sender import STREAM, VISITS, Sender, a_mark, table

ODD = "王[/red] :smile: [b]"


class Shell:
    def __init__(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.config, self.data_dir = tmp_path / "etc" / "central.toml", tmp_path / '数据 "data"'
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.out = self.err = ""

    def run(self, *arguments: str) -> int:
        self._monkeypatch.setattr(sys, "argv", ["central-ingest", *arguments])
        with pytest.raises(SystemExit) as caught:
            commands.run()
        self.out, self.err = self._capsys.readouterr()
        return int(caught.value.code or 0)

    def on(self, *arguments: str) -> int:
        return self.run(*arguments, "--config", str(self.config))

    def ledger(self) -> Ledger:
        return Ledger.open(load(self.config).data_dir / "ledger.sqlite")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    for console in (commands.console, commands.errors):
        monkeypatch.setattr(console, "width", 200)
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.fixture
def shell(bare: Shell) -> Shell:
    assert bare.on("init", "--data-dir", str(bare.data_dir)) == 0
    return bare


@pytest.fixture
def landed(shell: Shell) -> Shell:
    """One table with two rows, one of which tries the screen's patience."""
    path = f"changes/h1/his/{VISITS.table.directory()}"
    system = {
        "_gc_op": pa.array([ord("c")] * 2, pa.uint8()),
        "_gc_key": pa.array([b"1" * 16, b"2" * 16], KEY),
    }
    columns = [pa.array([1, 2], pa.int64()), pa.array([ODD, None])]
    batch = decode_batch(encode_batch(VISITS, system, columns, captured=1), lambda _: VISITS)
    lake = DeltaLake(load(shell.config).lake_dir)
    lake.append(path, stamp_landed(batch_rows(batch, 1, 2, 3), 4), [Txn("h1/his/1", 2)])
    ledger = shell.ledger()
    ledger.save_table(TableRecord(path, STREAM, VISITS.table, ("id",), VISITS.fingerprint, 0, 4, 2))
    waiting = TableRecord("changes/h1/his/x", STREAM, table("waiting").table, (), b"", -1, None, 0)
    ledger.save_table(waiting)
    ledger.close()
    return shell


def test_init_makes_everything_once(bare: Shell) -> None:
    assert bare.on("init", "--data-dir", str(bare.data_dir)) == 0
    config = load(bare.config)
    assert config.data_dir == bare.data_dir
    KeyStore(config.keys_dir).signer()
    assert (config.data_dir / "ledger.sqlite").exists()
    before = bare.config.read_bytes()
    assert bare.on("init", "--data-dir", "/elsewhere") == 78
    assert "GC-1005" in bare.err
    assert bare.config.read_bytes() == before


def test_invite_prints_a_token_that_the_ledger_awaits(shell: Shell) -> None:
    assert shell.on("invite", "h1", "--name", "第一医院") == 0
    token = Token.from_text(shell.out)
    config = load(shell.config)
    keys = KeyStore(config.keys_dir)
    assert (token.site, token.broker) == ("h1", config.broker.url)
    assert from_base64(token.centre_signing) == keys.signer().public
    assert from_base64(token.centre_sealing) == keys.sealing().public
    assert from_base64(token.site_sealing) == keys.create_site("h1").public
    sender, ledger = Sender(), shell.ledger()
    record = AgentRecord(sender.agent, "h1", 1, sender.signer.public, "1.0", 5, None)
    now = time.time_ns() // 1000
    assert ledger.use_invitation(secret_hash(bytes.fromhex(token.secret)), "h1", record, now)
    assert ledger.sites() == [("h1", "第一医院")]
    ledger.close()
    assert shell.on("sites", "--json") == 0
    (site,) = json.loads(shell.out)
    assert (site["site"], site["agents"][0]["agent"]) == ("h1", sender.agent)
    assert shell.on("sites") == 0
    assert sender.agent in shell.out


def test_two_invitations_share_the_site_key_and_no_secret(shell: Shell) -> None:
    tokens = []
    for _ in range(2):
        assert shell.on("invite", "h1") == 0
        tokens.append(Token.from_text(shell.out))
    assert tokens[0].site_sealing == tokens[1].site_sealing
    assert tokens[0].secret != tokens[1].secret


def test_what_is_no_site_code_is_refused(shell: Shell) -> None:
    assert shell.on("invite", "../x") == 1
    assert "GC-4004" in shell.err


def status(shell: Shell, **changes: Any) -> None:
    said: dict[str, Any] = {
        "format": 1,
        "time": time.time_ns() // 1000,
        "version": "1",
        "healthy": True,
        "broker": {"url": "mqtt://x", "connected": True, "reason": ""},
        "fault": None,
        "journal": {"end": 1, "not_landed_bytes": 0},
        "landing": {"pending_rows": 0},
        "counters": {
            "envelopes_admitted": 1,
            "envelopes_repeated": 0,
            "refused": {"GC-5002": 4},
            "rows_landed": 2,
            "commits": 1,
        },
        "parked": [],
        "streams": [],
    }
    load(shell.config).status_path.write_text(json.dumps(said | changes), "utf-8")


PARKED = {"stream": "h1/his", "path": "changes/x", "code": "GC-5006", "reason": "rows [/b] of a batch"}
STREAM_LINE = {
    "site": "h1",
    "name": "第一[/医院]",
    "source": "his",
    "freshness_seconds": 1.25,
    "tables": 3,
    "epoch": 1,
    "seq": 9,
    "silent": False,
    "healthy": True,
}


@pytest.mark.parametrize(
    ("changes", "code", "word"),
    [
        ({}, 0, "HEALTHY"),
        ({"streams": [STREAM_LINE]}, 0, "第一[/医院]"),
        ({"healthy": False, "parked": [PARKED]}, 1, "rows [/b] of a batch"),
        ({"time": 1}, 2, "NOT RUNNING"),
    ],
)
def test_status_tells_by_its_exit_code(shell: Shell, changes: dict[str, Any], code: int, word: str) -> None:
    status(shell, **changes)
    assert shell.on("status") == code
    assert word in shell.out
    assert shell.on("status", "--json") == code
    assert json.loads(shell.out)["exit"] == code


def test_without_a_daemon_status_is_2(shell: Shell) -> None:
    assert shell.on("status") == 2
    assert shell.on("status", "--json") == 2
    assert json.loads(shell.out) == {"running": False, "exit": 2, "status": None}


def test_tables_are_printed_as_queries_name_them(landed: Shell) -> None:
    assert landed.on("tables", "--json") == 0
    facts = {one["path"]: one for one in json.loads(landed.out)}
    one = facts[f"changes/h1/his/{VISITS.table.directory()}"]
    assert (one["name"], one["key"], one["change_rows"]) == ('current."h1.his.db.visits"', ["id"], 2)
    assert landed.on("query", f"select id, name from {one['name']} order by id") == 0
    assert ODD in landed.out
    assert "∅" in landed.out
    assert landed.on("tables") == 0
    assert 'current."h1.his.db.visits"' in landed.out
    assert landed.on("query", 'select * from current."h1.his.db.waiting"') == 78
    assert "GC-6007" in landed.err


def test_uncaptured_tables_are_listed_apart(shell: Shell) -> None:
    ledger = shell.ledger()
    lines = [InventoryLine(STREAM, "a", 3, None, True, ""), InventoryLine(STREAM, "b", 4, 9, False, "why")]
    ledger.save_inventory(lines, first=True, now=1)
    ledger.close()
    assert shell.on("tables", "--uncaptured", "--json") == 0
    assert [one["table"] for one in json.loads(shell.out)] == ["b"]
    assert shell.on("tables") == 0
    assert "none" in shell.out


def test_every_query_leaves_an_audit_line_also_a_wrong_one(landed: Shell, tmp_path: Path) -> None:
    good, bad = 'select count(*) as n from changes."h1.his.db.visits"', "drop table x"
    assert landed.on("query", good, "--output", str(tmp_path / "n.arrow")) == 0
    with pa.ipc.open_file(str(tmp_path / "n.arrow")) as file:
        assert file.read_all().to_pylist() == [{"n": 2}]
    assert landed.on("query", good, "--output", str(tmp_path / "n.csv")) == 0
    assert (tmp_path / "n.csv").read_text() == '"n"\n2\n'
    assert landed.on("query", bad) == 78
    ledger = landed.ledger()
    assert [what for _, _, what in ledger.audits()] == [good, good, bad]
    ledger.close()


@pytest.mark.parametrize("arguments", [(), ("bogus",), ("status", "--bogus"), ("invite",)])
def test_wrong_usage_is_64(bare: Shell, arguments: tuple[str, ...]) -> None:
    assert bare.run(*arguments) == 64


def test_help_and_version_are_0(bare: Shell) -> None:
    assert bare.run("--help") == 0
    assert bare.run("version", "--json") == 0
    assert set(json.loads(bare.out)) == {"version"}


def test_a_table_is_described_by_what_the_lake_alone_knows(landed: Shell) -> None:
    """The ledger's copies of schemas and keys are not needed."""
    ledger = landed.ledger()
    record = next(one for one in ledger.lake_tables() if one.table == VISITS.table)
    lake = DeltaLake(load(landed.config).lake_dir)
    columns = (
        Column("id", pa.int64(), "bigint"),
        Column("name", pa.int32(), "int", {"comment": f"数 {ODD}"}),
        Column("page", pa.string(), "varchar(9)", {"charset": "gbk"}),
    )
    other = TableSchema(VISITS.table, columns, ("id", "name"), {"comment": "就诊", "dialect": "mysql"})
    lake.append(record.path, mark_row(a_mark(VISITS.table, schema=other), other, 2, 7, 0), [])
    for one in (VISITS, other):
        lake.keep_schema(one.fingerprint, one.content)
    ledger.close()
    assert landed.on("describe", 'current."h1.his.db.visits"', "--json") == 0
    said = json.loads(landed.out)
    assert (said["name"], said["comment"], said["meta"]) == ("h1.his.db.visits", "就诊", {"dialect": "mysql"})
    assert [(one["key"], one["since"]["epoch"]) for one in said["keys"]] == [(["id"], 1), (["id", "name"], 2)]
    assert [one["present"] for one in said["schemas"]] == [False, True]
    id_, name, page = said["columns"]
    assert (id_["since"]["epoch"], page["since"], page["code_page"]) == (1, {"epoch": 2, "seq": 7}, "gbk")
    assert (name["comment"], name["source_type"], name["wire"]) == (f"数 {ODD}", "int", "int32")
    assert [(one["lake_name"], one["shown_as"], one["wire"]) for one in name["generations"]] == [
        ("name", "_gc_gen1_name", "string"),
        ("_gc_gen2_name", "name", "int32"),
    ]
    assert landed.on("describe", "H1.HIS.db.visits") == 0
    assert f"数 {ODD}" in landed.out
    assert "_gc_gen2_name" in landed.out
    assert landed.on("describe", "visits") == 78
    assert "GC-6080" in landed.err
    assert landed.on("describe", "h1.his.db.waiting") == 78
    assert "GC-6081" in landed.err


def test_a_table_whose_key_became_another_is_said_to_stand_still(landed: Shell) -> None:
    ledger = landed.ledger()
    record = next(one for one in ledger.lake_tables() if one.table == VISITS.table)
    ledger.close()
    lake = DeltaLake(load(landed.config).lake_dir)

    def said(kind: MarkKind, seq: int, *key: str) -> Any:
        other = TableSchema(VISITS.table, VISITS.columns, key)
        lake.append(record.path, mark_row(a_mark(VISITS.table, 0, kind, other), other, 2, seq, 0), [])
        assert landed.on("describe", "h1.his.db.visits", "--json") == 0
        return json.loads(landed.out)["stands_still"]

    assert said(MarkKind.SNAPSHOT_BEGIN, 6, *VISITS.key) is None
    since = {"epoch": 2, "seq": 7}
    still = {"key": ["id"], "new_key": ["name"], "since": since}
    assert said(MarkKind.SNAPSHOT_BEGIN, 7, "name") == still
    assert said(MarkKind.SNAPSHOT_BEGIN, 8) == {"key": ["id"], "new_key": [], "since": since}
    assert landed.on("describe", "h1.his.db.visits") == 0
    for told in ("自 since 2/7", "原主键 id，新主键 无 none", "STANDS STILL"):
        assert told in landed.out
    assert said(MarkKind.TRUNCATE, 9) is None
    assert said(MarkKind.SNAPSHOT_BEGIN, 10, "id") == {
        "key": [],
        "new_key": ["id"],
        "since": since | {"seq": 10},
    }
    assert landed.on("describe", "h1.his.db.visits") == 0
    assert "无 none" in landed.out


@pytest.mark.parametrize("command", ["status", "sites", "tables", "run"])
def test_without_configuration_it_is_78(bare: Shell, command: str) -> None:
    assert bare.on(command) == 78
    assert "GC-1001" in bare.err
    assert str(bare.config) in bare.err


def speak_tls(shell: Shell, *keys: str) -> None:
    lines = "".join(f'{key} = "mqtts://broker.example:8884"\n' for key in keys)
    text = shell.config.read_text("utf-8")
    shell.config.write_text(text.replace("[broker]\n", f"[broker]\n{lines}"), "utf-8")


def test_a_revoked_agent_is_shown_so_and_an_unknown_one_is_said(shell: Shell) -> None:
    ledger = shell.ledger()
    ledger.add_site("h1", "", 1)
    one = Sender(seed=1)
    ledger.invite(b"s", "h1", 10)
    record = AgentRecord(one.agent, "h1", 1, one.signer.public, "1.0", 5, None)
    assert ledger.use_invitation(b"s", "h1", record, 6)
    ledger.close()
    assert shell.on("revoke", one.agent) == 0
    assert shell.on("sites") == 0
    assert "revoked" in shell.out
    assert shell.on("revoke", "f" * 32) == 78
    assert "GC-5003" in shell.err


@pytest.fixture
def held(shell: Shell) -> Shell:
    """An agent holds h1/his; another one is revoked."""
    ledger = shell.ledger()
    ledger.add_site("h1", "", 1)
    for seed in (1, 2):
        one = Sender(seed=seed)
        ledger.invite(bytes([seed]), "h1", 10)
        record = AgentRecord(one.agent, "h1", 1, one.signer.public, "1.0", 5, None)
        assert ledger.use_invitation(bytes([seed]), "h1", record, 6)
    ledger.begin_epoch(STREAM, 1, Sender(seed=1).agent, 7, 0)
    ledger.revoke(Sender(seed=2).agent, 8)
    ledger.close()
    return shell


def test_a_command_goes_into_the_ledger_for_the_holder(held: Shell) -> None:
    assert held.on("commands") == 0
    assert "none" in held.out
    assert held.on("command", "snapshot", "h1/his", "--table", "db.门[诊]", "--expires-hours", "2") == 0
    assert "does not run" in held.out
    status(held)
    assert held.on("command", "pause", "h1/his") == 0
    assert "as soon as it is there" in held.out
    assert held.on("commands", "--json") == 0
    first, second = json.loads(held.out)
    assert (first["name"], first["table"], first["state"], first["agent"]) == (
        "snapshot",
        "db.门[诊]",
        "waiting",
        Sender(seed=1).agent,
    )
    assert first["expires"] - first["issued"] == 2 * 3_600 * 1_000_000
    ledger = held.ledger()
    for one, code in ((first, "GC-4012"), (second, "GC-4999")):
        ledger.commands.answer(one["id"], one["agent"], 9, done=False, code=code, facts={})
    assert [what.split()[0] for _, _, what in ledger.audits()] == ["command", "command"]
    ledger.close()
    assert held.on("commands") == 0
    for part in ("snapshot h1/his db.门[诊]", "refused", "GC-4012", "remote.allow", "GC-4999"):
        assert part in held.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("pause", "h1/lis"), 78, "GC-4018"),
        (("pause", "h2/his"), 78, "GC-4018"),
        (("pause", "h1/his", "--agent", Sender(seed=2).agent), 78, "GC-4018"),
        (("pause", "h1/his", "--agent", "f" * 32), 78, "GC-4018"),
        (("pause", "h1"), 1, "GC-4004"),
        (("pause", "h1/his", "--table", "t"), 64, "--table"),
        (("erase", "h1/his"), 64, "erase"),
    ],
)
def test_a_command_that_reaches_nobody_is_not_given(
    held: Shell, arguments: tuple[str, ...], code: int, said: str
) -> None:
    assert held.on("command", *arguments) == code
    assert said in held.err
    ledger = held.ledger()
    assert ledger.commands.all() == []
    ledger.close()


@pytest.fixture
def parked(landed: Shell) -> Shell:
    """The landed table is parked under number 1, a stream under 2."""
    ledger = landed.ledger()
    path = ledger.lake_tables()[0].path
    for place in (path, ""):
        held = ledger.quarantine.park(STREAM, place, "GC-5006", "rows [/b] of a batch", (1, 7), 5)
        ledger.quarantine.note([replace(held, last=(2, 3), envelopes=4, bytes=5_000)])
    ledger.close()
    return landed


def test_quarantine_lists_and_shows_facts_and_what_to_do(parked: Shell) -> None:
    assert parked.on("quarantine", "list") == 0
    for part in ("1  h1/his", "rows [/b] of a batch", "1/7 – 2/3", "whole stream", "quarantine list"):
        assert part in parked.out
    assert parked.on("quarantine", "show", "1", "--json") == 0
    said = json.loads(parked.out)
    assert (said["first"], said["envelopes"], said["code"]) == ({"epoch": 1, "seq": 7}, 4, "GC-5006")
    assert parked.on("quarantine", "show", "2") == 0
    assert parked.on("quarantine", "show", "9") == 78
    assert "GC-6020" in parked.err
    assert parked.on("quarantine", "refused") == 0
    assert "none" in parked.out


def test_what_is_asked_without_a_daemon_waits_for_it(parked: Shell) -> None:
    assert parked.on("quarantine", "retry", "--all") == 1
    assert parked.out.count("at its next start") == 2
    assert parked.on("quarantine", "drop", "2", "--json") == 1
    (said,) = json.loads(parked.out)
    assert (said["number"], said["what"], said["state"]) == (2, "drop", "at the next start")
    ledger = parked.ledger()
    assert [(r.held, r.what) for r in ledger.quarantine.open_requests()] == [
        (1, "retry"),
        (2, "retry"),
        (2, "drop"),
    ]
    assert [what for _, _, what in ledger.audits()][-1] == "quarantine drop 2: asked for"
    ledger.close()
    for arguments in (("retry",), ("retry", "1", "--all"), ("drop",)):
        assert parked.on("quarantine", *arguments) == 64
    assert parked.on("quarantine", "retry", "9") == 78


def test_a_gap_is_shown_until_it_is_healed_and_warned_of_in_queries(parked: Shell) -> None:
    ledger = parked.ledger()
    held = ledger.quarantine.held()[0]
    order = new_command(STREAM, "a" * 32, "snapshot", "db.visits", "wang", 1, 1)
    gap = Gap(STREAM, held.path, (1, 7), (2, 3), 4, 5_000, None, "GC-5006", "x", "wang", 9, order.id)
    (kept,) = ledger.quarantine.drop(held, [gap], order, 9)
    ledger.commands.answer(order.id, "a" * 32, 3, done=False, code="GC-4012", facts={})
    ledger.close()
    assert parked.on("quarantine", "list") == 0
    assert "edge-agent snapshot" in parked.out
    assert "GC-4012" in parked.out
    assert parked.on("tables") == 0
    assert "INCOMPLETE" in parked.out
    named = 'select count(*) from current."h1.his.db.visits"'
    assert parked.on("query", named) == 0
    assert "GC-6023" in parked.err
    ledger = parked.ledger()
    ledger.quarantine.heal(kept, 10)
    ledger.close()
    assert parked.on("quarantine", "list", "--json") == 0
    assert json.loads(parked.out)["gaps"] == []
    assert parked.on("quarantine", "list", "--all") == 0
    assert "healed" in parked.out
    assert parked.on("query", named) == 0
    assert "GC-6023" not in parked.err


def test_broker_config_knows_the_port_the_place_and_the_revoked(shell: Shell, tmp_path: Path) -> None:
    speak_tls(shell, "url")
    ledger = shell.ledger()
    ledger.add_site("h1", "", 1)
    stays, gone = Sender(seed=1), Sender(seed=2)
    for one in (stays, gone):
        secret = secret_hash(one.signer.public)
        ledger.invite(secret, "h1", 10)
        record = AgentRecord(one.agent, "h1", 1, one.signer.public, "1.0", 5, None)
        assert ledger.use_invitation(secret, "h1", record, 6)
    ledger.revoke(gone.agent, 7)
    ledger.close()
    out = tmp_path / "out"
    assert shell.on("broker-config", "--output", str(out)) == 0
    assert shell.on("broker-config", "--output", str(out), "--installed-at", "/etc/elsewhere") == 0
    said = (out / "mosquitto.conf").read_text("utf-8")
    assert "\nlistener 8884\n" in said
    assert "\nacl_file /etc/elsewhere/acl\n" in said
    rules = (out / "acl").read_text("utf-8").splitlines()
    assert [line for line in rules if line.startswith("user ")] == ["user centre", f"user {gone.agent}"]


@pytest.mark.parametrize("wrong", ["url", "public_url"])
def test_broker_config_refuses_a_broker_without_tls(shell: Shell, tmp_path: Path, wrong: str) -> None:
    speak_tls(shell, "public_url" if wrong == "url" else "url")
    if wrong == "public_url":
        text = shell.config.read_text("utf-8")
        shell.config.write_text(
            text.replace("[broker]\n", '[broker]\npublic_url = "mqtt://broker.example"\n'), "utf-8"
        )
    assert shell.on("broker-config", "--output", str(tmp_path / "out")) == 78
    assert f"broker.{wrong}" in shell.err
    assert not (tmp_path / "out").exists()


def test_fsck_tells_and_repairs(landed: Shell) -> None:
    assert landed.on("fsck", "--deep") == 0
    data = next((landed.data_dir / "lake" / "changes").rglob("*.parquet"))
    data.write_bytes(data.read_bytes()[:-1])
    assert landed.on("fsck") == 1
    assert "GC-6096" in landed.out
    assert landed.on("fsck", "--json") == 1
    (found,) = json.loads(landed.out)["found"]
    assert (found["code"], found["damage"]) == ("GC-6096", True)
    assert landed.on("fsck", "--repair") == 0
    assert landed.on("fsck", "--json") == 0


def test_how_fresh_current_is_and_a_rebuild_that_waits_for_the_daemon(landed: Shell) -> None:
    assert landed.on("current", "list", "--json") == 0
    facts = {one["path"]: one for one in json.loads(landed.out)}
    path = f"current/h1/his/{VISITS.table.directory()}"
    assert facts[path]["time"] is None
    ledger = landed.ledger()
    (record,) = [one for one in ledger.lake_tables() if one.table == VISITS.table]
    now = time.time_ns() // 1000
    ledger.materialised.note(Standing(record.path, record.landed, now - 5_000_000, 1, 1, 2, 0))
    ledger.close()
    assert landed.on("tables") == 0
    assert "最新 up to date" in landed.out
    assert landed.on("current", "rebuild", "h1/his") == 0
    assert "at its next start" in landed.out
    ledger = landed.ledger()
    assert (record.path, True) in [(one.path, one.rebuild) for one in ledger.materialised.news()]
    ledger.save_table(replace(record, landed=now))
    ledger.close()
    assert landed.on("tables", "--json") == 0
    (made,) = [one["current"] for one in json.loads(landed.out) if one["path"] == record.path]
    assert made["stale_seconds"] >= 5
    assert landed.on("current", "list") == 0
    assert "滞后 behind" in landed.out


def test_a_rebuild_of_nothing_is_refused(landed: Shell) -> None:
    assert landed.on("current", "rebuild", "h2/his") == 78
    assert "GC-6061" in landed.err


def test_a_query_as_of_a_place_says_which(landed: Shell) -> None:
    sql = 'select count(*) as n from current."h1.his.db.visits"'
    assert landed.on("query", sql, "--as-of", "1/1", "--source", "h1/his") == 0
    assert (landed.err.strip(), "│ 0 │" in landed.out) == ("截至 as of  h1/his 1/1", True)
    assert landed.on("query", sql, "--as-of", "1970-01-01T00:00:01+00:00", "--source", "h1/his") == 0
    assert (landed.err.strip(), "│ 2 │" in landed.out) == ("截至 as of  h1/his 1/2", True)
    assert landed.on("query", sql, "--as-of", "1/1") == 64
    assert landed.on("query", sql, "--as-of", "noon", "--source", "h1/his") == 78
    assert "GC-6062" in landed.err
