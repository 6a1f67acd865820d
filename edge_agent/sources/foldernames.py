"""The names of files as a source tells them: how a path below the folder is spelt, which names never count, which a
rule means.

A name of a file is bytes, and two files are never told by one name: what differs in case or in Unicode normal form
alone stays apart, bytes that are no UTF-8 stand as `\\xNN`, and the backslash of a name that really reads like that
stands as `\\x5c`. So a name can be read back to its bytes (`name_bytes`). A path too long to name a table is cut and
told apart by its hash.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Collection

from protocol.limits import NAME_BYTES_MAX

HIDDEN_PREFIXES = (".", "~$")
"""Of files that programs hide, and of the lock that an office program lays beside an open document."""
TEMPORARY_SUFFIXES = (".tmp", ".part", ".partial", ".crdownload", ".filepart")
SYSTEM_FOLDERS = frozenset({"lost+found", "$RECYCLE.BIN", "System Volume Information"})
"""At the top of a file system: its own, and mostly closed to us."""

_LOOKS_ESCAPED = re.compile(r"\\(?=x[0-9a-f]{2})")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")
_DIGEST_BYTES = 16
_PREFIX_CHARS = 240
"""As much of a folder's name stands in every name below it, cut or not."""
_IS_UNICODE = sys.getfilesystemencoding() == "utf-8"


def spelt(name: str) -> str:
    """One name within a path, as `os` gives it."""
    if not (name.isascii() or (_IS_UNICODE and _is_text(name))):
        return _spelt_bytes(os.fsencode(name))
    return name if "\\" not in name else _LOOKS_ESCAPED.sub(r"\\x5c", name)


def _is_text(name: str) -> bool:
    """Whether it holds no half of a surrogate pair, which stands for a byte that is no text."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _spelt_bytes(name: bytes) -> str:
    parts: list[str] = []
    for part in re.split(r"([\udc80-\udcff])", name.decode("utf-8", "surrogateescape")):
        if len(part) == 1 and 0xDC80 <= ord(part) <= 0xDCFF:
            parts.append(f"\\x{ord(part) - 0xDC00:02x}")
        else:
            parts.append(_LOOKS_ESCAPED.sub(r"\\x5c", part))
    return "".join(parts)


def name_bytes(spelling: str) -> bytes:
    """The bytes of the name that is spelt like this."""
    return _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), spelling.encode())


def fitting(path: str) -> str:
    """The path below the folder as a name of at most NAME_BYTES_MAX bytes."""
    if len(path) * 4 <= NAME_BYTES_MAX or len(encoded := path.encode()) <= NAME_BYTES_MAX:
        return path
    digest = hashlib.blake2b(encoded, digest_size=_DIGEST_BYTES).hexdigest()
    room = NAME_BYTES_MAX - len("…".encode()) - len(digest)
    return f"{encoded[:room].decode(errors='ignore')}…{digest}"


def covered_by(parts: Collection[str]) -> Callable[[str], bool]:
    """Whether a name is one of these, or below one that ends in `/`."""
    folders = tuple(part[:_PREFIX_CHARS] for part in parts if part.endswith("/"))
    return lambda name: name in parts or name.startswith(folders)


def is_temporary(name: str) -> bool:
    """Of a file that somebody still writes, and will rename when it is whole."""
    return name.lower().endswith(TEMPORARY_SUFFIXES)


def glob_matcher(glob: str) -> Callable[[str], bool]:
    """Whether a name matches: `*`, `?`, `[…]` within a name, `**/` for any folders, case ignored."""
    parts = []
    for token in re.findall(r"\*\*/|\*\*|\*|\?|\[[^/\]]+\]|.", glob, re.DOTALL):
        match token:
            case "**/":
                parts.append("(?:[^/]*/)*")
            case "**":
                parts.append(".*")
            case "*":
                parts.append("[^/]*")
            case "?":
                parts.append("[^/]")
            case _ if len(token) > 1:
                parts.append("[" + token[1:-1].replace("\\", "\\\\").replace("!", "^", token[1] == "!") + "]")
            case _:
                parts.append(re.escape(token))
    pattern = re.compile("".join(parts), re.IGNORECASE | re.DOTALL)
    return lambda name: pattern.fullmatch(name) is not None
