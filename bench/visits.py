"""The rows that are carried: outpatient visits of 25 columns, about 470 bytes each, Chinese texts and all.

As in the figures that we compare with (names, shares of nulls, lengths), made from a seed. So many distinct rows are
made; a longer table repeats them under new visit numbers, further apart than any compressor looks back.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from protocol.names import TableName
from protocol.schema import Column, TableSchema

TABLE = "outpatient_visit"
DISTINCT_ROWS = 50_000
SLICE_ROWS = 10_000
"""Rows of one slice, as one page of a source has them."""

_FAMILIES = "王李张刘陈杨黄赵吴周徐孙马朱胡林郭何高罗郑梁谢宋唐许邓冯韩曹"
_GIVEN = (
    "伟 芳 娜 敏 静 丽 强 磊 军 洋 勇 艳 杰 娟 涛 明 超 秀英 霞 平 刚 桂英 建国 文 辉 玲 志强 晓东 海燕 "
    "子涵 浩然 雨桐 梓萱 欣怡 俊杰 思远 一诺 诗涵 宇轩 佳怡"
).split()
_DEPARTMENTS = (
    "心血管内科 呼吸与危重症医学科 消化内科 神经内科 肾内科 内分泌科 血液科 风湿免疫科 普通外科 骨科 泌尿外科 "
    "胸外科 神经外科 妇科 产科 儿科 眼科 耳鼻咽喉头颈外科 口腔科 皮肤科 感染科 肿瘤科 中医科 康复医学科 急诊医学科 "
    "疼痛科 精神心理科 老年医学科 全科医学科 体检中心"
).split()
_ORGANS = (
    "上呼吸道 支气管 肺部 胃 十二指肠 肝脏 胆囊 胰腺 肾脏 膀胱 前列腺 甲状腺 乳腺 颈椎 腰椎 膝关节 皮肤 眼结膜 "
    "冠状动脉 脑血管"
).split()
_TROUBLES = (
    "急性感染 慢性炎症 溃疡 良性肿瘤 恶性肿瘤 结石 囊肿 退行性变 先天性异常 外伤 功能障碍 出血 梗阻 术后随访 待查"
).split()
_TEXT = (
    "患者因反复咳嗽咳痰三天加重伴发热一天来诊无胸痛咯血既往有高血压病史十余年规律口服氨氯地平血压控制尚可否认糖尿病"
    "冠心病史否认药物过敏史查体神志清楚精神可咽部充血双侧扁桃体不大双肺呼吸音粗可闻及散在干啰音心率齐各瓣膜听诊区未闻"
    "及病理性杂音腹平软无压痛反跳痛肝脾肋下未触及双下肢无水肿辅助检查血常规白细胞计数升高中性粒细胞比例增高胸部影像示"
    "两肺纹理增多处理建议注意休息多饮水清淡饮食口服阿莫西林克拉维酸钾及氨溴索三日后门诊复查如有不适随诊患者诉腰痛半年"
    "余加重一周伴左下肢放射痛行走受限直腿抬高试验阳性腰椎间盘突出考虑给予理疗牵引及非甾体抗炎药物治疗建议完善磁共振"
    "检查必要时住院治疗定期复查肝肾功能血脂血糖糖化血红蛋白甲状腺功能尿常规未见明显异常心电图示窦性心律偶发房性早搏"
)
_BORN, _SINCE = date(1930, 1, 1), datetime(2021, 1, 1, tzinfo=UTC)

_STAMP = pa.timestamp("us", tz="UTC")
_FEE = pa.decimal128(12, 2)
_WIRE: dict[str, pa.DataType] = {
    "visit_id": pa.int64(),
    "patient_id": pa.string(),
    "patient_name": pa.string(),
    "gender": pa.int16(),
    "birth_date": pa.date32(),
    "id_card": pa.string(),
    "phone": pa.string(),
    "dept_code": pa.string(),
    "dept_name": pa.string(),
    "doctor_id": pa.int32(),
    "doctor_name": pa.string(),
    "visit_time": _STAMP,
    "register_time": _STAMP,
    "discharge_time": _STAMP,
    "icd10_code": pa.string(),
    "icd10_name": pa.string(),
    "diagnosis_text": pa.string(),
    "total_fee": _FEE,
    "insurance_fee": _FEE,
    "self_fee": _FEE,
    "visit_type": pa.int16(),
    "is_emergency": pa.int16(),
    "remark": pa.string(),
    "created_at": _STAMP,
    "updated_at": _STAMP,
}
ARROW = pa.schema(list(_WIRE.items()))
PREPARED = ARROW.append(pa.field("_key", pa.binary(16)))
"""With what prepares each row: its key as `_gc_key` has it."""


def schema() -> TableSchema:
    """The table as our protocol describes it, keyed by visit."""
    columns = tuple(Column(name, wire) for name, wire in _WIRE.items())
    return TableSchema(TableName(None, None, TABLE), columns, ("visit_id",))


def write_slices(path: Path, rows: int) -> None:
    """The table as an Arrow IPC file of PREPARED slices."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, PREPARED) as writer:
        for part in slices(rows):
            writer.write_batch(part)


