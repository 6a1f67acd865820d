"""The sentences of what can befall a database's log; see `catalogue`."""

from __future__ import annotations

from .advice import Advice, Blame

_L, _R = Blame.LOCAL, Blame.REMOTE

OF_A_LOG: dict[str, Advice] = {
    "GC-2050": Advice(
        _R,
        "The log of {source} says something that its protocol does not know; nothing of it was taken.",
        "Nothing to do if it passes: it is read again from the last stored position. If it stays, report it.",
        "数据源 {source} 的日志内容不符合协议，未采用其中任何数据。",
        "偶发时无需处理，将从已保存的位置重新读取；如持续出现，请报告。",
    ),
    "GC-2051": Advice(
        _R,
        "The replication slot {slot} of {source} does not exist.",
        "Ask the DBA who dropped it; what it kept is lost, so the tables must be read again with a new one.",
        "数据源 {source} 的复制槽 {slot} 不存在。",
        "请向 DBA 了解是谁删除的；其保留的日志已丢失，需用新的复制槽重新读取各表。",
    ),
    "GC-2052": Advice(
        _R,
        "The replication slot {slot} of {source} is in use by another session.",
        "It passes when that session ends. If a second agent or tool uses the slot, stop it.",
        "数据源 {source} 的复制槽 {slot} 正被其他会话使用。",
        "该会话结束后自动恢复；如有其他代理或工具在使用此复制槽，请停用。",
    ),
    "GC-2053": Advice(
        _R,
        "The server gave up the replication slot {slot} of {source}: its log is gone.",
        "The tables must be read again with a new slot. Raise `max_slot_wal_keep_size` if we were away only briefly.",
        "数据源 {source} 的复制槽 {slot} 已失效，所需日志已被服务器清除。",
        "需用新的复制槽重新读取各表；如代理只是短暂离线，请调大 max_slot_wal_keep_size。",
    ),
    "GC-2054": Advice(
        _R,
        "A publication that the log of {source} is to carry does not exist.",
        "Ask the DBA to create it, by `edge-agent check {source} --sql`.",
        "数据源 {source} 的日志所需的发布（publication）不存在。",
        "请 DBA 创建：`edge-agent check {source} --sql` 会给出语句。",
    ),
    "GC-2055": Advice(
        _R,
        "The source {source} is a standby, whose log cannot be followed exactly.",
        'Name the primary in the address; or set `kind = "sql"`, and it is scanned for good.',
        "数据源 {source} 是备库，无法精确跟踪其日志。",
        '请在地址中填写主库；或设置 `kind = "sql"`，长期以扫描方式采集。',
    ),
    "GC-2056": Advice(
        _R,
        "The server of {source} does not write a logical log (`wal_level`).",
        'Ask the DBA to set `wal_level = logical`, which takes a restart of the server; or set `kind = "sql"`.',
        "数据源 {source} 的服务器未开启逻辑日志（wal_level）。",
        '请 DBA 设置 wal_level = logical（需重启服务器）；或设置 `kind = "sql"`。',
    ),
    "GC-2057": Advice(
        _R,
        "The account of {source} may not read the server's log.",
        'Ask the DBA for the REPLICATION right; or set `kind = "sql"`, and it is scanned for good.',
        "数据源 {source} 的账号无权读取服务器日志。",
        '请向 DBA 申请 REPLICATION 权限；或设置 `kind = "sql"`，长期以扫描方式采集。',
    ),
    "GC-2058": Advice(
        _L,
        "The log of {source} cannot be read: this build of psycopg2 does not show its libpq.",
        "Install psycopg2 or psycopg2-binary for Linux, or capture this source by scans.",
        "无法读取数据源 {source} 的日志：当前安装的 psycopg2 未提供 libpq 接口。",
        "请安装 Linux 版 psycopg2 或 psycopg2-binary，或改用扫描方式采集。",
    ),
    "GC-2059": Advice(
        _L,
        "The server kept {bytes} bytes of log for {source}, more than {limit}: our slot was dropped, its disk comes "
        "first. Everything is read anew.",
        "Nothing to do: changes go on being found. See why the log was not read (paused, spool full, link down), or "
        "raise `wal_keep_bytes_max`.",
        "服务器为数据源 {source} 保留了 {bytes} 字节日志，超过上限 {limit}：为保护其磁盘，"
        "复制槽已删除，将重新全量读取。",
        "无需处理，采集会继续。请查明日志未被读取的原因（已暂停、缓冲已满、线路中断），"
        "或调大 `wal_keep_bytes_max`。",
    ),
    "GC-2070": Advice(
        _L,
        "The log of {table} does not carry the key by which we tell its rows apart.",
        "Give it a REPLICA IDENTITY that has the key's columns (by default the primary key; or FULL), or name the "
        "identity's columns as its `key`; or take it out of the publication, and it is scanned.",
        "表 {table} 的日志不包含用于区分行的主键列。",
        "请让 DBA 设置包含这些列的 REPLICA IDENTITY（默认即主键，或 FULL），或把标识列写入该表的 `key`；"
        "或将它移出发布，改由扫描采集。",
    ),
    "GC-2071": Advice(
        _R,
        "{table} had no replica identity any more, so the hospital could neither update nor delete its rows: we took "
        "it out of the publication {publication}. It is scanned from now on.",
        "Tell the DBA. With a primary key (or REPLICA IDENTITY) it can be added again: ALTER PUBLICATION … ADD TABLE "
        "ONLY.",
        "表 {table} 已没有复制标识，医院自身的更新和删除会失败：我们已将它移出发布 {publication}，此后改为扫描。",
        "请告知 DBA。补上主键（或 REPLICA IDENTITY）后可重新加入：ALTER PUBLICATION … ADD TABLE ONLY。",
    ),
    "GC-2072": Advice(
        _R,
        "{table} has no replica identity and stands in the publication {publication}: THE HOSPITAL CANNOT UPDATE OR "
        "DELETE ITS ROWS, and we are not allowed to take it out.",
        "Ask the DBA at once: ALTER PUBLICATION … DROP TABLE this table (with FOR ALL TABLES: drop the publication and "
        "name the tables instead), and make our account the owner of the publication.",
        "表 {table} 没有复制标识，却在发布 {publication} 中：**医院自身无法更新或删除该表的行**，而我们无权将它移出。",
        "请立即联系 DBA：用 ALTER PUBLICATION … DROP TABLE 移出该表"
        "（若为 FOR ALL TABLES，请删除该发布并改为逐表列出），并将发布的属主改为我们的账号。",
    ),
    "GC-2073": Advice(
        _R,
        "The server of {source} is older than PostgreSQL 14, whose log is not followed.",
        'Nothing to do: its tables are scanned. Set `kind = "sql"` to say that this is meant.',
        "数据源 {source} 的服务器版本低于 PostgreSQL 14，不支持跟踪其日志。",
        '无需处理，各表以扫描方式采集。如属预期，请设置 `kind = "sql"`。',
    ),
    "GC-2074": Advice(
        _L,
        "The server kept log for {source} that is {seconds} s old, more than {limit} s: our slot was dropped, its disk "
        "comes first. Everything is read anew.",
        "Nothing to do: changes go on being found. See why the log was not read (paused, spool full, agent stopped), "
        "or raise `wal_keep_seconds_max`.",
        "服务器为数据源 {source} 保留的日志已达 {seconds} 秒，超过上限 {limit} 秒：为保护其磁盘，"
        "复制槽已删除，将重新全量读取。",
        "无需处理，采集会继续。请查明日志未被读取的原因（已暂停、缓冲已满、代理曾停止），"
        "或调大 `wal_keep_seconds_max`。",
    ),
    "GC-2076": Advice(
        _R,
        "{table} has no key, and its log spells a row otherwise than reading the table does: it cannot be followed.",
        "Report it. Take the table out of the publication, and it is scanned.",
        "表 {table} 没有主键，且日志中的某行与读表所得写法不同，无法跟踪。",
        "请报告此问题；将该表移出发布后改为扫描。",
    ),
    "GC-2077": Advice(
        _R,
        "{table} has no key and is too large to be read by one statement beside its log.",
        "Take it out of the publication, and it is scanned; or give it a primary key.",
        "表 {table} 没有主键，且过大，无法在跟踪日志的同时用一条语句读完。",
        "请将其移出发布（改为扫描），或为其建立主键。",
    ),
    "GC-2078": Advice(
        _R,
        "The snapshot of {table} waits for a transaction that does not end (session {session} of the database).",
        "Ask the DBA what that session does; it begins by itself when the transaction ends.",
        "表 {table} 的全量采集在等待一个迟迟未结束的事务（数据库会话 {session}）。",
        "请 DBA 查看该会话；事务结束后自动开始。",
    ),
    "GC-2079": Advice(
        _R,
        "The replication slot of {source} cannot be made while a transaction does not end (session {session}).",
        "Ask the DBA what that session does; it is tried again by itself.",
        "数据源 {source} 的复制槽无法创建：有一个事务迟迟未结束（数据库会话 {session}）。",
        "请 DBA 查看该会话；将自动重试。",
    ),
    "GC-2080": Advice(
        _R,
        "In the hospital's application {statements} on {table} fails: the publication {publication} publishes it, "
        "which the table's replica identity does not allow.",
        "Have the DBA run this at once: {mend}.",
        "业务系统对表 {table} 的 {statements} 会失败：发布 {publication} 发布了这些操作，"
        "而该表的复制标识不足以支持。",
        "请 DBA 立即执行：{mend}。",
    ),
    "GC-2081": Advice(
        _R,
        "The publication {publication} takes in tables by itself ({rule}): in the hospital's application UPDATE and "
        "DELETE fail on each one without a replica identity, {count} at present.",
        "Have the DBA name its tables one by one: `edge-agent check {source} --sql` prints how.",
        "发布 {publication} 会自动纳入表（{rule}）：其中没有复制标识的表，业务系统的 UPDATE、DELETE 会失败，"
        "目前有 {count} 张。",
        "请 DBA 改为逐表列出：`edge-agent check {source} --sql` 会给出语句。",
    ),
    "GC-2082": Advice(
        _R,
        "The server of {source} has no replication slot left: all {limit} are in use.",
        "Ask the DBA to drop one that nobody uses, or to raise `max_replication_slots`, which takes a restart.",
        "数据源 {source} 的服务器已无可用的复制槽：{limit} 个均被占用。",
        "请 DBA 删除无人使用的复制槽，或调大 max_replication_slots（需重启数据库）。",
    ),
    "GC-2083": Advice(
        _R,
        "The server of {source} has no WAL sender left: all {limit} are in use.",
        "Ask the DBA to end one that nobody needs, or to raise `max_wal_senders`, which takes a restart.",
        "数据源 {source} 的服务器已无可用的日志发送进程：{limit} 个均被占用。",
        "请 DBA 停用不再需要的连接，或调大 max_wal_senders（需重启数据库）。",
    ),
    "GC-2084": Advice(
        _R,
        "The replication slot {slot} of {source} is not ours: it is of another kind, or of another database.",
        "Name another one by `slot`, or ask the DBA whose it is.",
        "数据源 {source} 的复制槽 {slot} 不属于本代理：其类型不同，或属于其他数据库。",
        "请用 slot 另取名称，或向 DBA 了解其归属。",
    ),
}
