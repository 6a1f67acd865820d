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
        "Ask the DBA to create it again.",
        "数据源 {source} 的日志所需的发布（publication）不存在。",
        "请 DBA 重新创建。",
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
}
