"""`edge-agent`: the face of the agent. `status` is answered here at once; everything else loads the rest."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point. Exit codes: 0 healthy, 1 degraded, 2 not running, 64 usage, 78 configuration."""
    if sys.argv[1:2] == ["status"] and "--help" not in sys.argv:
        from . import status

        sys.exit(status.main(sys.argv[2:]))
    from .commands import run

    run()


if __name__ == "__main__":
    main()
