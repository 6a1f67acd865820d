"""The columns of a FHIR resource: what people search by, taken from where any version of FHIR has it.

Only a JSON string is carried as text, exactly; where a resource has something else in its place, or nothing, the
column is empty, and the resource itself says what it has. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from edge_agent.sources.kinds import moments
from edge_agent.sources.kinds.jsonexact import Number, encode, is_text
from protocol.schema import COMMENT, Column

TEXTS: Mapping[str, str] = {
    "resource_type": "resourceType",
    "resource_id": "id",
    "version_id": "meta.versionId",
    "last_updated": "meta.lastUpdated",
    "status": "status",
    "subject_reference": "subject.reference",
    "patient_reference": "patient.reference",
    "encounter_reference": "encounter.reference",
}
"""Column: where a resource has its text."""

JSONS: Mapping[str, str] = {
    "identifiers": "identifier",
    "profiles": "meta.profile",
    "code": "code",
}
"""Column: where a resource has what it holds as JSON text."""

OF_A_PATIENT: Mapping[str, str] = {"birth_date": "birthDate", "gender": "gender"}
PATIENT = "Patient"

TIMES = (
    "effectiveDateTime", "effectiveInstant", "effectivePeriod.start", "occurrenceDateTime", "occurrencePeriod.start",
    "performedDateTime", "performedPeriod.start", "onsetDateTime", "onsetPeriod.start", "authoredOn", "issued",
    "recordedDate", "assertedDate", "period.start", "started", "collection.collectedDateTime", "whenHandedOver",
    "billablePeriod.start", "startDate", "dateTime", "date", "created", "sent", "recorded", "timestamp",
)  # fmt: skip
"""Where a resource has the time of what it tells: the first of these that it has."""

_OTHERS: tuple[tuple[str, pa.DataType, str, str], ...] = (
    ("last_updated_at", pa.timestamp("us", tz="UTC"), "timestamp", "meta.lastUpdated, where it is exact"),
    ("time", pa.string(), "text", "the time of what the resource tells, as it stands"),
    ("time_element", pa.string(), "text", "where `time` stands in the resource"),
    ("patient_name", pa.string(), "text", "Patient: text of the first name, else its family and given names"),
    ("patient_names", pa.string(), "json", "Patient: name"),
    ("birth_date", pa.string(), "text", "Patient: birthDate"),
    ("gender", pa.string(), "text", "Patient: gender"),
    ("full_url", pa.string(), "text", "fullUrl of the entry of a bundle"),
    ("bundle_id", pa.string(), "text", "id of the bundle"),
    ("bundle_type", pa.string(), "text", "type of the bundle"),
    ("bundle_total", pa.string(), "text", "of a bundle itself: total, by its digits"),
    ("entry", pa.int64(), "integer", "place in the bundle, from 0; empty for the bundle itself"),
    ("entry_members", pa.string(), "json", "what an entry has beside fullUrl and resource"),
    ("resource", pa.string(), "json", "the resource as it is written; a bundle without its entries"),
)

COLUMNS = (
    *(Column(name, pa.string(), "text", {COMMENT: path}) for name, path in TEXTS.items()),
    *(Column(name, pa.string(), "json", {COMMENT: path}) for name, path in JSONS.items()),
    *(Column(name, wire, source_type, {COMMENT: told}) for name, wire, source_type, told in _OTHERS),
)


def fields(resource: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of a resource that `jsonexact` decoded."""
    values: dict[str, Any] = {name: text(resource, path) for name, path in TEXTS.items()}
    values |= {name: _json(resource, path) for name, path in JSONS.items()}
    moment = moments.of_fhir(values["last_updated"])
    values["last_updated_at"] = moment.instant if moment else None
    for element in TIMES:
        if (found := text(resource, element)) is not None:
            values |= {"time": found, "time_element": element}
            break
    if values["resource_type"] == PATIENT:
        values |= {name: text(resource, path) for name, path in OF_A_PATIENT.items()}
        values |= {"patient_name": _name(resource), "patient_names": _json(resource, "name")}
    return values


def carried(values: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """What of them can be carried, and whether all can: no text is half a surrogate pair, by escape or wrong byte."""
    sound = {k: v for k, v in values.items() if not isinstance(v, str) or is_text(v)}
    return sound, len(sound) == len(values)


def text(resource: Mapping[str, Any], path: str) -> str | None:
    found = _at(resource, path)
    return found if isinstance(found, str) and not isinstance(found, Number) else None


def _at(resource: Mapping[str, Any], path: str) -> Any:
    found: Any = resource
    for key in path.split("."):
        found = found.get(key) if isinstance(found, dict) else None
    return found


def _json(resource: Mapping[str, Any], path: str) -> str | None:
    found = _at(resource, path)
    return None if found is None else encode(found)


def _name(patient: Mapping[str, Any]) -> str | None:
    names = patient.get("name")
    first = names[0] if isinstance(names, list) and names else names
    if not isinstance(first, dict):
        return None
    whole = text(first, "text")
    given = first.get("given")
    parts = [first.get("family"), *(given if isinstance(given, list) else [given])]
    return whole or " ".join(p for p in parts if isinstance(p, str) and not isinstance(p, Number)) or None
