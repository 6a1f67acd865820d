"""Visits and their orders: rows of `outpatient_visit` and `medical_order`.

Pure: chance, the time and serial numbers come in, rows go out as named tuples in column order of `hospital.sql`.
Bills add up: a visit's total is its registration fee plus its orders. When things happen is the affair of `life`.
"""

from datetime import datetime, timedelta
from random import Random
from typing import NamedTuple

from demo import medicine, names
from demo.dictionaries import DOCTORS, PricedDrug
from demo.patients import Patient
from demo.texts import clock_text, diagnosis_text, fen_text, pick, present_illness, price_text

REGISTRATION_FEE_FEN = 1_500

_DEPT_NAMES = dict(names.DEPARTMENTS)
_DEPT_INDEX = {code: i for i, (code, _) in enumerate(names.DEPARTMENTS)}


class Visit(NamedTuple):
    """One row of `outpatient_visit`, in the table's column order."""

    visit_id: int
    patient_id: str
    patient_name: str
    gender: int
    birth_date: str | None
    id_card: str | None
    phone: str | None
    dept_code: str
    dept_name: str
    doctor_id: int
    doctor_name: str
    register_time: str
    visit_time: str | None
    discharge_time: str | None
    status: str
    icd10_code: str | None
    icd10_name: str | None
    chief_complaint: str | None
    present_illness: str | None
    diagnosis_text: str | None
    payment_code: str
    total_fee: str
    insurance_fee: str | None
    self_fee: str
    visit_type: int
    is_emergency: int
    remark: str | None
    created_at: str
    updated_at: str


class Order(NamedTuple):
    """One row of `medical_order`, in the table's column order."""

    visit_id: int
    order_no: int
    order_type: str
    item_code: str
    item_name: str
    spec: str | None
    dose: float | None
    dose_unit: str | None
    frequency: str | None
    route: str | None
    quantity: int
    unit: str | None
    price: str
    amount: str
    status: str
    ordered_at: str
    executed_at: str | None


class Fees(NamedTuple):
    """Total, the insurer's share and the patient's; `insurance` is None for those who pay all themselves."""

    total: str
    insurance: str | None
    self_paid: str


def fees(rng: Random, total_fen: int, payment_code: str) -> Fees:
    """How a bill is shared."""
    if payment_code == names.PAYMENT_SELF:
        return Fees(fen_text(total_fen), None, fen_text(total_fen))
    insured = total_fen * int(rng.random() * 81) // 100
    return Fees(fen_text(total_fen), fen_text(insured), fen_text(total_fen - insured))


def new_visit(
    rng: Random, visit_id: int, patient: Patient, registered: datetime, orders_fen: int, status: str
) -> Visit:
    """A visit in the given status: 已挂号 (no findings yet), 就诊中 or 已完成."""
    illness = _fitting_diagnosis(rng, patient)
    doctor_id, doctor_name = DOCTORS[
        int(rng.random() * 8) * len(_DEPT_INDEX) + _DEPT_INDEX[illness.dept_code]
    ]
    seen = registered + timedelta(minutes=3 + int(rng.random() * 90))
    left = seen + timedelta(seconds=300 + int(rng.random() * 9_000))
    share = fees(rng, REGISTRATION_FEE_FEN + orders_fen, patient.payment_code)
    begun, done = status != "已挂号", status == "已完成"
    came, went = clock_text(registered), clock_text(left) if done else None
    return Visit(
        visit_id=visit_id,
        patient_id=patient.patient_id,
        patient_name=patient.patient_name,
        gender=int(patient.sex_code),
        birth_date=patient.birth_date,
        id_card=patient.id_card,
        phone=patient.phone,
        dept_code=illness.dept_code,
        dept_name=_DEPT_NAMES[illness.dept_code],
        doctor_id=doctor_id,
        doctor_name=doctor_name,
        register_time=came,
        visit_time=clock_text(seen) if begun else None,
        discharge_time=went if rng.random() < 0.9 else None,
        status=status,
        icd10_code=illness.code if begun else None,
        icd10_name=illness.name if begun else None,
        chief_complaint=illness.complaint,
        present_illness=present_illness(rng, illness.complaint) if begun else None,
        diagnosis_text=diagnosis_text(rng, illness.name) if begun else "",
        payment_code=patient.payment_code,
        total_fee=share.total,
        insurance_fee=share.insurance,
        self_fee=share.self_paid,
        visit_type=int(rng.random() * 5),
        is_emergency=int(illness.dept_code == "D017"),
        remark=pick(rng, medicine.REMARKS) if rng.random() < 0.25 else None,
        created_at=came,
        updated_at=went or came,
    )


def new_orders(
    rng: Random,
    visit_id: int,
    count: int,
    drugs: list[PricedDrug],
    ordered: str,
    executed: str | None = None,
) -> tuple[list[Order], int]:
    """`count` orders of one visit numbered from 1, and their sum in fen; where `executed` is given, most are done."""
    orders, total_fen = [], 0
    for order_no in range(1, count + 1):
        done = executed if rng.random() < 0.9 else None
        order, fen = new_order(rng, visit_id, order_no, drugs, ordered, done)
        orders.append(order)
        total_fen += fen
    return orders, total_fen


def new_order(
    rng: Random,
    visit_id: int,
    order_no: int,
    drugs: list[PricedDrug],
    ordered: str,
    executed: str | None = None,
) -> tuple[Order, int]:
    """One order (most are drugs) and its amount in fen, rounded half up."""
    item, price, quantity = _drug_item(rng, drugs) if rng.random() < 0.6 else _service_item(rng)
    fen = (price * quantity + 50) // 100
    status = "已执行" if executed else "已开立"
    bill = (quantity, item[8], price_text(price), fen_text(fen), status, ordered, executed)
    return Order(visit_id, order_no, *item[:8], *bill), fen


# order_type, item_code, item_name, spec, dose, dose_unit, frequency, route, unit
_Item = tuple[
    str, str, str, str | None, float | None, str | None, str | None, str | None, str | None
]  # fmt: skip


def _drug_item(rng: Random, drugs: list[PricedDrug]) -> tuple[_Item, int, int]:
    code, price, drug = drugs[int(rng.random() * len(drugs))]
    frequency = pick(rng, medicine.FREQUENCIES)
    item = ("药品", code, drug.name, drug.spec, drug.dose, drug.dose_unit, frequency, drug.route, drug.unit)
    return item, price, 1 + int(rng.random() * 4)


def _service_item(rng: Random) -> tuple[_Item, int, int]:
    chance = rng.random()
    if chance < 0.5:
        lab = pick(rng, medicine.LAB_ITEMS)
        return ("检验", lab.code, lab.name, None, None, None, "st", None, "项"), lab.price, 1
    kind, services = ("检查", medicine.EXAMS) if chance < 0.8 else ("治疗", medicine.TREATMENTS)
    code, name, price = pick(rng, services)
    return (kind, code, name, "", None, None, "st", None, "次"), price, 1


def _fitting_diagnosis(rng: Random, patient: Patient) -> medicine.Diagnosis:
    """Children go to 儿科, women alone to 妇科 and 产科, men alone to the prostate clinic."""
    child = (patient.birth_date or "") > "2013"
    while True:
        found = pick(rng, medicine.DIAGNOSES)
        dept = found.dept_code
        if child != (dept == "D012") and not (child and dept in {"D002", "D014", "D015", "D017"}):
            continue
        wanted_sex = "2" if dept in {"D010", "D011"} else "1" if found.code == "N40.x00" else patient.sex_code
        if patient.sex_code == wanted_sex:
            return found
