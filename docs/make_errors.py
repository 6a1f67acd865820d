"""Writes docs/errors.md from the catalogue: `python docs/make_errors.py`, from the root of the repository."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from protocol.errors import CATALOGUE  # noqa: E402 - the line above lets this run without an installation

GROUPS = {
    "1": ("Configuration and command line", "配置与命令行"),
    "2": ("Sources and capture", "数据源与采集"),
    "3": ("Spool, identity and grants at the edge", "本地缓冲、身份与授权"),
    "4": ("Link and messages", "链路与消息"),
    "5": ("Bytes that are refused", "被拒绝的数据"),
    "6": ("Journal, landing, ledger", "日志、入库与账本"),
    "7": ("Enrolment", "注册"),
}

OPENING = """\
# Errors 错误代码

Every error that a person can meet has a stable code, one sentence of what happened and one of what to do. *Whose*:
local is the machine that reports it, remote the other side. Made from `protocol/errors.py` by `docs/make_errors.py`.

每个错误都有固定代码，并说明原因和处理方法。local 指报告错误的一方，remote 指对方。
"""


def text() -> str:
    parts = [OPENING]
    for digit, (english, chinese) in GROUPS.items():
        parts.append(f"\n## {digit}xxx: {english} {chinese}\n\n")
        parts.append("| code | whose | what happened, what to do | 原因与处理 |\n|---|---|---|---|\n")
        for code, advice in CATALOGUE.items():
            if code[3] == digit:
                english_cell = f"{advice.what} *{advice.todo}*"
                chinese_cell = f"{advice.what_zh}{advice.todo_zh}"
                parts.append(f"| {code} | {advice.blame.value} | {english_cell} | {chinese_cell} |\n")
    return "".join(parts)


def main() -> None:
    (ROOT / "docs" / "errors.md").write_text(text(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