def slices(rows: int, distinct_rows: int = DISTINCT_ROWS) -> Iterator[pa.RecordBatch]:
    """The table in PREPARED slices of SLICE_ROWS, of which `distinct_rows` is a multiple."""
    distinct = pa.RecordBatch.from_arrays(
        [
            pa.array(values, wire)
            for values, wire in zip(_columns(min(rows, distinct_rows)), _WIRE.values(), strict=True)
        ],
        schema=ARROW,
    )
    for start in range(0, rows, SLICE_ROWS):
        part = distinct.slice(start % distinct_rows, min(SLICE_ROWS, rows - start))
        shift = start // distinct_rows * distinct_rows
        numbers = pc.add(part.column(0), shift)
        keys = [hashlib.blake2b(n.to_bytes(8, "big"), digest_size=16).digest() for n in numbers.to_pylist()]
        yield pa.RecordBatch.from_arrays(
            [numbers, *part.columns[1:], pa.array(keys, pa.binary(16))], schema=PREPARED
        )


def write_sqlite(path: Path, rows: int) -> None:
    """The table in a SQLite database: times and fees as the text and numbers that such databases hold."""
    kinds = {pa.string(): "TEXT", _STAMP: "DATETIME", pa.date32(): "DATE", _FEE: "DECIMAL(12,2)"}
    columns = ", ".join(f"{name} {kinds.get(wire, 'INTEGER')}" for name, wire in list(_WIRE.items())[1:])
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"CREATE TABLE {TABLE} (visit_id INTEGER PRIMARY KEY, {columns})")
        places = ", ".join("?" * len(_WIRE))
        for part in slices(rows):
            texts = [_as_sqlite(column) for column in part.columns[:-1]]
            db.executemany(f"INSERT INTO {TABLE} VALUES ({places})", zip(*texts, strict=True))


def _as_sqlite(column: pa.Array) -> list[Any]:
    if pa.types.is_timestamp(column.type):
        return pc.strftime(column, "%Y-%m-%d %H:%M:%S").to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_date32(column.type):
        return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return]
    if pa.types.is_decimal(column.type):
        return column.cast(pa.string()).to_pylist()  # type: ignore[no-any-return] # the nearest double, by its affinity
    return column.to_pylist()  # type: ignore[no-any-return]


def _columns(rows: int) -> list[list[Any]]:
    rng = Random(20261127)
    return list(map(list, zip(*(_visit(rng, number) for number in range(1, rows + 1)), strict=True)))


def _visit(rng: Random, number: int) -> tuple[Any, ...]:
    patient, doctor, trouble, part = (int(rng.random() * n) for n in (400_000, 800, 300, 30))
    born = _BORN + timedelta(days=patient % 34_000)
    visited = _SINCE + timedelta(seconds=number * 63 % 157_680_000 + int(rng.random() * 3_600))
    fee = Decimal(int(rng.random() * 200_000) + 500) / 100
    insured = doctor % 80
    return (
        number,
        f"P{patient:010d}",
        _name(patient),
        1 + patient % 2,
        born,
        None if rng.random() < 0.05 else f"4401{patient % 100:02d}{born:%Y%m%d}{patient % 10_000:04d}",
        None if rng.random() < 0.33 else f"13{int(rng.random() * 1e9):09d}",
        f"D{part:03d}",
        _DEPARTMENTS[part],
        1_000 + doctor,
        _name(doctor),
        visited,
        visited - timedelta(minutes=int(rng.random() * 90)),
        None if rng.random() < 0.25 else visited + timedelta(seconds=int(rng.random() * 14_400)),
        f"{chr(65 + trouble % 26)}{trouble * 7 % 100:02d}.{trouble % 10}",
        _ORGANS[trouble // 15] + _TROUBLES[trouble % 15],
        None if rng.random() < 0.02 else _diagnosis(rng),
        fee,
        None if doctor % 5 == 0 else _cents(fee * insured / 100),
        _cents(fee * (100 - insured) / 100),
        int(rng.random() * 5),
        int(rng.random() < 1 / 12),
        None if rng.random() < 0.7 else _excerpt(rng, 5, 35),
        visited - timedelta(seconds=int(rng.random() * 5_400)),
        visited + timedelta(seconds=int(rng.random() * 86_400), microseconds=int(rng.random() * 1e6)),
    )


def _name(number: int) -> str:
    return _FAMILIES[number % 30] + _GIVEN[number // 7 % 40]


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


def _excerpt(rng: Random, shortest: int, longest: int) -> str:
    start = int(rng.random() * (len(_TEXT) - longest))
    return _TEXT[start : start + shortest + int(rng.random() * (longest - shortest))]


def _diagnosis(rng: Random) -> str:
    vital = f" T{36 + rng.random() * 3:.1f} BP{100 + int(rng.random() * 60)}/{60 + int(rng.random() * 30)} "
    return _excerpt(rng, 10, 60) + vital + _excerpt(rng, 0, 46)
