"""`central-ingest`: for the operators of the data centre."""

from __future__ import annotations


def main() -> None:
    """Entry point. Exit codes: 0 healthy, 1 degraded, 2 not running, 64 usage, 78 configuration."""
    from .commands import run

    run()


if __name__ == "__main__":
    main()
