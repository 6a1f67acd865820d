"""The commented configuration that `edge-agent init` writes: every default visible, in two languages."""

from __future__ import annotations

import json
from pathlib import Path

_HEAD = """\
# 归仓前置机代理配置。以 # 开头的配置项即为默认值。
# Guicang edge agent. Every key with its default; a line with # in front is that default.
config_version = 1

[agent]
# 状态、密钥与缓冲的目录。 Where state, keys and the spool live.
state_dir = {state_dir}
# log_level = "INFO"

[link]
# 线路地址在注册令牌中，此处仅在本机不同时填写。 The address comes with the token; only what differs here.
# broker = ""                    # mqtts://host:8883
# username = ""
# password = ""                  # 或 password_file，或环境变量 or GUICANG_LINK__PASSWORD
# password_file = ""             # 绝对路径，或 systemd 凭据名 absolute, or the name of a systemd credential
# ca_file = ""
# cert_file = ""
# key_file = ""

[spool]
# bytes_max = 10737418240        # 断线时最多占用的磁盘 disk that an outage may take
# keep_receipted_bytes = 268435456

[remote]
# allow = []                     # 允许中心执行 what the centre may ask: "snapshot", "pause", "resume"

[sources.{slug}]
kind = {kind}
name = {name}
{address}
# 要采集的表，支持 * 和 ?；为空则不采集。 Tables to capture, * and ? allowed; empty: nothing is captured.
include = {include}
# exclude = []                   # 优先于 include wins over include
# scan_interval_seconds = 10.0   # 两次扫描的间隔 pause between two scans
# duty_share_max = 0.3           # 我们的语句最多占用的时间比例 share of time that our reads may run
# rows_per_second_max = 0        # 平均每秒最多读取的行数，0 为不限 rows read a second on average; 0: no limit
# scan_hours = []                # 扫描与全量采集的时段 when scans may run: ["Mon-Fri 20:00-06:00", "Sat-Sun"]
# page_rows = 10000              # 单条语句最多读取的行数 rows that one statement reads at most
# deletion_share_max = 0.3       # 一次消失超过此比例须人工确认 more than this waits for `edge-agent confirm`
# deletion_rows_min = 1000
# timezone = "Asia/Shanghai"
{more}
"""

_TABLE = """\
# 指定某表的主键，[] 表示无主键。 The key of one table; [] for none. 例 For example:
#   [sources.{slug}.tables."门诊就诊"]
#   key = ["就诊号"]"""

_WAYS = """

# 大表：少扫描，勤轮询。轮询不发现删除，漏掉的由扫描补齐。一张表可同时设置两种方式。
# A large table: scan it rarely, poll it often. A poll finds no deletion; what it misses a scan finds. Both may stand.
#   [sources.{slug}.tables."门诊就诊"]
#   scan_interval_seconds = 86400  # 默认同数据源 as the source has it by default
#   cursor = "更新时间"            # 新增或修改时必变的列 column that moves with every insert and update
#   poll_seconds = 5.0
#   overlap_seconds = 60.0         # 每次回读的时长 how far back each poll reads again
#   overlap = 1000                 # 数字游标的回读量 the same for a cursor of numbers
#   window = "就诊日期"            # 反复读取其近期范围 its recent range is read again and again
#   window_days = 3                # 日期或时间列 dates and times；数字列用 for numbers: window_span = 10000
#   window_seconds = 30.0"""

_SQL = (
    """\
# statement_seconds_max = 1.0    # 会阻塞写入时单条语句的时限 for a statement that makes writers wait
# answer_seconds_max = 600.0     # 数据库多久不应答即断开重连 silence after which a connection is given up
# 地址含密码时，用以下之一代替 url。 For an address with a password, one of these instead of url. 例 For example:
#   url_file = "/etc/guicang/his.url"
#   url_env = "HIS_URL"
# PostgreSQL 可改为按日志采集：kind = "postgres"，须先请 DBA 执行 edge-agent check {slug} --sql 给出的 SQL；另可设置：
# PostgreSQL may be captured by its log: kind = "postgres", once a DBA has run what `edge-agent check {slug} --sql`
# prints; then also:
#   slot = "guicang_{slug}"        # 连字符改为下划线 hyphens become underscores
#   publications = ["guicang_{slug}"]
#   wal_keep_bytes_max = 10737418240  # 允许服务器为我们保留的日志量 log that the server may keep for us
#   wal_keep_seconds_max = 604800     # 以及最久保留多少秒 and for how long
"""
    + _TABLE
    + _WAYS
)

_FILES = (
    """\
# stable_seconds = 2.0           # 文件静止多久后读取 how long a file must have rested
# vanish_share_max = 0.3         # 一次消失的文件超过此比例须人工确认 more than this waits for `edge-agent confirm`
# vanish_files_min = 20
# reread_hours = 168.0           # 看似未变的文件多久重读，0 为不重读 also what seems unchanged is read again; 0: never
"""
    + _TABLE
    + """

# 读取规则，先匹配者生效。 How files are read; the first rule that matches counts.
# 加 table = "名称" 则多个文件合为一张表。 With table = "name" all matching files are one table.
# 采集全部文件并自动判断类型： For every file, of whatever kind: glob = "**", kind = "auto", encoding = "auto"
# [[sources.{slug}.rules]]
# glob = "**/*.csv"
# kind = "csv"                   # fixed dbf excel parquet json ndjson hl7 cda fhir dicom file auto
# encoding = "utf-8"             # gb18030, gbk, big5 … auto
# delimiter = ","
# quote = '"'
# header = true
# header_row = 1                 # excel：列名所在行 the row of the names
# widths = []                    # fixed：各列字节数 bytes of each column
# names = []                     # fixed：列名 names of the columns, if no line has them
# key = []
# append_only = false            # csv、fixed：文件只追加，边写边读 only appended to, and read while it grows
# keep_bytes = false             # 表格的原始文件也入湖 the file itself lands, too
# dicom：改用指定字符集 a character set to believe instead of the file's own: dicom_charset = "GB18030"
"""
)


def render(state_dir: Path, slug: str, name: str, url: str, folder: str, include: list[str]) -> str:
    """The file's text, with one source of kind sql (`url`) or files (`folder`)."""
    files = bool(folder)
    more = (_FILES if files else _SQL).format(slug=slug)
    address = f"folder = {_quote(folder)}" if files else f"url = {_quote(url)}"
    return _HEAD.format(
        state_dir=_quote(str(state_dir)),
        slug=slug,
        kind=_quote("files" if files else "sql"),
        name=_quote(name),
        address=address,
        include=f"[{', '.join(map(_quote, include))}]",
        more=more,
    )


def _quote(text: str) -> str:
    """A TOML basic string (a JSON string is one, but for DEL)."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
