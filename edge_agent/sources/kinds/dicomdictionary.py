"""What the DICOM dictionaries say of a tag: the room of pydicom.

Value representations of standard and of known private elements, and which transfer syntaxes are written how. pydicom
does not read the files here; `dicomelements` says why. Its settings are left as they are: they are the process's.
"""

from __future__ import annotations

from pydicom import datadict

_PRIVATE_CREATORS = range(0x10, 0x100)

UNKNOWN = "UN"


def vr_of(tag: int, creator: str | None = None) -> str:
    """`UN` where nobody knows. Of some elements it is one of several, as in "US or SS". `creator`: who reserved the
    block that a private element is in."""
    element = tag & 0xFFFF
    if element == 0:
        return "UL"
    try:
        if not is_private(tag):
            known = datadict.dictionary_VR(tag)
            return known if known != "NONE" else UNKNOWN
        if element in _PRIVATE_CREATORS:
            return "LO"
        return datadict.private_dictionary_VR(tag, creator) if creator else UNKNOWN
    except (KeyError, ValueError):
        return UNKNOWN


def is_private(tag: int) -> bool:
    return bool(tag >> 16 & 1)


def creator_tag(tag: int) -> int | None:
    """Where the creator of a private element is named."""
    return (tag & 0xFFFF0000) | (tag >> 8 & 0xFF) if is_private(tag) and tag & 0xFF00 else None


def is_creator(tag: int) -> bool:
    return is_private(tag) and tag & 0xFFFF in _PRIVATE_CREATORS


def is_standard(tag: int) -> bool:
    return datadict.dictionary_has_tag(tag)
