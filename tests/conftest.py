"""What holds for every test. None asserts on measured time, hypothesis included: its default deadline would, on a
busy machine. None leaves a logger quieter or louder than it found it: which tests come after it in its process
differs from run to run.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

EXAMPLES = int(os.environ.get("GUICANG_EXAMPLES", "40"))
"""Of a property; each run draws others."""

settings.register_profile("guicang", deadline=None, max_examples=EXAMPLES)
settings.load_profile("guicang")


@pytest.fixture(scope="module", autouse=True)
def _loggers_are_left_as_found() -> Iterator[None]:
    before = _levels()
    yield
    changed = {name: level for name, level in _levels().items() if level != before.get(name, logging.NOTSET)}
    assert not changed, f"loggers left with another level: {changed}"


def _levels() -> dict[str, int]:
    """Of our own: a library may set its own when it is imported."""
    loggers = logging.Logger.manager.loggerDict
    return {
        name: one.level
        for name, one in loggers.items()
        if isinstance(one, logging.Logger) and name.partition(".")[0] in ("edge", "central", "protocol")
    }
