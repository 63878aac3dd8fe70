"""Identifiers that we send: from keys, or from one transfer syntax to the one negotiated."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from io import BytesIO
from typing import Final

from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from lanthorn_core.commands import QUERY_TRANSFER_SYNTAX
from lanthorn_core.dicom.dataset_writing import DEFINED_TERMS, encode_dataset
from lanthorn_core.dicom.encodings import (
    EXPLICIT_LITTLE,
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    encoding_of,
)
from lanthorn_core.errors import InvalidIdentifier

TRANSFER_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
"""Proposed for identifiers; which one it becomes is the peer's choice."""

_SPECIFIC_CHARACTER_SET: Final = "0008,0005"


def identifier_of(
    keys: Mapping[str, str], transfer_syntax_uid: str, default_encoding: str
) -> bytes:
    r"""Encode keys as an identifier.

    Parameters
    ----------
    keys : mapping
        Tags as ``gggg,eeee`` of PS3.6, and their values with a backslash between several.
    transfer_syntax_uid : str
        One of `TRANSFER_SYNTAXES`.
    default_encoding : str
        Orthanc's `DefaultEncoding`: the character set where the keys name none, if it has all of
        their characters.

    Raises
    ------
    InvalidIdentifier
        A tag is none, or its VR cannot have such a value.
    """
    dataset = Dataset()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd values are for the peer to judge
            for name, value in keys.items():
                if name != _SPECIFIC_CHARACTER_SET:
                    group, element = name.split(",")
                    tag = Tag(int(group, 16), int(element, 16))
                    dataset.add(DataElement(tag, dictionary_VR(tag), value))
    except Exception as error:  # pydicom raises what its parts raise
        raise InvalidIdentifier("The keys make no identifier") from error
    terms = tuple(keys.get(_SPECIFIC_CHARACTER_SET, "").split("\\"))
    preferred = terms if any(terms) else DEFINED_TERMS[default_encoding]
    return encode_dataset(dataset, transfer_syntax_uid, [preferred])


def reencoded(identifier: bytes, transfer_syntax_uid: str) -> bytes:
    """Encode an identifier in another transfer syntax, its texts in their character set.

    Parameters
    ----------
    identifier : bytes
        In `QUERY_TRANSFER_SYNTAX`.
    transfer_syntax_uid : str
        One of `TRANSFER_SYNTAXES`.

    Raises
    ------
    InvalidIdentifier
        The bytes are no data set.
    """
    if transfer_syntax_uid == QUERY_TRANSFER_SYNTAX:
        return identifier
    encoding = encoding_of(transfer_syntax_uid) or EXPLICIT_LITTLE
    stream = DicomBytesIO()
    stream.is_implicit_VR = encoding.implicit
    stream.is_little_endian = encoding.little_endian
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = read_dataset(BytesIO(identifier), is_implicit_VR=False, is_little_endian=True)
            dataset.walk(lambda _, __: None)  # what is read late would be written as it was
            write_dataset(stream, dataset)
    except Exception as error:  # pydicom raises what its parts raise
        raise InvalidIdentifier("The identifier is no data set") from error
    return stream.getvalue()
