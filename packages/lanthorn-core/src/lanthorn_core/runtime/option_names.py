"""From fields to options: ``dicom_aet`` is Orthanc's ``DicomAet``."""

from __future__ import annotations

from typing import Final

from pydantic import AliasGenerator, ConfigDict
from pydantic.alias_generators import to_pascal

_IRREGULAR: Final = {
    "case_sensitive_pn": "CaseSensitivePN",
    "store_md5_for_attachments": "StoreMD5ForAttachments",
    "ae_title": "AET",
    "local_ae_title": "LocalAet",
    "timeout_s": "Timeout",
}


def option_name(field: str) -> str:
    """Return the option of a field."""
    return _IRREGULAR.get(field) or to_pascal(field)


OPTION_CONFIG: Final = ConfigDict(
    frozen=True, populate_by_name=True, alias_generator=AliasGenerator(alias=option_name)
)
"""Of every model whose fields are options: read by option or field name, never changed."""
