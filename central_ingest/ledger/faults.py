"""What a database's error means for the ledger: begin anew, ask a person, or our own mistake. Pure.

A driver's own text is repeated only where no connection came about: of a statement it may hold what somebody asked,
patient data included. Passwords are blotted out wherever they might stand.
"""

from __future__ import annotations

from protocol.errors import Fault

REASON_CHARS_MAX = 200
BLOT = "***"

FOR_A_PERSON = {"GC-6091", "GC-6094"}
"""Codes that no waiting mends."""

_PERMANENT = {"42501", "3F000"}
"""No right to it, no schema: only a person mends these."""
_DAMAGED = {"XX001", "XX002", "SQLITE_CORRUPT", "SQLITE_NOTADB"}
_READ_ONLY = "25006"
_DOWN = {"08", "40", "53", "55", "57", "58"}
"""Classes of SQLSTATE (PostgreSQL, appendix A): connection, rollback, resources, object in use, an operator's
intervention, system. A server that only reads will write again, or another one in its place."""
_DOWN_SQLITE = {
    "BUSY",
    "LOCKED",
    "IOERR",
    "FULL",
    "CANTOPEN",
    "READONLY",
    "PERM",
    "NOMEM",
    "PROTOCOL",
    "INTERRUPT",
}


class LedgerDown(Fault):
    """The ledger failed, and what became of its last transaction is unknown. Whoever holds a part of it in memory
    begins anew from what stands there, as after a crash; no single step is tried again, and nothing is parked for it
    (decision 0024)."""


def judged(
    error: BaseException, *, is_connecting: bool, is_disconnect: bool, secret: str
) -> LedgerDown | None:
    """The fault that a driver's error is; None for a mistake of ours. `secret` is the password, if there is one."""
    code, kind = _code(error), type(error).__name__
    if code in _DAMAGED:
        return LedgerDown("GC-6094", reason=code)
    if code in _PERMANENT:
        return LedgerDown("GC-6091", reason=f"{kind}, SQLSTATE {code}")
    if code.startswith("SQLITE_"):
        is_down = code.split("_")[1] in _DOWN_SQLITE
        return LedgerDown("GC-6090", reason=code) if is_down else None
    if code:
        is_down = is_disconnect or code == _READ_ONLY or code[:2] in _DOWN
        return LedgerDown("GC-6090", reason=f"{kind}, SQLSTATE {code}") if is_down else None
    if is_connecting and kind == "ProgrammingError":  # an option of the URL that libpq does not know
        return LedgerDown("GC-6091", reason=_blotted(str(error), secret))
    if is_connecting or is_disconnect or kind in ("OperationalError", "InterfaceError"):
        return LedgerDown("GC-6090", reason=_blotted(str(error), secret))
    return None


def _code(error: BaseException) -> str:
    """SQLite's name of it, or a SQLSTATE; empty where nothing was executed."""
    found = getattr(error, "sqlite_errorname", None) or getattr(error, "pgcode", None)
    return str(found or "")


def _blotted(text: str, secret: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = "; ".join(lines)
    return (words.replace(secret, BLOT) if secret else words)[:REASON_CHARS_MAX]
