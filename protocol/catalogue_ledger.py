"""The catalogue's sentences about the centre's ledger. Part of `catalogue`, from which everybody reads them."""

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
}
