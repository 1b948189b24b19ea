"""Values of elements, read without changing how the data set will be written."""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset

TEXT = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "DS", "IS"})
"""Kinds of value that can hold words or numbers of a person."""


def vr_of(ds: Dataset, tag: int) -> str:
    """The value representation, from the standard's dictionary where the file does not say; UN where nobody does."""
    said = ds.get_item(tag).VR
    if said is not None and said != "UN":
        return str(said)
    try:
        return str(dictionary_VR(tag))
    except KeyError:
        return "UN"


def text_values(ds: Dataset, tag: int) -> list[str]:
    """The values of an element as text; none where it is empty. An element that is still raw stays so."""
    item = ds.get_item(tag)
    if isinstance(item, RawDataElement):
        if not item.value:
            return []
        item = convert_raw_data_element(item, encoding=ds.original_character_set, ds=ds)
    return values_of(item)


def values_of(element: DataElement) -> list[str]:
    """The values of an element that was read."""
    value = element.value
    if value is None:
        return []
    several = value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    return [text for one in several if (text := str(one))]
