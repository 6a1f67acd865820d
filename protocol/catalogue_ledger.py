"""The catalogue's sentences about the centre's ledger, and about what `fsck` finds. Part of `catalogue`."""

from __future__ import annotations

from .advice import Advice, Blame

_L = Blame.LOCAL

OF_THE_LEDGER: dict[str, Advice] = {
    "GC-6090": Advice(
        _L,
        "The ledger does not answer ({reason}).",
        "See that its database runs, can be reached with the password given, and has room. The centre tries again by "
        "itself; agents keep their data.",
        "台账数据库无响应（{reason}）。",
        "请确认数据库正在运行、网络与密码无误且磁盘有空间；中心端会自动重试，前置机保留数据。",
    ),
    "GC-6091": Advice(
        _L,
        "The ledger's database cannot be used ({reason}).",
        "Correct `ledger.url`, or give the account a database of its own in UTF8, with the right to make tables there.",
        "台账数据库无法使用（{reason}）。",
        "请改正 `ledger.url`，或为该账号准备一个专用的 UTF8 数据库并授予建表权限。",
    ),
    "GC-6092": Advice(
        _L,
        "The ledger was written by a newer version of this program (its tables are number {found}, ours {known}).",
        "Run the newer version again, or restore the ledger from before the upgrade. Nothing was changed.",
        "台账由更新版本的程序写入（表结构编号 {found}，本程序为 {known}）。",
        "请使用较新的版本，或恢复升级前的台账；本次未作任何修改。",
    ),
    "GC-6093": Advice(
        _L,
        "The ledger is to be in PostgreSQL, but the package {package} is not installed.",
        "Install it: pip install 'guicang[centre-postgres]'.",
        "台账配置为 PostgreSQL，但未安装 {package}。",
        "请安装：pip install 'guicang[centre-postgres]'。",
    ),
    "GC-6094": Advice(
        _L,
        "The ledger is damaged ({reason}).",
        "Check the disk, move the ledger away (keep it) and start the daemon: it is completed from journal, lake and "
        "roster copies (docs/operating.md, Ledger lost).",
        "台账已损坏（{reason}）。",
        "请检查磁盘，移走（保留）台账后启动服务：将据日志、数据湖和名册副本补全（见 docs/zh/operating.md）。",
    ),
    "GC-6095": Advice(
        _L,
        "Commit {version} of {table} is not whole ({where} of its log).",
        "Stop the daemon and run `central-ingest fsck --repair`: it is set aside, and what it held lands again.",
        "表 {table} 的第 {version} 次提交不完整（位置 {where}：last 为末尾，middle 为中间）。",
        "请停止服务并运行 `central-ingest fsck --repair`：该提交会被移走保留，其内容重新入库。",
    ),
    "GC-6096": Advice(
        _L,
        "A data file of {table} is {wrong}: {file}.",
        "Check the disk, stop the daemon and run `central-ingest fsck --deep --repair`: the file is set aside, and "
        "what it held lands again or is read anew.",
        "表 {table} 的数据文件 {file} 有误（{wrong}）。",
        "请检查磁盘，停止服务并运行 `central-ingest fsck --deep --repair`：该文件会被移走保留，其内容重新入库"
        "或重新采集。",
    ),
    "GC-6097": Advice(
        _L,
        "The ledger calls {table} durable up to commit {said}, and the lake has it up to {found}.",
        "Nothing to do: the next start of the daemon checks the table, and lands again what is missing.",
        "台账记录表 {table} 已持久到第 {said} 次提交，而数据湖中为第 {found} 次。",
        "无需处理：服务下次启动时会核对该表，缺少的内容重新入库。",
    ),
    "GC-6098": Advice(
        _L,
        "The lake has a table that the ledger does not know: {table}.",
        "Start the daemon: the journal names it again. If it is still unknown then, it belongs to another centre.",
        "数据湖中有台账未登记的表：{table}。",
        "请启动服务：日志会重新登记该表。如之后仍未登记，则属于其他中心。",
    ),
    "GC-6099": Advice(
        _L,
        "{count} files ({bytes} bytes) of {table} belong to no commit; a crash, or a repair, left them.",
        "Nothing to do: they harm nobody, and maintenance removes what is old.",
        "表 {table} 有 {count} 个文件（{bytes} 字节）不属于任何提交，为崩溃或修复所遗留。",
        "无需处理：没有影响，维护任务会清理陈旧文件。",
    ),
    "GC-6101": Advice(
        _L,
        "The ledger is lost: it knows nothing, while journal or lake hold data.",
        "Start the daemon before any other command: it completes the ledger from roster copies, journal and lake. "
        "Commands not yet sent, unused invitations and the audit are lost; what was parked is judged again.",
        "台账已丢失：台账为空，而日志或数据湖中有数据。",
        "请先启动服务，再执行其他命令：服务会据名册副本、日志和数据湖补全台账。尚未发送的指令、未使用的邀请和"
        "审计记录无法恢复；暂停入库的内容会重新判定。",
    ),
    "GC-6102": Advice(
        _L,
        "A large value is {wrong}: files/{file}.",
        "Check the disk, stop the daemon and run `central-ingest fsck --deep --repair`: it comes from the journal "
        "again, or with a new epoch of its source.",
        "大字段文件 files/{file} 有误（{wrong}）。",
        "请检查磁盘，停止服务并运行 `central-ingest fsck --deep --repair`：由日志重新取得，"
        "或随数据源的新任期重新采集。",
    ),
    "GC-6103": Advice(
        _L,
        "The journal ends at {end}, and the ledger has seen it up to {said}: its end is lost.",
        "Check the disk and start the daemon: the agents are asked for the rest, or begin new epochs.",
        "日志止于 {end}，而台账曾见到 {said}：日志末尾已丢失。",
        "请检查磁盘并启动服务：会向前置机索取其余部分，或开始新任期。",
    ),
    "GC-6104": Advice(
        _L,
        "What is parked under the number {number} is no longer whole in the quarantine.",
        "Check the disk; `central-ingest quarantine drop {number}` records the gap and orders a snapshot.",
        "编号为 {number} 的暂停入库项在隔离区中已不完整。",
        "请检查磁盘；`central-ingest quarantine drop {number}` 会记录缺口并下达重新全量。",
    ),
    "GC-6105": Advice(
        _L,
        "Envelopes that were parked by a ledger now lost lie in {path}.",
        "What the journal has of them was judged again. Keep the folder until the tables have had a full snapshot.",
        "{path} 中是已丢失的台账所暂停的信封。",
        "日志中仍有的部分已重新判定。请保留该目录，直到相关表完成一次全量采集。",
    ),
    "GC-6107": Advice(
        _L,
        "Reading everything again takes longer than the {days} days that it may.",
        "Raise `maintenance.scrub_mib_per_second`, or `maintenance.scrub_days`.",
        "全部数据的巡检耗时超过了规定的 {days} 天。",
        "请调大 `maintenance.scrub_mib_per_second` 或 `maintenance.scrub_days`。",
    ),
    "GC-6106": Advice(
        _L,
        "The ledger's tables are of an older version of this program.",
        "Start the daemon, which brings them up to date, or run the version that wrote them.",
        "台账的表结构属于本程序的旧版本。",
        "请启动服务完成升级，或使用写入它的版本。",
    ),
}
