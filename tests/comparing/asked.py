"""What the centre itself says stands in a table: its `query` command, run as any user would, and read back."""

from __future__ import annotations

import shlex
import subprocess
import tempfile
from pathlib import Path

import pyarrow as pa

from .catalogue import Catalogued, ComparisonError

_SECONDS_MAX = 600


def ask(template: str, table: Catalogued) -> pa.Table:
    """The rows of the table's `current`. `template` is a command with {sql} and {out} (an Arrow IPC file, of
    either format). Raises ComparisonError where the command fails."""
    quoted = table.query_name.replace('"', '""')
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "current.arrow")
        words = {"{sql}": f'SELECT * FROM current."{quoted}"', "{out}": str(out)}
        command = [_filled(word, words) for word in shlex.split(template)]
        try:
            done = subprocess.run(command, capture_output=True, timeout=_SECONDS_MAX, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ComparisonError(f"query could not be run: {type(error).__name__}") from None
        if done.returncode != 0 or not out.is_file():
            raise ComparisonError(f"query ended with exit code {done.returncode}")
        return _read(out.read_bytes())


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(name, value)
    return word


def _read(data: bytes) -> pa.Table:
    try:
        return pa.ipc.open_file(data).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(data).read_all()
