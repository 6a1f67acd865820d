"""The catalogue's sentences about what travels and about the centre: link, refused bytes, journal, landing.

Part of `catalogue`, from which everybody reads them.
"""

from __future__ import annotations

from .advice import Advice, Blame

_L, _R = Blame.LOCAL, Blame.REMOTE

OF_THE_CENTRE: dict[str, Advice] = {
    # 4xxx: link and messages
    "GC-4001": Advice(
        _R,
        "There is no connection to the broker {broker} ({reason}).",
        "Check the line and the address; everything is kept here and sent when it is back.",
        "与消息代理 {broker} 的连接中断（{reason}）。",
        "请检查线路和地址；数据保存在本地，恢复后自动发送。",
    ),
    "GC-4002": Advice(
        _R,
        "The broker {broker} refuses us ({reason}).",
        "Check user, password and certificates with the data centre.",
        "消息代理 {broker} 拒绝连接（{reason}）。",
        "请与数据中心核对用户名、密码和证书。",
    ),
    "GC-4003": Advice(
        _R,
        "The centre is away; everything is kept here until it is back.",
        "Nothing to do here; if it stays so, call the data centre.",
        "数据中心暂不在线，数据保存在本地。",
        "本地无需处理；如长时间如此，请联系数据中心。",
    ),
    "GC-4004": Advice(
        _R,
        "A message is not what its sender must send ({reason}).",
        "It was refused and counted; look at the sender if it repeats.",
        "收到不合规的消息（{reason}）。",
        "已拒绝并计数；如反复出现，请检查发送方。",
    ),
    "GC-4010": Advice(
        _R,
        "A command came that is addressed to another agent.",
        "It was refused and counted; look at the broker's access rules if it repeats.",
        "收到发给其他代理的指令。",
        "已拒绝并计数；如反复出现，请检查消息代理的访问规则。",
    ),
    "GC-4011": Advice(
        _R,
        "The command has expired, or is too old to tell whether it was obeyed before.",
        "Give it again, and look at the agent's clock if it repeats.",
        "指令已过期，或过于陈旧而无法判断是否执行过。",
        "请重新下达；如反复出现，请检查代理所在机器的时钟。",
    ),
    "GC-4012": Advice(
        _R,
        "The hospital's operator does not allow the command {name} from the centre.",
        "Ask the hospital to run it there, or to name it in `remote.allow` of its configuration.",
        "医院运维人员未允许中心执行 {name} 指令。",
        "请由医院在本地执行，或在其配置的 remote.allow 中加入该指令。",
    ),
    "GC-4013": Advice(
        _R,
        "The agent captures no table {table} of a source {source}.",
        "Correct the names; `edge-agent check` prints them at the hospital.",
        "该代理没有采集数据源 {source} 的表 {table}。",
        "请更正名称；在医院运行 `edge-agent check` 可列出名称。",
    ),
    "GC-4014": Advice(
        _R,
        "A person at the hospital paused {source}; the centre cannot resume it.",
        "Ask the hospital to run `edge-agent resume {source}`.",
        "数据源 {source} 由医院人员暂停，中心不能恢复。",
        "请联系医院运行 `edge-agent resume {source}`。",
    ),
    "GC-4015": Advice(
        _R,
        "The agent does not understand the command {name} with these arguments.",
        "Look at the versions of both ends.",
        "代理无法识别 {name} 指令或其参数。",
        "请核对两端的版本。",
    ),
    "GC-4016": Advice(
        _L,
        "Orders cannot be written down at {path} ({reason}).",
        "Free disk space or correct the rights; what was asked for waits until then.",
        "无法在 {path} 记录操作指令（{reason}）。",
        "请释放磁盘空间或修正权限；在此之前所请求的操作会等待。",
    ),
    "GC-4017": Advice(
        _L,
        "The orders at {path} cannot be read, so nobody knows which sources are paused.",
        "Restore the file from a backup, or move it away and pause again what must rest.",
        "无法读取 {path} 中的操作记录，因而不知道哪些数据源已暂停。",
        "请从备份恢复该文件，或将其移走并重新暂停需要停采的数据源。",
    ),
    "GC-4018": Advice(
        _L,
        "No agent that may send holds {site}/{source}.",
        "Run `central-ingest sites` and `central-ingest status` to see who holds what.",
        "没有有效的代理持有 {site}/{source}。",
        "请运行 `central-ingest sites` 和 `central-ingest status` 查看数据源归属。",
    ),
    # 5xxx: bytes that are refused, at either end
    "GC-5001": Advice(
        _R,
        "These bytes are no envelope of ours ({reason}).",
        "They were refused and counted; look at the sender if it repeats.",
        "该数据不是有效的信封（{reason}）。",
        "已拒绝并计数；如反复出现，请检查发送方。",
    ),
    "GC-5002": Advice(
        _R,
        "The signature does not fit.",
        "It was refused and counted; see that the sender holds the key it was enrolled with.",
        "签名不符。",
        "已拒绝并计数；请确认发送方持有注册时的密钥。",
    ),
    "GC-5003": Advice(
        _R,
        "The sender {agent} is not on the roster or was revoked.",
        "If it should send, invite its site anew.",
        "发送方 {agent} 不在名册中或已被吊销。",
        "如应允许其发送，请重新邀请该机构。",
    ),
    "GC-5004": Advice(
        _R,
        "No grant lets this agent send {site}/{source} in epoch {epoch}.",
        "It was refused and counted; the agent asks for a grant by itself.",
        "该代理无权在任期 {epoch} 内发送 {site}/{source}。",
        "已拒绝并计数；代理会自行申请授权。",
    ),
    "GC-5005": Advice(
        _R,
        "The envelope cannot be opened ({reason}).",
        "The stream is parked, its envelopes are kept. Check the site's sealing key, then `quarantine retry`.",
        "信封无法打开（{reason}）。",
        "该数据流已暂停入库，信封保留在隔离区；请检查该机构的密封密钥，然后执行 `central-ingest quarantine retry`。",
    ),
    "GC-5006": Advice(
        _R,
        "The content is not what its kind must be ({reason}).",
        "It was set aside with its coordinates (`central-ingest quarantine list`); look at the sender's version.",
        "内容与其类型不符（{reason}）。",
        "已连同坐标搁置（`central-ingest quarantine list`）；请检查发送方版本。",
    ),
    "GC-5007": Advice(
        _R,
        "A size exceeds its bound ({reason}).",
        "It was refused before anything was inflated.",
        "大小超出限制（{reason}）。",
        "已在解压之前拒绝。",
    ),
    # 6xxx: journal, landing, ledger
    "GC-6001": Advice(
        _L,
        "The journal at {path} cannot be written ({reason}).",
        "Free disk space; until then no receipts are given and the agents keep their data.",
        "日志 {path} 无法写入（{reason}）。",
        "请释放磁盘空间；在此之前不发回执，各代理保留数据。",
    ),
    "GC-6002": Advice(
        _L,
        "The journal is damaged at offset {offset} ({reason}).",
        "The bytes were set aside. Check the disk, and have the sources read anew (`edge-agent snapshot`).",
        "日志在偏移 {offset} 处损坏（{reason}）。",
        "该段数据已搁置。请检查磁盘，并在各前置机运行 `edge-agent snapshot` 重新采集。",
    ),
    "GC-6003": Advice(
        _L,
        "The table {table} is parked: {reason}.",
        "Its data waits in the quarantine. Mend the cause, then `central-ingest quarantine retry`; the others go on.",
        "表 {table} 已暂停入库：{reason}。",
        "数据保留在隔离区；请排除原因后执行 `central-ingest quarantine retry`，其他表不受影响。",
    ),
    "GC-6004": Advice(
        _L,
        "A column of {table} changed its type in a way that the lake cannot hold in one column.",
        "The table is parked with its data in the quarantine (`central-ingest quarantine`); the other tables go on.",
        "表 {table} 的列类型变化无法存入同一列。",
        "该表已暂停入库，数据保留在隔离区（`central-ingest quarantine`）；其他表不受影响。",
    ),
    "GC-6005": Advice(
        _L,
        "The lake at {path} cannot be written ({reason}).",
        "Free disk space or mend the store; landing goes on by itself afterwards.",
        "数据湖 {path} 无法写入（{reason}）。",
        "请释放空间或修复存储；之后会自动继续入库。",
    ),
    "GC-6006": Advice(
        _L,
        "The commit {version} of {table} is damaged.",
        "It was cut and is landed again from the journal; check the disk.",
        "表 {table} 的提交 {version} 已损坏。",
        "已截去并将从日志重新入库；请检查磁盘。",
    ),
    "GC-6007": Advice(
        _L,
        "The query cannot be run ({reason}).",
        "Run `central-ingest tables` for the names to use.",
        "查询无法执行（{reason}）。",
        "请用 `central-ingest tables` 查看可用的名称。",
    ),
    "GC-6020": Advice(
        _L,
        "Nothing is parked under the number {number}.",
        "Run `central-ingest quarantine list` for the numbers; it may have landed meanwhile.",
        "没有编号为 {number} 的暂停入库项。",
        "请用 `central-ingest quarantine list` 查看编号；它可能已经入库。",
    ),
    "GC-6021": Advice(
        _L,
        "The quarantine at {path} cannot be written ({reason}).",
        "Free disk space; until then landing waits and nothing is lost.",
        "隔离区 {path} 无法写入（{reason}）。",
        "请释放磁盘空间；在此之前入库等待，数据不会丢失。",
    ),
    "GC-6022": Advice(
        _L,
        "The quarantine no longer has all envelopes that were put into it.",
        "Check the disk; drop what is held, so that the source is read anew.",
        "隔离区中的信封已不完整。",
        "请检查磁盘，并丢弃该项，以便重新采集。",
    ),
    "GC-6023": Advice(
        _L,
        "{table} lacks rows that were dropped; what it shows is incomplete.",
        "Wait for its next full snapshot, or see that the ordered one is allowed (`central-ingest quarantine list`).",
        "{table} 缺少被丢弃的行，当前内容不完整。",
        "请等待下一次全量，或确认已下达的全量指令获医院允许（`central-ingest quarantine list`）。",
    ),
    "GC-6030": Advice(
        _L,
        "The copy of the roster at {path} is damaged, or not signed by this centre.",
        "Restore the file from a backup. If ledger.sqlite is known to be the newest, move the copy away.",
        "名册副本 {path} 已损坏，或并非由本中心签名。",
        "请从备份恢复该文件；如确认 ledger.sqlite 为最新，可移走该副本，启动时会重新生成。",
    ),
    "GC-6031": Advice(
        _L,
        "The ledger was lost and its copies are older than the journal: {stream} stands there in epoch {epoch}. "
        "A revocation may be missing.",
        "Restore a newer ledger.sqlite or roster.json. Without one move both copies away and enrol the agents anew.",
        "台账已丢失，且其副本早于日志：日志中 {stream} 已到任期 {epoch}，吊销记录可能缺失。",
        "请恢复较新的 ledger.sqlite 或 roster.json；如没有，请移走两份副本，并重新登记各代理。",
    ),
    "GC-6032": Advice(
        _L,
        "The copy of the roster at {path} cannot be written ({reason}).",
        "Free disk space; until then nobody is enrolled and no epoch is granted. It is tried again by itself.",
        "名册副本 {path} 无法写入（{reason}）。",
        "请释放磁盘空间；在此之前不登记代理、不授予任期，之后会自动重试。",
    ),
    "GC-6033": Advice(
        _L,
        "The ledger was lost or older than its copies and was completed from them: {agents} agents are known.",
        "Compare `central-ingest sites` with your own list. Invitations, commands not yet sent, records of gaps and "
        "the audit were not kept; what was parked is judged again.",
        "台账丢失或早于其副本，已据副本补全；名册现有 {agents} 个代理。",
        "请用 `central-ingest sites` 核对名册；未使用的邀请、未发送的指令、缺口记录和审计"
        "不在副本中，暂停入库的内容会重新判定。",
    ),
    "GC-6034": Advice(
        _L,
        "The journal is damaged at offset {offset}; what it lost of {stream} is asked of the agent again.",
        "Check the disk. Keep the agents connected: what has not landed yet waits for them (`central-ingest status`).",
        "日志在偏移 {offset} 处损坏，正向前置机重新索取 {stream} 丢失的部分。",
        "请检查磁盘，并保持前置机在线：尚未入库的部分等待其重新发送（见 `central-ingest status`）。",
    ),
    "GC-6035": Advice(
        _L,
        "What the journal lost of {stream} cannot come again ({reason}).",
        "Check the disk. What had not landed comes with a new epoch and full snapshots by itself.",
        "日志丢失的 {stream} 部分无法重新取得（{reason}）。",
        "请检查磁盘；尚未入库的数据会随新任期的全量采集自动补齐。",
    ),
    "GC-6036": Advice(
        _R,
        "An agent answered a question for lost envelopes with others ({reason}).",
        "Look at its samples (`central-ingest refused`); it is asked again, and nothing of it was taken.",
        "代理答复的信封并非所索取的内容（{reason}）。",
        "请查看样本（`central-ingest refused`）；未采用该内容，并会再次索取。",
    ),
    "GC-6050": Advice(
        _L,
        "A checkpoint of {table} at version {version} does not hold what the table holds ({difference}).",
        "It was taken away and nothing relied on it; landing and reading go on. Report this with the versions in use.",
        "表 {table} 在版本 {version} 的检查点与表内容不一致（{difference}）。",
        "该检查点已删除且未被采用；入库和读取不受影响。请连同所用版本一并上报。",
    ),
    "GC-6051": Advice(
        _L,
        "Maintenance of {path} met something that it cannot handle ({reason}).",
        "Landing goes on and the table stays readable; it is tried again. Report this if it stays.",
        "对 {path} 的维护遇到无法处理的情况（{reason}）。",
        "入库继续，该表仍可读取，系统会自动重试；若持续出现请上报。",
    ),
}
