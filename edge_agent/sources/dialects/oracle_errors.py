"""What Oracle's errors mean: by ORA- number, and by DPY-/DPI- code of the driver (their error references)."""

from __future__ import annotations

from edge_agent.sources.dialects.dialect import REFUSED, Trouble

_LOST = "unreachable, or the connection broke"
_NO_DATABASE = "there is no such database"
_RESOURCES = "the server is short of resources"
_STOPPING = "the server is starting or shutting down"

_CODES = {
    942: "GC-2002",
    904: "GC-2010",
    1466: "GC-2010",
    8103: "GC-2010",
    54: "GC-2041",
    30006: "GC-2041",
    1013: "GC-2042",
}
_REASONS = {
    997: "a LONG column cannot be read in pages",
    1031: "no permission",
    1410: "it was rebuilt while it was read",
    1555: "the server no longer has the state that was being read",
    1578: "a damaged block",
    22924: "the server no longer has the state that was being read",
}
_REFUSED = {
    1005: "login refused",
    1017: "login refused",
    1045: "no right to connect",
    28000: "the account is locked",
    28001: "the password has expired",
    28040: "the server does not know our way to log in",
}
_EVERYWHERE = (
    dict.fromkeys((12505, 12514, 12521), _NO_DATABASE)
    | dict.fromkeys((1033, 1034, 1089, 1090, 1092, 1109), _STOPPING)
    | dict.fromkeys((18, 20, 1652, 4030, 4031, 4036, 12516, 12519, 12520), _RESOURCES)
    | dict.fromkeys(
        (28, 1012, 2396, 3113, 3114, 3135, 12170, 12537, 12541, 12543, 12545, 12547, 12560), _LOST
    )
)
_DRIVER = {
    "DPI-1047": "Oracle's client library was not found in client_dir",
    "DPY-2019": "all Oracle sources of an agent need client_dir, or none",
    "DPY-3010": "the server is older than 12.1 and needs Oracle's client library (client_dir)",
    "DPY-3015": "the account's password has a form that needs Oracle's client library (client_dir)",
    "DPY-3028": "the national character set needs Oracle's client library (client_dir)",
    "DPY-6001": _NO_DATABASE,
    "DPY-6003": _NO_DATABASE,
}


def trouble_of(error: BaseException) -> Trouble:
    """Of an oracledb.Error."""
    detail = error.args[0] if error.args else None
    full = str(getattr(detail, "full_code", ""))
    number = int(full[4:]) if full.startswith("ORA-") and full[4:].isdecimal() else None
    if number in _CODES or number in _REASONS:
        return Trouble(_REASONS.get(number, ""), code=_CODES.get(number, "GC-2003"))
    if number in _REFUSED:
        return Trouble(_REFUSED[number], everywhere=True, code=REFUSED)
    if number in _EVERYWHERE:
        return Trouble(_EVERYWHERE[number], everywhere=True)
    if number is not None and not getattr(detail, "is_session_dead", False):
        return Trouble(f"the statement was refused, ORA-{number:05d}")
    if full in ("DPY-4024", "DPI-1067"):
        return Trouble("", code="GC-2042")
    return Trouble(_DRIVER.get(full, _LOST), everywhere=True)
