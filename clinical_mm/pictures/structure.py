"""The skeleton of a DICOM file, walked without recursion: where the data set starts, its encoding, its depth.

Source: DICOM PS3.5 section 7 (data elements, nesting), PS3.10 section 7 (preamble, file meta information).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from clinical_mm.errors import UnreadableFile
from clinical_mm.limits import WIDEST, Limits
from clinical_mm.pictures.limits import inflate

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

_UNDEFINED = 0xFFFFFFFF
_PIXEL_DATA = (0x7FE0, 0x0010)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
_VRS = _LONG_VRS | frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)


class Element(NamedTuple):
    """Header of one data element; its value is ``data[start : start + length]``, ``length`` None = undefined."""

    tag: tuple[int, int]
    vr: bytes
    start: int
    length: int | None


@dataclass(frozen=True)
class DataSet:
    """Bytes of a data set alone, inflated where they came deflated, and how to read them."""

    data: bytes
    transfer_syntax: str
    implicit: bool
    little: bool


def element_at(data: bytes, at: int, *, implicit: bool, little: bool) -> Element:
    """The element header that starts at byte ``at``.

    Raises:
        struct.error: the bytes end inside it.
    """
    order = "<" if little else ">"
    tag: tuple[int, int] = struct.unpack_from(order + "HH", data, at)
    if implicit or tag[0] == 0xFFFE:
        (length,) = struct.unpack_from(order + "L", data, at + 4)
        return Element(tag, b"", at + 8, None if length == _UNDEFINED else length)
    vr = data[at + 4 : at + 6]
    if vr in _LONG_VRS:
        (length,) = struct.unpack_from(order + "L", data, at + 8)
        return Element(tag, vr, at + 12, None if length == _UNDEFINED else length)
    (length,) = struct.unpack_from(order + "H", data, at + 6)
    return Element(tag, vr, at + 8, length)


def is_dicom(data: bytes) -> bool:
    """True for a DICOM file, also one without preamble or file meta information that starts like a data set."""
    return data[128:132] == b"DICM" or _plausible(data, 0, 0x0002) or _bare_start(data) is not None


def find_data_set(data: bytes, limits: Limits = WIDEST) -> DataSet:
    """The data set of a file for which ``is_dicom`` holds.

    Raises:
        UnreadableFile: a deflated data set is too big or cut off.
        zlib.error: it claims to be deflated and is not.
    """
    if data[128:132] == b"DICM":
        return _after_meta(data, 132, limits)
    bare = _bare_start(data)
    return _after_meta(data, 0, limits) if bare is None else _guessed(data, bare)


def _bare_start(data: bytes) -> int | None:
    # A writer that cut the file meta information off by a wrong length can leave one padding byte before the rest.
    return next((start for start in (0, 1) if _plausible(data, start, 0x0008)), None)


def check_structure(part: DataSet, limits: Limits = WIDEST) -> None:
    """Refuse sequences nested too deep, and too many elements, before a recursive reader sees them.

    Raises:
        UnreadableFile: there are.
    """
    for count, depth in enumerate(_depths(part), 1):
        if depth > 2 * limits.depth:  # a sequence and its item
            raise UnreadableFile(f"sequences nest more than {limits.depth} deep")
        if count > limits.elements:
            raise UnreadableFile(f"the header holds more than {limits.elements:,} elements")


def _depths(part: DataSet) -> Iterator[int]:
    """How many sequences and items are open at each element before the pixels."""
    ends: list[int] = []  # where each open sequence or item stops; undefined length: the end of the data
    at, data = 0, part.data
    implicit_below: list[bool] = []
    while at + 8 <= len(data):
        while ends and at >= ends[-1]:
            ends.pop()
            implicit_below.pop()
        implicit = part.implicit or (bool(implicit_below) and implicit_below[-1])
        element = _element_or_none(data, at, implicit=implicit, little=part.little)
        if element is None or (element.tag == _PIXEL_DATA and not ends):
            return
        at = element.start
        if element.tag in {_ITEM_END, _SEQUENCE_END}:
            if ends:
                ends.pop()
                implicit_below.pop()
        elif _opens(element):
            ends.append(len(data) if element.length is None else at + element.length)
            implicit_below.append(implicit or element.vr == b"UN")
        else:
            at += element.length or 0
        yield len(ends)


def _opens(element: Element) -> bool:
    return element.vr == b"SQ" or element.tag == _ITEM or element.length is None


def _element_or_none(data: bytes, at: int, *, implicit: bool, little: bool) -> Element | None:
    try:
        return element_at(data, at, implicit=implicit, little=little)
    except struct.error:
        return None


def _after_meta(data: bytes, at: int, limits: Limits) -> DataSet:
    """The data set behind file meta information that starts at ``at``; that part is always explicit little endian."""
    transfer_syntax = ""
    while (element := _element_or_none(data, at, implicit=False, little=True)) is not None:
        if element.tag[0] != 0x0002 or element.length is None:
            break
        at = element.start + element.length
        if element.tag == (0x0002, 0x0010):
            transfer_syntax = data[element.start : at].rstrip(b"\0 ").decode("ascii", "replace")
    if not transfer_syntax:
        return _guessed(data, at)
    rest = inflate(data[at:], limits) if transfer_syntax == DEFLATED else data[at:]
    little = transfer_syntax != EXPLICIT_BIG
    # The header's word is not always true: a data set that has no VR where one must stand is implicit all the same.
    implicit = transfer_syntax == IMPLICIT_LITTLE and rest[4:6] not in _VRS
    return DataSet(rest, transfer_syntax, implicit, little)


def _guessed(data: bytes, at: int) -> DataSet:
    """The encoding as the first element shows it, for files without a transfer syntax."""
    rest = data[at:]
    if rest[4:6] not in _VRS:
        return DataSet(rest, IMPLICIT_LITTLE, implicit=True, little=True)
    little = not (rest[0] == 0 and rest[1] != 0)
    return DataSet(rest, EXPLICIT_LITTLE if little else EXPLICIT_BIG, implicit=False, little=little)


def _plausible(data: bytes, start: int, group: int) -> bool:
    """True where three elements in rising order follow from ``start``, the first of ``group``."""
    for little in (True, False):
        implicit = data[start + 4 : start + 6] not in _VRS
        tags: list[tuple[int, int]] = []
        at = start
        while len(tags) < 3:
            element = _element_or_none(data, at, implicit=implicit, little=little)
            if element is None or element.length is None or element.start + element.length > len(data):
                break
            tags.append(element.tag)
            at = element.start + element.length
        if len(tags) == 3 and tags[0][0] == group and tags == sorted(set(tags)):
            return True
    return False
