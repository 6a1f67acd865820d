"""`edge-agent`: the face of the agent. `status` is answered here at once; everything else loads the rest."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Entry point. Exit codes: 0 healthy, 1 degraded, 2 not running, 64 usage, 78 configuration."""
    if sys.argv[1:2] == ["status"] and "--help" not in sys.argv:
        from . import status

        try:
            code = status.main(sys.argv[2:])
            sys.stdout.flush()
        except BrokenPipeError:  # `edge-agent status | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            code = 0
        sys.exit(code)
    # Arrow's own allocator keeps what a snapshot needed; the system's gives it back (`platform.return_memory`).
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from .commands import run

    run()


if __name__ == "__main__":
    main()
