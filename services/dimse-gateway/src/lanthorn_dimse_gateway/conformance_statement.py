"""Renews the tables of ``docs/conformance/statement.md`` from the code, so that it cannot lie.

python -m lanthorn_dimse_gateway.conformance_statement docs/conformance/statement.md

References
----------
DICOM PS3.2 (conformance statements).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from pydicom.uid import UID
from pynetdicom.sop_class import _STORAGE_CLASSES

from lanthorn_core.dicom.charset import CODEC_OF_DEFINED_TERM
from lanthorn_core.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from lanthorn_core.errors import LanthornError
from lanthorn_core.runtime.errors_reference import all_errors
from lanthorn_core.runtime.option_names import option_name
from lanthorn_core.runtime.settings import Settings
from lanthorn_dimse import (
    APPLICATION_CONTEXT_NAME,
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
)
from lanthorn_dimse_gateway.contexts import (
    GE_PRIVATE_IMPLICIT,
    STORAGE_SOP_CLASSES,
    TRANSFER_SYNTAXES,
)
from lanthorn_dimse_gateway.scp.commitment import CommitmentScp
from lanthorn_dimse_gateway.scp.echo import EchoScp
from lanthorn_dimse_gateway.scp.find import FindScp
from lanthorn_dimse_gateway.scp.retrieve_get import GetScp
from lanthorn_dimse_gateway.scp.retrieve_move import MoveScp
from lanthorn_dimse_gateway.scp.worklist import WorklistScp

_BLOCK: Final = re.compile(
    r"(?P<begin><!-- generated: (?P<name>[a-z-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL
)
_SERVICES: Final = (EchoScp, FindScp, MoveScp, GetScp, CommitmentScp, WorklistScp)
_REJECTIONS: Final = (
    APPLICATION_CONTEXT_NOT_SUPPORTED,
    CALLING_AE_TITLE_NOT_RECOGNIZED,
    CALLED_AE_TITLE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
)
_NEWER_THAN_PYDICOM: Final = {
    **{str(uid): re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key) for key, uid in _STORAGE_CLASSES.items()},
    GE_PRIVATE_IMPLICIT: "Implicit VR, big endian pixels (GE private)",
}
_OPTIONS: Final = (
    "dicom_aet",
    "dicom_port",
    "maximum_pdu_length",
    "dicom_threads_count",
    "dicom_scp_timeout",
    "dicom_scu_timeout",
    "dicom_association_close_delay",
    "dicom_scu_preferred_transfer_syntax",
)


def renew(statement: str) -> str:
    """Return the statement with all of its generated tables made anew."""
    return _BLOCK.sub(
        lambda block: block["begin"] + _TABLES[block["name"]]() + block["end"], statement
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    cells = [*head]
    lines = [cells, ["---"] * len(cells), *([str(cell) for cell in row] for row in rows)]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _services() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for service in _SERVICES:
            for uid, transfer_syntaxes in service.abstract_syntaxes.items():
                names = ", ".join(_name(each) for each in transfer_syntaxes)
                request = service.command.name.removesuffix("_RQ").replace("_", "-")
                yield _name(uid), f"`{uid}`", request, names

    return _table(("SOP class", "UID", "Request", "Transfer syntaxes, preferred first"), rows())


def _storage() -> str:
    return _uids("SOP class", STORAGE_SOP_CLASSES)


def _transfer_syntaxes() -> str:
    return _uids("Transfer syntax", TRANSFER_SYNTAXES)


def _uids(head: str, uids: Iterable[str]) -> str:
    return _table((head, "UID"), sorted((_name(uid), f"`{uid}`") for uid in uids))


def _name(uid: str) -> str:
    name = UID(uid).name
    return name if name != uid else _NEWER_THAN_PYDICOM.get(uid, uid)


def _associations() -> str:
    settings = Settings()
    return _table(
        ("Property", "Value"),
        [
            ("Application context name", f"`{APPLICATION_CONTEXT_NAME}`"),
            ("Implementation class UID", f"`{IMPLEMENTATION_CLASS_UID}`"),
            ("Implementation version name", f"`{IMPLEMENTATION_VERSION_NAME}`"),
            ("Maximum PDU length", f"{settings.maximum_pdu_length} bytes (`MaximumPduLength`)"),
            (
                "Associations as acceptor",
                f"{settings.dicom_threads_count} in each gateway process (`DicomThreadsCount`)",
            ),
        ],
    )


def _rejections() -> str:
    return _table(
        ("Result", "Source", "Reason", "Meaning"),
        [(each.result, each.source, each.reason, each.text) for each in _REJECTIONS],
    )


def _statuses() -> str:
    def rows() -> Iterator[tuple[str, ...]]:
        for error in all_errors():
            statuses = (error.c_store, error.c_find, error.c_move)
            if error is LanthornError or statuses != _UNEXPECTED:
                meaning = (error.__doc__ or "").partition("\n")[0]
                yield (error.slug, meaning, *(_status(status) for status in statuses))

    return _table(("Error", "Meaning", "C-STORE", "C-FIND", "C-MOVE, C-GET"), rows())


_UNEXPECTED: Final = (LanthornError.c_store, LanthornError.c_find, LanthornError.c_move)


def _status(status: int) -> str:
    return f"{status:04X}"


def _configuration() -> str:
    fields = Settings.model_fields
    return _table(
        ("Option", "Default", "Meaning"),
        [
            (f"`{option_name(name)}`", f"`{fields[name].default}`", fields[name].description)
            for name in _OPTIONS
        ],
    )


def _character_sets() -> str:
    return _table(
        ("Defined term", "Codec"),
        [(f"`{term}`", codec) for term, codec in CODEC_OF_DEFINED_TERM.items()],
    )


_TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "services": _services,
    "storage": _storage,
    "transfer-syntaxes": _transfer_syntaxes,
    "associations": _associations,
    "rejections": _rejections,
    "statuses": _statuses,
    "configuration": _configuration,
    "character-sets": _character_sets,
}


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(renew(path.read_text()))
