"""The sentences of every fault that a person can meet, in English and Chinese, by stable code.

With its siblings `catalogue_…` the only place where such a sentence is written; docs/errors.md is drawn from it.
Facts that fill a sentence are names and numbers, never a value out of a record.
"""

from __future__ import annotations

from .advice import Advice, Blame
from .catalogue_centre import OF_THE_CENTRE
from .catalogue_files import OF_FILES
from .catalogue_lake import OF_THE_LAKE
from .catalogue_ledger import OF_THE_LEDGER
from .catalogue_log import OF_A_LOG

_L, _R = Blame.LOCAL, Blame.REMOTE

_HERE: dict[str, Advice] = {
    # 1xxx: configuration and command line
    "GC-1001": Advice(
        _L,
        "The configuration file {path} does not exist.",
        "Run `{command} init`, or name the file with --config.",
        "找不到配置文件 {path}。",
        "请先运行 `{command} init`，或用 --config 指定文件。",
    ),
    "GC-1002": Advice(
        _L,
        "The configuration file {path} is not valid TOML (line {line}).",
        "Correct that line; strings need quotes.",
        "配置文件 {path} 第 {line} 行不是合法的 TOML。",
        "请改正该行，字符串要加引号。",
    ),
    "GC-1003": Advice(
        _L,
        "The key `{key}` in {path} is wrong: {problem}.",
        "Correct the key; the commented sample lists every key with its default.",
        "配置文件 {path} 中的 `{key}` 有误：{problem}。",
        "请改正该项；带注释的样例文件列出了全部配置项及默认值。",
    ),
    "GC-1004": Advice(
        _L,
        "The secret for `{key}` cannot be read from {origin}.",
        "Put the secret there, readable by the account that runs this program.",
        "无法从 {origin} 读取 `{key}` 所需的密码。",
        "请将密码放在该处，并保证运行本程序的账号可读。",
    ),
    "GC-1005": Advice(
        _L,
        "{path} exists already.",
        "Move it away first, or go on with what is there: nothing was overwritten.",
        "{path} 已存在。",
        "请先移走该文件，或沿用现有内容；本次未覆盖任何内容。",
    ),
    "GC-1006": Advice(
        _L,
        "Another {command} already works in {path}.",
        "Stop the other one first, or give this one its own configuration.",
        "已有另一个 {command} 正在使用 {path}。",
        "请先停止另一个进程，或为本进程使用单独的配置。",
    ),
    "GC-1007": Advice(
        _L,
        "The key file {path} is missing, unreadable or open to other users.",
        "Restore it with owner-only rights (chmod 600).",
        "密钥文件 {path} 缺失、不可读或其他用户可读。",
        "请恢复该文件，并设为仅所有者可读（chmod 600）。",
    ),
    # 2xxx: sources and capture
    "GC-2001": Advice(
        _R,
        "The source {source} cannot be reached ({reason}).",
        "Check that the database or folder is up and the account still valid; the agent keeps trying.",
        "数据源 {source} 无法访问（{reason}）。",
        "请检查数据库或文件夹是否正常、账号是否有效；代理会一直重试。",
    ),
    "GC-2002": Advice(
        _R,
        "The table {table} of {source} is gone, or the account no longer sees it.",
        "Put it back or ask the DBA for SELECT; meant: take it out of `include`, or `confirm` it. Nothing was deleted.",
        "数据源 {source} 的表 {table} 已不存在，或账号已无权查看。",
        "请恢复该表或申请 SELECT 权限；如为有意删除，请将其从 include 移除或执行 confirm。数据未作删除。",
    ),
    "GC-2003": Advice(
        _R,
        "The table {table} cannot be read ({reason}).",
        "Ask the DBA for SELECT on it; the other tables go on.",
        "表 {table} 无法读取（{reason}）。",
        "请向 DBA 申请该表的 SELECT 权限；其他表不受影响。",
    ),
    "GC-2004": Advice(
        _R,
        "A key value of {table} is not of its declared type, so rows cannot be told apart by it.",
        "Set `key = []` for this table: it is then captured as a multiset of rows.",
        "表 {table} 的主键值与声明的类型不符，无法据此区分各行。",
        "请为该表设置 `key = []`，改为按整行多重集采集。",
    ),
    "GC-2005": Advice(
        _R,
        "The configured key of {table} is not unique or has nulls.",
        "Correct the key, or set `key = []`.",
        "为表 {table} 配置的主键不唯一或含空值。",
        "请改正主键，或设置 `key = []`。",
    ),
    "GC-2006": Advice(
        _L,
        "{deletes} of {rows} rows of {table} vanished at once; nothing was sent.",
        "Look at the source. If the deletion is meant, run `edge-agent confirm {source} {table}`.",
        "表 {table} 的 {rows} 行中有 {deletes} 行同时消失，暂未上报。",
        "请核实数据源。确属正常删除时，运行 `edge-agent confirm {source} {table}`。",
    ),
    "GC-2007": Advice(
        _R,
        "{table} was not read within {seconds} s, the longest we let one statement run on this source.",
        "Give the table a key, or raise `statement_seconds_max` if the database allows it.",
        "表 {table} 未能在 {seconds} 秒内读完，这是单条语句在该数据源上的时限。",
        "请为该表指定主键；如数据库允许，可调大 statement_seconds_max。",
    ),
    "GC-2008": Advice(
        _R,
        "The file {file} is no table: {problem} (line {line}).",
        "Correct the export, or describe it with a rule; the other files go on.",
        "文件 {file} 第 {line} 行不符合表格格式：{problem}。",
        "请改正导出文件，或用规则描述其格式；其他文件不受影响。",
    ),
    "GC-2009": Advice(
        _R,
        "The folder of {source} has vanished or is empty.",
        "Mount it again; nothing was taken for deleted. If it was emptied on purpose: `edge-agent confirm {source}`.",
        "数据源 {source} 的文件夹消失或为空。",
        "请重新挂载；系统未将任何内容视为删除。如为有意清空，运行 `edge-agent confirm {source}`。",
    ),
    "GC-2010": Advice(
        _R,
        "{table} changed its columns while it was being read.",
        "Nothing to do: the table is read again with its new columns.",
        "读取过程中表 {table} 的列发生了变化。",
        "无需处理：将按新的列重新读取。",
    ),
    "GC-2011": Advice(
        _R,
        "The file {file} is not valid {encoding}.",
        "Declare the right `encoding` for it.",
        "文件 {file} 不是有效的 {encoding} 编码。",
        "请为其声明正确的 encoding。",
    ),
    "GC-2012": Advice(
        _L,
        "No table of {source} is included, so nothing is captured.",
        "List the tables with `edge-agent check {source}` and put the wanted ones into `include`.",
        "数据源 {source} 未选择任何表，因此不会采集。",
        "请用 `edge-agent check {source}` 列出各表，并将需要的写入 include。",
    ),
    "GC-2013": Advice(
        _L,
        "{table} has a row of {bytes} bytes besides its large values; no envelope holds it.",
        "Report this with the table's definition; the other tables go on.",
        "表 {table} 有一行除大字段外仍达 {bytes} 字节，无法装入一个信封。",
        "请连同表结构一起报告；其他表不受影响。",
    ),
    "GC-2014": Advice(
        _R,
        "The file {file} is still being written.",
        "Nothing to do: it is read once it has rested.",
        "文件 {file} 仍在写入中。",
        "无需处理：静止后即会读取。",
    ),
    "GC-2020": Advice(
        _L,
        "{table} has no column {column}, which its {way} is set to follow.",
        "Correct `{way}` of this table (`edge-agent check` lists its columns); until then only its scans find changes.",
        "表 {table} 没有列 {column}，而其 {way} 设置要求跟踪该列。",
        "请改正该表的 {way} 设置（可用 `edge-agent check` 查看各列）；在此之前只能由扫描发现变更。",
    ),
    "GC-2021": Advice(
        _L,
        "Column {column} of {table} is {type}, whose values have no order that a {way} can follow.",
        "Name a column of numbers, dates or times in `{way}`; until then only its scans find changes.",
        "表 {table} 的列 {column} 类型为 {type}，其值没有 {way} 可跟踪的顺序。",
        "请在 {way} 中指定数字、日期或时间类型的列；在此之前只能由扫描发现变更。",
    ),
    "GC-2022": Advice(
        _L,
        "{table} has no key, so `{way}` cannot tell a changed row from a new one.",
        "Set `key` if some columns do tell its rows apart, or take `{way}` out; its scans find all changes.",
        "表 {table} 没有主键，{way} 无法区分修改的行与新增的行。",
        "如有可区分各行的列，请设置 key；否则请去掉 {way}，由扫描发现全部变更。",
    ),
    "GC-2023": Advice(
        _L,
        "The window column {column} of {table} is {type}, and `{missing}` is not set.",
        "Set `{missing}`: days for dates and times, the last so many values for numbers.",
        "表 {table} 的窗口列 {column} 类型为 {type}，但未设置 {missing}。",
        "请设置 {missing}：日期和时间列按天数，数字列按最近多少个值。",
    ),
    "GC-2024": Advice(
        _R,
        "Column {column} of {table} is text whose greatest value spells no time, so `{way}` cannot follow it.",
        "Correct the value, or name another column; until then only its scans find changes.",
        "表 {table} 的列 {column} 为文本，其最大值不是时间格式，{way} 无法跟踪。",
        "请改正该值，或改用其他列；在此之前只能由扫描发现变更。",
    ),
    "GC-2025": Advice(
        _L,
        "The window of {table} holds more than {rows} rows.",
        "Make it smaller (`window_days`, `window_span`); until then only its scans find deletions.",
        "表 {table} 的窗口超过 {rows} 行。",
        "请缩小窗口（window_days、window_span）；在此之前删除只能由扫描发现。",
    ),
    "GC-2040": Advice(
        _R,
        "The source {source} refuses the agent's account ({reason}).",
        "Correct the address (`url_file` is read anew at each attempt) or ask the DBA; the agent keeps trying.",
        "数据源 {source} 拒绝了代理的账号（{reason}）。",
        "请更正地址中的账号或密码（每次重试都会重新读取 url_file），或联系 DBA；代理会一直重试。",
    ),
    "GC-2041": Advice(
        _R,
        "Another session keeps the table {table} of {source} locked, so it could not be read.",
        "Nothing to do if that passes; if not, ask the DBA who holds the lock. The other tables go on.",
        "数据源 {source} 的表 {table} 被其他会话锁定，暂时无法读取。",
        "短时锁定无需处理；如持续出现，请 DBA 查明持锁会话。其他表不受影响。",
    ),
    "GC-2042": Advice(
        _R,
        "Reading {table} of {source} was cancelled, or took longer than a statement may.",
        "See whether the database is overloaded, give the table a key, or raise `answer_seconds_max`.",
        "读取数据源 {source} 的表 {table} 时语句被取消或超时。",
        "请检查数据库负载，为该表指定主键，或调大 answer_seconds_max。",
    ),
    "GC-2044": Advice(
        _L,
        "The pattern `{pattern}` in `include` of {source} matches no table that exists.",
        "Correct it (`edge-agent check {source}` lists the tables), or take it out until there is such a table.",
        "数据源 {source} 的 include 中的 `{pattern}` 没有匹配到任何表。",
        "请更正（`edge-agent check {source}` 列出各表），或先将其移除，待有该表时再加入。",
    ),
    "GC-2045": Advice(
        _R,
        "The folder of {source} is another folder, or lies on another file system, than before.",
        "Mount the right one. If this is it, mounted anew: `edge-agent confirm {source}`.",
        "数据源 {source} 的文件夹已不是原来的文件夹，或所在文件系统已改变。",
        "请挂载正确的文件夹；如确为原文件夹重新挂载，运行 `edge-agent confirm {source}`。",
    ),
    "GC-2030": Advice(
        _R,
        "The table {table} cannot be read whole and exactly ({reason}), so it is not read.",
        "Ask the DBA to lift what stands in the way, or leave the table out with `exclude`; the others go on.",
        "表 {table} 无法完整且精确地读取（{reason}），因此不予采集。",
        "请联系 DBA 消除该限制，或用 exclude 排除该表；其他表不受影响。",
    ),
    # 3xxx: spool, identity and grants on the edge
    "GC-3001": Advice(
        _L,
        "The spool has reached its limit of {limit} bytes; capture waits, nothing is lost.",
        "Restore the line to the centre, or raise `spool.bytes_max` if the disk allows.",
        "本地缓冲已达上限 {limit} 字节，采集暂停，数据不会丢失。",
        "请恢复到中心的线路；磁盘允许时可调大 spool.bytes_max。",
    ),
    "GC-3002": Advice(
        _L,
        "The spool at {path} cannot be written ({reason}).",
        "Free disk space or correct the rights; capture goes on by itself afterwards.",
        "本地缓冲 {path} 无法写入（{reason}）。",
        "请释放磁盘空间或修正权限；之后采集会自动继续。",
    ),
    "GC-3003": Advice(
        _L,
        "Spooled envelope {seq} of {source} no longer has the bytes it was stored with.",
        "Check the disk; the agent tells the centre about the gap and captures the source anew.",
        "数据源 {source} 的缓冲信封 {seq} 与写入时不一致。",
        "请检查磁盘；代理会向中心报告缺口并重新采集该数据源。",
    ),
    "GC-3004": Advice(
        _L,
        "This agent is not enrolled.",
        "Ask the data centre for a token and run `edge-agent enrol TOKEN`.",
        "本代理尚未注册。",
        "请向数据中心索取令牌，并运行 `edge-agent enrol TOKEN`。",
    ),
    "GC-3005": Advice(
        _R,
        "The centre has not granted an epoch for {source} yet, so nothing is captured from it.",
        "Wait for the connection; if it stays so, call the data centre.",
        "中心尚未为数据源 {source} 授予采集任期，因此暂不采集。",
        "请等待连接；如长时间如此，请联系数据中心。",
    ),
    "GC-3006": Advice(
        _L,
        "The centre knows another history of {source} than this machine (a copied or restored machine).",
        "See that only one copy of this agent runs; a new epoch with a full snapshot is needed.",
        "中心记录的数据源 {source} 历史与本机不同（机器被复制或恢复过）。",
        "请确认只有一份代理在运行；需要新的任期并重新全量采集。",
    ),
    "GC-3007": Advice(
        _R,
        "Epoch {epoch} of {source} was ended by the centre in favour of a newer one.",
        "If another machine took over, stop this one; otherwise a new grant follows by itself.",
        "数据源 {source} 的任期 {epoch} 已被中心以更新的任期取代。",
        "如已由其他机器接管，请停止本机；否则会自动获得新的授权。",
    ),
    "GC-3008": Advice(
        _L,
        "The spool at {path} was written by a newer version of this program.",
        "Run that version again; nothing was changed. An older one cannot know what stands there.",
        "本地缓冲 {path} 由更新版本的程序写入。",
        "请换回该版本运行；未改动任何内容，旧版本无法识别其格式。",
    ),
    "GC-3010": Advice(
        _R,
        "The centre's journal was damaged and lost a part of {source} in this epoch.",
        "Nothing to do here: a new epoch with a full snapshot begins by itself.",
        "中心的日志损坏，丢失了数据源 {source} 本任期的部分数据。",
        "本机无需处理：会自动开始新的任期并重新全量采集。",
    ),
    "GC-3011": Advice(
        _L,
        "The centre asked for envelopes of {source} again that are no longer in the spool.",
        "Nothing to do: a new epoch begins if it needs one. A larger `spool.keep_receipted_bytes` keeps more.",
        "中心请求重新发送数据源 {source} 的信封，但本地缓冲已不再保留。",
        "无需处理：如有必要会自动开始新的任期。调大 `spool.keep_receipted_bytes` 可保留更多。",
    ),
    "GC-3012": Advice(
        _R,
        "A question for old envelopes of {source} is not of this session or epoch.",
        "Nothing to do: it was not obeyed. If it recurs, somebody repeats old messages on the line.",
        "重新发送数据源 {source} 信封的请求不属于当前会话或任期。",
        "无需处理，该请求未被执行；如反复出现，说明有人在线路上重放旧消息。",
    ),
    # 7xxx: enrolment
    "GC-7001": Advice(
        _L,
        "The token is not one of ours or was cut while copying.",
        "Copy it whole, in one line.",
        "令牌无效，或复制时不完整。",
        "请完整复制，令牌为一行。",
    ),
    "GC-7002": Advice(
        _R,
        "The centre refuses the token (used, expired or revoked).",
        "Ask the data centre for a new one.",
        "中心拒绝该令牌（已使用、过期或被撤销）。",
        "请向数据中心索取新的令牌。",
    ),
    "GC-7003": Advice(
        _R,
        "The centre did not answer within {seconds} s.",
        "Check the line and that the centre is running, then run the same command again.",
        "数据中心在 {seconds} 秒内没有应答。",
        "请检查线路及数据中心是否运行，然后重新执行同一命令。",
    ),
    "GC-7004": Advice(
        _L,
        "This agent is enrolled already, for site {site}.",
        "Nothing to do. To enrol anew, give it a new state directory.",
        "本代理已注册，机构为 {site}。",
        "无需处理。如需重新注册，请使用新的状态目录。",
    ),
}

CATALOGUE: dict[str, Advice] = dict(
    sorted((_HERE | OF_A_LOG | OF_FILES | OF_THE_CENTRE | OF_THE_LEDGER | OF_THE_LAKE).items())
)
