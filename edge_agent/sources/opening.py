"""Opens a file of the hospital's so that others may still rename, replace and delete it.

POSIX always allows that. On Windows Python's own `open` forbids deletion for as long as the file is open,
which would make the export that writes it fail (promise 8); CreateFileW with all sharing rights does not
(https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-createfilew).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _GENERIC_READ = 0x80000000
    _SHARE_READ_WRITE_DELETE = 0x7
    _OPEN_EXISTING = 3
    _SEQUENTIAL = 0x08000000
    _INVALID_HANDLE = ctypes.c_void_p(-1).value

    _create_file = ctypes.WinDLL("kernel32", use_last_error=True).CreateFileW
    _create_file.restype = wintypes.HANDLE
    _create_file.argtypes = (
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.LPVOID,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    )

    def open_shared(path: Path) -> BinaryIO:
        """The file for reading, unbuffered positions aside as `open(path, "rb")`. Raises OSError."""
        handle = _create_file(
            str(path), _GENERIC_READ, _SHARE_READ_WRITE_DELETE, None, _OPEN_EXISTING, _SEQUENTIAL, None
        )
        if handle == _INVALID_HANDLE:
            raise ctypes.WinError(ctypes.get_last_error())
        return os.fdopen(msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY), "rb")

else:
    _FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    """A pipe may have taken the file's place since it was found: whoever opens one waits for its writer otherwise."""

    def open_shared(path: Path) -> BinaryIO:
        """The file for reading, as `open(path, "rb")`. Raises OSError."""
        return open(path, "rb", opener=lambda name, _: os.open(name, _FLAGS))
