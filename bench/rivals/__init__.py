"""What a user would write or install instead; each runs as processes of its own.

dlt and what else is compared with live in `.venv-bench`, an environment of its own: nothing of it comes into ours.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_HOME = _ROOT / ".venv-bench"
_WANTED = _ROOT / "bench" / "requirements.txt"


def install() -> tuple[Path | None, str]:
    """The Python that has them, installed now where it is missing; or None and why it is not there."""
    python, mark = _HOME / "bin" / "python", _HOME / "installed.txt"
    wanted = _WANTED.read_text("utf-8")
    if mark.exists() and mark.read_text("utf-8") == wanted:
        return python, ""
    quiet = ["--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(_HOME)],
        [str(python), "-m", "pip", "install", *quiet, "-r", str(_WANTED)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            return None, f"what we compare with could not be installed ({reason})"
    mark.write_text(wanted, "utf-8")
    return python, ""


def versions(python: Path) -> str:
    """Of what is compared with."""
    code = (
        "import importlib.metadata as m\n"
        "print(*(f'{n} {m.version(n)}' for n in ('dlt', 'pyarrow', 'sqlalchemy', "
        "'connectorx', 'adbc-driver-postgresql')), sep=', ')"
    )
    return subprocess.run(
        [str(python), "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def environment(home: Path) -> dict[str, str]:
    """Without what would send anything home."""
    return os.environ | {"HOME": str(home), "RUNTIME__DLTHUB_TELEMETRY": "false", "DO_NOT_TRACK": "1"}
