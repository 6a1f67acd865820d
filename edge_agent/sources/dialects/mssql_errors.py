"""What SQL Server's errors mean, by its own number or DB-Library's (20000 and above)."""

from __future__ import annotations

from edge_agent.sources.dialects.dialect import REFUSED, Trouble

QUERY_TIMEOUT = 20003

_LOST = "unreachable, or the connection broke"
_RESOURCES = "the server is short of resources"

_CODES = {
    208: "GC-2002",
    207: "GC-2010",
    3961: "GC-2010",
    1205: "GC-2041",
    1222: "GC-2041",
    3617: "GC-2042",
    QUERY_TIMEOUT: "GC-2042",
}
_REASONS = {
    229: "no permission",
    230: "no permission",
    605: "a damaged page",
    823: "a damaged page",
    824: "a damaged page",
    3952: "the database no longer allows snapshots",
    3966: "the server no longer has the state that was being read",
}
_REFUSED = {
    916: "no right to the database",
    18452: "login refused",
    18456: "login refused",
    18470: "the account is disabled",
    18486: "the account is locked",
    18487: "the password has expired",
    18488: "the password must be changed",
}
_EVERYWHERE = {
    911: "there is no such database",
    4060: "there is no such database, or no right to it",
    701: _RESOURCES,
    802: _RESOURCES,
    1105: _RESOURCES,
    8645: _RESOURCES,
    9002: _RESOURCES,
    6005: "the server is shutting down",
    17142: "the server is paused",
    17188: "the server is shutting down",
    10053: _LOST,
    10054: _LOST,
    10060: _LOST,
}
_LIBRARY = 20_000


def number_of(error: BaseException) -> int | None:
    """pymssql gives (number, text), or a tuple of it."""
    first = error.args[0] if error.args else None
    first = first[0] if isinstance(first, tuple) and first else first
    return first if isinstance(first, int) else None


def trouble_of(error: BaseException) -> Trouble:
    """Of a pymssql.Error."""
    number = number_of(error)
    if number in _CODES or number in _REASONS:
        return Trouble(_REASONS.get(number, ""), code=_CODES.get(number, "GC-2003"))
    if number in _REFUSED:
        return Trouble(_REFUSED[number], everywhere=True, code=REFUSED)
    if number in _EVERYWHERE:
        return Trouble(_EVERYWHERE[number], everywhere=True)
    if not number or number >= _LIBRARY:
        return Trouble(_LOST, everywhere=True)
    return Trouble(f"the statement was refused, error {number}")
