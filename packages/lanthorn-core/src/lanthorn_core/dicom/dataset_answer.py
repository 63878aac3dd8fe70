"""What an answer has of a data set that matches an identifier.

References
----------
DICOM PS3.4 Sections C.2.2.1.2 (return keys), C.2.2.2.6 (items of sequences).
"""

from __future__ import annotations

import warnings
from typing import Any, Final

from pydicom import DataElement, Dataset
from pydicom.sequence import Sequence

from lanthorn_core.dicom.dataset_matching import (
    DatasetKeys,
    elements_of,
    is_matched,
    items_of_sequence,
    matches_item,
)
from lanthorn_core.dicom.elementcontext import (
    Context,
    context_of,
    creator_of,
    text_of_element,
    vr_of_element,
)

_QUERY_RETRIEVE_LEVEL: Final = 0x0008_0052
_TIMEZONE_OFFSET_FROM_UTC: Final = 0x0008_0201
_SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
_ALSO_ANSWERED: Final = frozenset({_QUERY_RETRIEVE_LEVEL, _TIMEZONE_OFFSET_FROM_UTC})
_TEXTS: Final = frozenset(
    {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)


def select_answer(
    identifier: Dataset, keys: DatasetKeys, dataset: Dataset, *, default_encoding: str
) -> Dataset:
    """Take from a data set that matches what the identifier asks for.

    Parameters
    ----------
    identifier : pydicom.Dataset
        Names the return keys. A sequence without items, or with an empty one, asks for all that
        the items have.
    keys : DatasetKeys
        Its keys: of a sequence that is matched, only the items that match are taken.
    dataset : pydicom.Dataset
        Left as it is.

    Returns
    -------
    pydicom.Dataset
        Every key of the identifier but group lengths and Specific Character Set, with an empty
        value where the data set has none that can be read. Texts are Unicode.
    """
    return _select(identifier, keys, dataset, None, default_encoding)


def _select(
    identifier: Dataset,
    keys: DatasetKeys,
    dataset: Dataset,
    outer: Context | None,
    default_encoding: str,
) -> Dataset:
    asked = context_of(identifier, None, default_encoding)
    context = context_of(dataset, outer, default_encoding)
    nested = dict(keys.sequences)
    answer = Dataset()
    for tag, element in elements_of(identifier):
        if not is_matched(tag) and tag not in _ALSO_ANSWERED:
            continue
        vr = vr_of_element(element, creator_of(tag, asked), asked)
        if vr != "SQ":
            answer.add(converted(dataset, tag, context) or DataElement(tag, vr, None))
            continue
        wanted = next(iter(items_of_sequence(identifier, tag)), None)
        item_keys = nested.get(tag, DatasetKeys())
        items = [
            item
            for item in items_of_sequence(dataset, tag)
            if matches_item(item_keys, item, context, default_encoding)
        ]
        if wanted is None or not len(wanted):
            chosen = [whole_item(item, context, default_encoding) for item in items]
        else:
            chosen = [_select(wanted, item_keys, item, context, default_encoding) for item in items]
        answer.add(DataElement(tag, "SQ", Sequence(chosen)))
    return answer


def whole_item(item: Dataset, outer: Context | None, default_encoding: str) -> Dataset:
    """Copy a data set or item with its texts as Unicode; what cannot be read is left out."""
    context = context_of(item, outer, default_encoding)
    copy = Dataset()
    for tag, element in elements_of(item):
        if not tag & 0xFFFF or tag == _SPECIFIC_CHARACTER_SET:
            continue
        if vr_of_element(element, creator_of(tag, context), context) == "SQ":
            items = [
                whole_item(inner, context, default_encoding)
                for inner in items_of_sequence(item, tag)
            ]
            copy.add(DataElement(tag, "SQ", Sequence(items)))
        elif (found := converted(item, tag, context)) is not None:
            copy.add(found)
    return copy


def converted(dataset: Dataset, tag: int, context: Context) -> DataElement | None:
    """Convert one element that is no sequence, texts to Unicode; None where that is impossible."""
    if tag not in dataset:
        return None
    element = dataset.get_item(tag, keep_deferred=True)
    creator = creator_of(tag, context)
    vr = vr_of_element(element, creator, context)
    value: Any = text_of_element(element, vr, context.decoder, creator)
    if value is None or vr not in _TEXTS:
        value = _binary_value(dataset, tag)
        if value is None:
            return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return DataElement(tag, vr, value)
    except Exception:  # pydicom raises what its parts raise
        return None


def _binary_value(dataset: Dataset, tag: int) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return dataset[tag].value
    except Exception:  # pydicom raises what its parts raise
        return None
