"""What a library makes of a broken file, as a refusal: whatever it raises has no content and no other effect.

A parser that meets damage raises of its own kinds, of Python's, or runs out of stack; each is the file's fault and
never the agent's. Only what a disk or a share says of itself stays what it is, to be tried again.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from edge_agent.sources.kinds.kind import Opened
from protocol.errors import Fault

_SEEKS = {None, errno.EINVAL}
"""A damaged file sends its reader to places that no file has; the disk is well."""


@contextmanager
def damage_is_refused(opened: Opened, problem: str) -> Iterator[None]:
    """Everything raised within but faults and a disk's errors becomes the refusal `problem`."""
    try:
        yield
    except Fault:
        raise
    except OSError as error:
        if error.errno not in _SEEKS:
            raise
        raise opened.refused(problem) from None
    except Exception:
        raise opened.refused(problem) from None
