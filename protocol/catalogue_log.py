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
        "Name the primary in the address, or capture this source by scans.",
        "数据源 {source} 是备库，无法精确跟踪其日志。",
        "请在地址中填写主库，或改用扫描方式采集。",
    ),
    "GC-2056": Advice(
        _R,
        "The server of {source} does not write a logical log (`wal_level`).",
        "Ask the DBA to set `wal_level = logical`, which takes a restart of the server.",
        "数据源 {source} 的服务器未开启逻辑日志（wal_level）。",
        "请 DBA 设置 wal_level = logical（需重启服务器）。",
    ),
    "GC-2057": Advice(
        _R,
        "The account of {source} may not read the server's log.",
        "Ask the DBA for the REPLICATION right.",
        "数据源 {source} 的账号无权读取服务器日志。",
        "请向 DBA 申请 REPLICATION 权限。",
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
