"""The lesser papers: rows of `lab_result` and `operation_log`.

Pure: chance, the time and serial numbers come in, rows go out as tuples in column order of `hospital.sql`.
"""

from datetime import datetime
from random import Random

from demo import medicine, names
from demo.dictionaries import DOCTORS
from demo.texts import clock_text, pick


def new_result(rng: Random, serial: int, visit_id: int, patient_id: str, reported: str) -> tuple[object, ...]:
    """A row of `lab_result`: a float and its flag, or text alone for an item without range or a value off scale."""
    item = pick(rng, medicine.LAB_ITEMS)
    value: float | None = None
    flag: str | None = ""
    if item.low is None or item.high is None:
        text = "阴性(-)" if rng.random() < 0.8 else "阳性(＋)"
    else:
        value = item.low + (item.high - item.low) * (rng.random() * 1.5 - 0.1)  # all the digits a float has
        flag = "L" if value < item.low else "H" if value > item.high else None
        text = f"{value:.3g}"
        if item.code == "HBVDNA":
            value, text = (None, "<20") if rng.random() < 0.5 else (2.37e8 * rng.random(), "详见定量值")
    reporter = pick(rng, DOCTORS)[1]
    key = f"LR{serial:010d}"
    return key, visit_id, patient_id, item.code, item.name, value, text, item.unit, flag, reporter, reported


def log_row(rng: Random, at: datetime) -> tuple[object, ...]:
    """A row of `operation_log`. Terminals' heartbeats carry the minute alone, so that rows repeat exactly."""
    module, action = pick(rng, names.MODULES)
    operator_id = 1000 + int(rng.random() * len(DOCTORS))
    if action == "心跳":
        return f"{at:%Y-%m-%d %H:%M}:00", 0, "TERM-01", module, action, None
    terminal = f"10.18.{operator_id % 7}.{operator_id % 251}"
    detail = f"耗时{int(rng.random() * 900)}ms；结果=成功" if rng.random() < 0.7 else ""
    return clock_text(at), operator_id, terminal, module, action, detail
