"""What the centre itself says stands in a table: its `query` command, run as any user would, and read back.

The command is a template with {sql} and {out}, run anew for each table; or one without them, which is started once
and then answers one question a line (see `tests.comparing.answering`): most of a single query is its beginning.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Timer
from types import TracebackType

import pyarrow as pa

from .catalogue import Catalogued, ComparisonError

_SECONDS_MAX = 600


class Asked:
    """Asks for one table after the other; use it as a context."""

    def __init__(self, template: str) -> None:
        self._command = shlex.split(template)
        self._stays = "{sql}" not in template
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Asked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()

    def ask(self, table: Catalogued) -> pa.Table:
        """The rows of the table's `current`, which travel as an Arrow IPC file of either format. Raises
        ComparisonError where the command fails."""
        quoted = table.query_name.replace('"', '""')
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "current.arrow")
            sql = f'SELECT * FROM current."{quoted}"'
            try:
                code = self._answer(sql, out) if self._stays else self._run(sql, out)
            except (OSError, ValueError, subprocess.TimeoutExpired) as error:
                raise ComparisonError(f"query could not be run: {type(error).__name__}") from None
            if code != 0 or not out.is_file():
                raise ComparisonError(f"query ended with exit code {code}")
            return _read(out.read_bytes())

    def _run(self, sql: str, out: Path) -> int:
        words = {"{sql}": sql, "{out}": str(out)}
        command = [_filled(word, words) for word in self._command]
        return subprocess.run(command, capture_output=True, timeout=_SECONDS_MAX, check=False).returncode

    def _answer(self, sql: str, out: Path) -> int:
        """One line there and one back. A process that died or hangs is no answer (ValueError)."""
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        limit = Timer(_SECONDS_MAX, process.kill)
        limit.start()
        try:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps({"sql": sql, "out": str(out)}).encode() + b"\n")
                process.stdin.flush()
            return int(process.stdout.readline())
        finally:
            limit.cancel()


def _filled(word: str, words: dict[str, str]) -> str:
    for name, value in words.items():
        word = word.replace(name, value)
    return word


def _read(data: bytes) -> pa.Table:
    try:
        return pa.ipc.open_file(data).read_all()
    except pa.ArrowInvalid:
        return pa.ipc.open_stream(data).read_all()
