"""How much memory this process takes, as Linux counts it: whatever a library in C takes is in it."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc/self")


def begin() -> int:
    """Bytes of now; the peak counts anew from here."""
    (_PROC / "clear_refs").write_text("5")
    return _bytes("VmRSS")


def peak() -> int:
    """Bytes at most since `begin`."""
    return _bytes("VmHWM")


def _bytes(name: str) -> int:
    lines = (_PROC / "status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
