"""The folder into which the hospital's programs export CSV: reports that arrive, a device list that is rewritten.

Reports are `检验报告_YYYYMMDD_N.csv`, every second one with a byte order mark; `device_list.csv` is replaced as a whole
with some rows changed, added and removed. Both have a header row, CRLF line ends, and quoting after RFC 4180
with commas, quotes and line breaks inside cells. Each file is written under a name that begins with a dot and then
renamed, so that nobody reads half of one. Knows nothing of the database beyond the rows that it is handed.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from random import Random

from demo import names
from demo.desk import Count
from demo.texts import pick

DEVICE_LIST = "device_list.csv"
DEVICES = 400
REPORT_PREFIX = "检验报告"
REPORT_HEADER = (
    "报告编号", "患者编号", "姓名", "检验项目", "结果", "单位", "标志", "报告时间", "备注", "审核者",
)  # fmt: skip
DEVICE_HEADER = ("设备编号", "设备名称", "规格型号", "使用科室", "状态", "采购价格", "启用日期", "备注")
DEVICE_NAMES = (
    "彩色多普勒超声诊断仪",
    "全自动生化分析仪",
    "心电监护仪",
    "呼吸机",
    "输液泵",
    "数字化X线机(DR)",
    "电子胃镜",
)
DEVICE_NOTES = (
    "",
    "",
    "",
    "待报废",
    "外借至急诊, 月底归还",
    '标签写作"備用"',
    "维修记录：\n1. 更换探头\n2. 校准合格",
    "　",
)
REPORT_NOTES = (
    "",
    "",
    "",
    "标本轻度溶血",
    "已电话通知, 请复查",
    "危急值！\n已于10分钟内通知医师",
    '患者自述"空腹"',
    "见附页；",
)


def write_csv(path: Path, rows: Iterable[Sequence[object]], with_bom: bool) -> None:
    """Write a whole file beside its place, then move it there."""
    temporary = path.with_name(f".{path.name}.tmp")
    encoding = "utf-8-sig" if with_bom else "utf-8"
    with temporary.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows(rows)
    os.replace(temporary, path)


def drop_report(
    folder: Path, rng: Random, now: datetime, results: Iterable[Sequence[object]]
) -> tuple[str, int]:
    """Export results (lab_no, patient_id, patient_name, item_name, result_text, unit, flag, reported_at, reporter).

    Returns the file's name and its rows. Numbers of files count from 1 each day.
    """
    day = f"{REPORT_PREFIX}_{now:%Y%m%d}_"
    number = 1 + max((int(p.stem[len(day) :]) for p in folder.glob(f"{day}*.csv")), default=0)
    rows = [(*row[:-1], pick(rng, REPORT_NOTES), row[-1]) for row in results]
    path = folder / f"{day}{number}.csv"
    write_csv(path, [REPORT_HEADER, *rows], with_bom=number % 2 == 0)
    return path.name, len(rows)


def found_devices(folder: Path, rng: Random) -> None:
    """The first device list."""
    devices = [_device(rng, number) for number in range(1, DEVICES + 1)]
    write_csv(folder / DEVICE_LIST, [DEVICE_HEADER, *devices], with_bom=False)


def revise_devices(folder: Path, rng: Random) -> Count:
    """Rewrite the device list with one to six rows changed, one or two added and about as many removed."""
    path = folder / DEVICE_LIST
    with path.open(encoding="utf-8", newline="") as file:
        header, *devices = list(csv.reader(file))
    number = 1 + max(int(device[0][3:]) for device in devices)
    gone = rng.sample(range(len(devices)), 1 + rng.randrange(2))
    devices = [device for i, device in enumerate(devices) if i not in gone]
    changed = rng.sample(range(len(devices)), 1 + rng.randrange(6))
    for i in changed:
        status = "停用" if devices[i][4] == "在用" else "在用"
        devices[i] = [*devices[i][:4], status, *devices[i][5:7], pick(rng, DEVICE_NOTES)]
    added = [list(_device(rng, number + i)) for i in range(1 + rng.randrange(2))]
    write_csv(path, [header, *devices, *added], with_bom=False)
    return Count(inserts=len(added), updates=len(changed), deletes=len(gone))


def _device(rng: Random, number: int) -> tuple[str, ...]:
    """A device; its number keeps leading zeros, its price keeps trailing ones."""
    bought = f"{2008 + rng.randrange(17)}-{1 + rng.randrange(12):02d}-{1 + rng.randrange(28):02d}"
    price = f"{rng.randrange(800, 3_000_000)}.{rng.randrange(10)}0"
    model = f"{pick(rng, ('MX', 'EPIQ', 'BS', 'SV', ''))}-{rng.randrange(100, 999)}"
    return (
        f"EQ-{number:06d}", pick(rng, DEVICE_NAMES), model, pick(rng, names.DEPARTMENTS)[1],
        pick(rng, ("在用", "在用", "停用")), price, bought if number % 9 else "", pick(rng, DEVICE_NOTES),
    )  # fmt: skip
