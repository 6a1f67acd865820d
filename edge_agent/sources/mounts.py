"""Whether what lies at a path comes over a network: there inotify tells nothing, device numbers and inodes may be
others after each mount, and clocks are another machine's.

Linux names the type of each mounted file system (proc(5), mountinfo). A type that is not known to be local counts
as the network, and where nothing can be told nothing is: whoever asks does what is right for either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

_MOUNTINFO = Path("/proc/self/mountinfo")
_LOCAL = frozenset(
    {
        "bcachefs",
        "btrfs",
        "erofs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "fuseblk",
        "hfsplus",
        "iso9660",
        "jfs",
    }
    | {
        "minix",
        "msdos",
        "nilfs2",
        "ntfs",
        "ntfs3",
        "overlay",
        "ramfs",
        "reiserfs",
        "rootfs",
        "squashfs",
        "tmpfs",
    }
    | {"ubifs", "udf", "vfat", "xfs", "zfs"}
)
"""Types whose files change only through this machine's kernel."""
_OCTAL = re.compile(r"\\([0-7]{3})")


def lies_on_network(path: str, device: int) -> bool | None:
    """`device`: its st_dev. None: nobody can tell."""
    try:
        lines = _MOUNTINFO.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return None
    kind = mounted_type(lines, os.path.realpath(path), f"{os.major(device)}:{os.minor(device)}")
    return None if kind is None else kind not in _LOCAL


def mounted_type(lines: Iterable[str], path: str, device: str) -> str | None:
    """The type of the file system, by lines of mountinfo: that of the device, or (some file systems give each of
    their volumes a number that stands nowhere) of the last mount at or above the path."""
    above, found = "", None
    for line in lines:
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(" "), tail.partition(" ")[0]
        if len(fields) < 5 or not kind:
            continue
        if fields[2] == device:
            return kind
        point = _OCTAL.sub(lambda octal: chr(int(octal[1], 8)), fields[4])
        if (path == point or path.startswith(point.rstrip("/") + "/")) and len(point) >= len(above):
            above, found = point, kind
    return found
