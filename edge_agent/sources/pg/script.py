"""The SQL that a DBA runs to give what is missing: short, exact, each statement with what it does in both languages.

As a file it runs as it is: no password stands in it, and what costs something or needs a restart is a comment. Names
may hold anything, a line break too; they never end a comment or a quotation. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap

from protocol.names import TableName

from .naming import qualified, quoted
from .needs import Choices, Needs, PublicationNeed

COMMENT_COLUMNS = 97
_BREAKS = re.compile(r"\r\n|\r|\n")
_UNPRINTED = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")
_SENTENCE = re.compile("[^。]+。?")
_INDENT = "\n    "
_INSERT = "publish = 'insert'"
_ALL = "publish = 'insert, update, delete, truncate'"
_VIA_ROOT = "publish_via_partition_root = true"
_GIVEN = (
    "改归采集账号所有，使其可自行移出失去复制标识的表；否则须由 DBA 移出（GC-2072）。",
    "Gives it to the account, which then takes out a table that lost its identity by itself; else the DBA has to "
    "(GC-2072).",
)


@dataclass(frozen=True, slots=True)
class Step:
    """Statements that belong together, and why. One that is `optional` is printed as a comment."""

    zh: str
    en: str
    statements: tuple[str, ...]
    optional: bool = False


def script(needs: Needs) -> str:
    """A file for psql or any other client, in UTF-8."""
    source, database = _said(needs.source), _said(needs.database)
    steps = [*missing(needs), *choices(needs)]
    lines = ["SET client_encoding = 'UTF8';", ""] if any(not step.optional for step in steps) else []
    lines += [
        f"-- 归仓：数据源 {source} 所缺的授权。请 DBA 以超级用户身份在数据库 {database} 中执行。",
        f"-- Guicang: what the source {source} lacks, for the DBA to run as a superuser in the database {database}.",
        "-- 不读取、不修改任何业务表；以 -- 开头的语句仅供选择，不会执行。",
        "-- It reads and changes no table of the hospital's. Statements behind -- are choices and are not run.",
    ]
    if needs.standby:
        lines += [
            "-- 该服务器是备库，只读：请在其主库执行，并在 url 中改填主库。",
            "-- This server is a standby, which takes no change: run it on its primary, and name that one in the url.",
        ]
    if needs.login:
        lines += [
            f"-- 服务器拒绝了账号 {_said(needs.role)} 登录，因此暂时无法查看其余各项：账号就绪后请再次运行",
            f"-- The server did not let {_said(needs.role)} in, so nothing else could be seen yet. Once it does, run",
            f"--     edge-agent check {source} --sql",
        ]
    if needs.unseen:
        unseen = ", ".join(needs.unseen)
        lines += [
            f"-- 该账号无权查看以下各项，是否有缺未知：{unseen}。",
            f"-- The account may not see these, so whether anything of them is missing is unknown: {unseen}.",
        ]
    elif not needs.any:
        lines += ["-- 不缺任何授权。", "-- No grant is missing."]
    for step in steps:
        lines += [
            "",
            *(f"-- {line}" for line in [*_SENTENCE.findall(step.zh), *wrap(step.en, COMMENT_COLUMNS)]),
        ]
        lines += [_comment(s) if step.optional else s for s in step.statements]
    return "\n".join(lines) + "\n"


def missing(needs: Needs) -> Iterator[Step]:
    """Without these the log, or a table, cannot be read as well as it might be."""
    role = quoted(needs.role)
    if needs.login:
        yield from _login(needs, role)
    if needs.replication:
        yield Step(
            "允许该账号读取日志（仅超级用户可授予）。",
            "Lets the account read the log; only a superuser can give it.",
            (f"ALTER ROLE {role} REPLICATION;",),
        )
    if needs.usage:
        schemas = ", ".join(map(quoted, needs.usage))
        yield Step(
            "允许访问所列表的模式。",
            "The schemas of the tables.",
            (f"GRANT USAGE ON SCHEMA {schemas} TO {role};",),
        )
    if needs.select:
        yield Step(
            "只读：仅限要采集的表。",
            "Read only, and only the tables that are captured.",
            (f"GRANT SELECT ON{_tables(needs.select)}\n    TO {role};",),
        )
    for publication in needs.publications:
        yield _publication(publication, role)


def _login(needs: Needs, role: str) -> Iterator[Step]:
    yield Step(
        "采集账号；若已存在，此句报错而不改变任何内容，请检查口令与 pg_hba.conf。REPLICATION 用于读取日志。",
        "The account. Where it exists this fails and changes nothing: see its password, and pg_hba.conf. "
        "REPLICATION lets it read the log.",
        (f"CREATE ROLE {role} LOGIN REPLICATION;",),
    )
    yield Step(
        "请另行设置口令，勿存入文件：psql 中用前一句，其他客户端用后一句。",
        "Set its password apart from this file: in psql by the first of these, in any other client by the second.",
        (rf"\password {role}", f"ALTER ROLE {role} PASSWORD '……';"),
        optional=True,
    )
    yield Step(
        "允许连接本数据库。",
        "It may connect to this database.",
        (f"GRANT CONNECT ON DATABASE {quoted(needs.database)} TO {role};",),
    )


def _publication(need: PublicationNeed, role: str) -> Step:
    zh, en = _about(need)
    if need.shared:
        zh += "该发布可能另有订阅者，他们也会收到这些表的变更。"
        en += " Others may read this publication: they will be sent these tables too."
    elif need.give and need.inserts:
        zh += "归采集账号所有，一旦它妨碍某张表，可将该表移出；此外不会更改。"
        en += " The account owns it so that it may take a table out should it ever hinder one, and for nothing else."
    elif need.give:
        zh += "归采集账号所有，以便将失去复制标识的表移出；此外不会更改。"
        en += " The account owns it so that it may take out a table that lost its identity, and for nothing else."
    return Step(zh, en, _together(need, role))


def _together(need: PublicationNeed, role: str) -> tuple[str, ...]:
    statements = _statements(need)
    if need.give:
        statements.append(f"ALTER PUBLICATION {quoted(need.name)} OWNER TO {role};")
    return ("BEGIN;", *statements, "COMMIT;") if len(statements) > 1 else tuple(statements)


def _about(need: PublicationNeed) -> tuple[str, str]:
    if need.inserts:
        zh, en = ("改为逐表列出。", "Names its tables one by one. ") if need.replace else ("", "")
        return (
            f"{zh}无法按日志精确采集的表：只发布新增，不影响其 UPDATE、DELETE。日志一有新增，即扫描该表。",
            f"{en}Tables whose log is not exact: only what is created, which hinders no UPDATE or DELETE. "
            "They are scanned, and at once when the log tells of a new row.",
        )
    if need.replace:
        return (
            "改为逐表列出：发布全部表时，没有复制标识的表的 UPDATE、DELETE 会在业务系统中失败。",
            "Names its tables one by one: while it publishes all, UPDATE and DELETE fail in the hospital's "
            "application on each table without a replica identity.",
        )
    if need.drop_schemas or not {*need.drop} <= {*need.add}:
        return (
            "移出会使业务系统 UPDATE、DELETE 失败的表，其余逐表列出。",
            "Takes out what makes UPDATE or DELETE fail in the hospital's application; the rest is named one by one.",
        )
    if need.drop:
        return (
            "改为完整发布：带有行过滤或列清单的表，日志不完整。",
            "Publishes them whole: of a table with a row filter or a column list the log does not have all.",
        )
    if need.set_kinds or need.set_via_root:
        return (
            "发布全部种类的变更；分区表的变更以根表之名发布。",
            "Publishes every kind of change, and those of a partitioned table by its own name.",
        )
    return (
        "按日志采集的表，均有足以区分各行的复制标识，不影响业务系统的读写。",
        "Tables whose log is followed. Each has a replica identity that tells its rows apart, so no statement is "
        "hindered.",
    )


def _statements(need: PublicationNeed) -> list[str]:
    name = quoted(need.name)
    if need.create or need.replace:
        options = [_INSERT, _VIA_ROOT] if need.inserts else [_VIA_ROOT]
        tables = f" FOR TABLE{_only(need.add)}" if need.add else ""
        created = f"CREATE PUBLICATION {name}{tables}\n    WITH ({', '.join(options)});"
        return [f"DROP PUBLICATION {name};", created] if need.replace else [created]
    found: list[str] = []
    if need.drop:
        found.append(f"ALTER PUBLICATION {name} DROP TABLE{_only(need.drop)};")
    if need.add:
        found.append(f"ALTER PUBLICATION {name} ADD TABLE{_only(need.add)};")
    found += [
        f"ALTER PUBLICATION {name} DROP TABLES IN SCHEMA {quoted(schema)};" for schema in need.drop_schemas
    ]
    options = [_INSERT if need.inserts else _ALL] if need.set_kinds else []
    options += [_VIA_ROOT] if need.set_via_root else []
    if options:
        found.append(f"ALTER PUBLICATION {name} SET ({', '.join(options)});")
    return found


def choices(needs: Needs) -> Iterator[Step]:
    """What the DBA may choose, as comments."""
    made, role = needs.choices, quoted(needs.role)
    for publication in made.publications:
        zh, en = _GIVEN if publication.give else _about(publication)
        yield Step(
            f"{zh}该发布可能另有订阅者，请先确认。",
            f"{en} Others may read this publication: ask first.",
            _together(publication, role),
            optional=True,
        )
    yield from _of_the_server(made)
    if made.see_all_rows:
        yield Step(
            f"行级安全使该账号无法完整读取：{_list(made.see_all_rows)}。授予后，它可读到有 SELECT 权限的表的全部行。",
            f"Row-level security keeps the account from reading all of {_list(made.see_all_rows)}. "
            "With this right it sees every row of the tables that it may SELECT.",
            (f"ALTER ROLE {role} BYPASSRLS;",),
            optional=True,
        )
    if made.identities:
        yield Step(
            "修改业务表的属性，由医院与厂商决定：改后这些表可按日志采集，并须再次运行 check --sql。"
            "语句需短暂独占该表；FULL 会使每次 UPDATE、DELETE 多写一份整行日志。",
            "Changes a property of the hospital's tables, for the hospital and its vendor to decide: their log can be "
            "followed then, after another check --sql. Each waits for a moment alone with its table; with FULL every "
            "UPDATE and DELETE also logs the whole old row.",
            tuple(
                f"ALTER TABLE ONLY {qualified(one.table)} REPLICA IDENTITY {'DEFAULT' if one.by_default else 'FULL'};"
                for one in made.identities
            ),
            optional=True,
        )


def _of_the_server(made: Choices) -> Iterator[Step]:
    if made.wal_level:
        yield Step(
            "日志须为 logical 级别。需重启数据库才生效，请安排停机时间。",
            "The log must be written at the level logical. It takes a restart of the server, when that suits you.",
            ("ALTER SYSTEM SET wal_level = logical;",),
            optional=True,
        )
    for setting, value in (("max_replication_slots", made.slots), ("max_wal_senders", made.senders)):
        if value is not None:
            yield Step(
                f"{setting} 已用尽：请停用不再需要的，或调大（需重启数据库）。",
                f"All of {setting} are in use: end one that nobody needs, or raise it, which takes a restart.",
                (f"ALTER SYSTEM SET {setting} = {value};",),
                optional=True,
            )
    if made.keep_bytes is not None:
        yield Step(
            "建议：服务器为复制槽保留日志的上限，代理停止运行时也能保护磁盘。高于我方上限，重新加载即生效。",
            "Advised: the server's own limit of the log that it keeps for a slot, which protects its disk also while "
            "the agent does not run. It lies above ours; a reload is enough.",
            (
                f"ALTER SYSTEM SET max_slot_wal_keep_size = '{made.keep_bytes >> 20}MB';",
                "SELECT pg_reload_conf();",
            ),
            optional=True,
        )


def _only(tables: Sequence[TableName]) -> str:
    return _tables(tables, "ONLY ")


def _tables(tables: Sequence[TableName], word: str = "") -> str:
    """One a line, behind whatever they belong to."""
    return _INDENT + f",{_INDENT}".join(f"{word}{qualified(table)}" for table in tables)


def _list(tables: Sequence[TableName]) -> str:
    return _said(", ".join(qualified(table) for table in tables))


def _said(text: str) -> str:
    """In a comment, which a line break would end."""
    return _UNPRINTED.sub("?", text)


def _comment(statement: str) -> str:
    return "\n".join(f"-- {line}" for line in _BREAKS.split(statement))
