"""`central-ingest`: for the operators of the data centre."""

from __future__ import annotations

import os


def main() -> None:
    """Entry point. Exit codes: 0 healthy, 1 degraded, 2 not running, 64 usage, 78 configuration."""
    # Of batches that come and go Arrow's own allocator asks the kernel for ever new pages; the system's keeps them.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    from .commands import run

    run()


if __name__ == "__main__":
    main()
