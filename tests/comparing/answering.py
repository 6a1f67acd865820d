"""`central-ingest query`, again and again in one process: to import it takes longer than most answers.

    python -m tests.comparing.answering --config central.toml

Each line of its input is a question, JSON with `sql` and `out`; each goes through the whole command as a command
line of its own would, and its exit code is the line that comes back. What the command prints goes to stderr.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout

from central_ingest import commands


def main() -> None:
    answers, options = sys.stdout, sys.argv[1:]
    with redirect_stdout(sys.stderr):
        for line in sys.stdin:
            asked = json.loads(line)
            sys.argv[1:] = ["query", asked["sql"], "--output", asked["out"], *options]
            print(_run(), file=answers, flush=True)


def _run() -> int:
    """The exit code of the command line in `sys.argv`."""
    try:
        commands.run()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


if __name__ == "__main__":
    main()
