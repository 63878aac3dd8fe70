"""Values of options that are more than a number or a text: neighbours, content types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from lanthorn_core.model import Manufacturer, RemoteAE, RetrieveMethod
from lanthorn_core.runtime.option_names import OPTION_CONFIG, option_name

_AE_TITLE: Final = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")
_UID_PATTERN: Final = re.compile(r"[0-9.?*]{1,64}")


def _ae_title(text: str) -> str:
    text = text.strip(" ")
    if not _AE_TITLE.fullmatch(text):
        raise ValueError("expected an AE title: 1 to 16 characters of ASCII, no backslash")
    return text


def _uid_pattern(text: str) -> str:
    if not _UID_PATTERN.fullmatch(text):
        raise ValueError("expected a UID, in which * and ? may stand for any digits")
    return text


AETitle = Annotated[str, AfterValidator(_ae_title)]
"""At most 16 characters, no backslash, outer spaces not significant (PS3.5 Section 6.2)."""

OptionalAETitle = Annotated[str, AfterValidator(lambda text: text and _ae_title(text))]
"""An AE title, or nothing where another one counts."""

UidPattern = Annotated[str, AfterValidator(_uid_pattern)]
"""A UID with the wild cards of Orthanc's options."""


def _symbolic_name(text: str) -> str:
    if not SYMBOLIC_NAME.fullmatch(text):
        raise ValueError("expected a name of letters, digits, dashes and underscores")
    return text


SYMBOLIC_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
"""What a remote AE or a peer may be called in paths."""

SymbolicName = Annotated[str, AfterValidator(_symbolic_name)]

Port = Annotated[int, Field(ge=1, le=65535)]

_OBSOLETE_MANUFACTURERS: Final[Mapping[str, Manufacturer]] = {
    "EFilm2": "Generic",
    "MedInria": "Generic",
    "ClearCanvas": "Generic",
    "Dcm4Chee": "Generic",
    "AgfaImpax": "GenericNoWildcardInDates",
    "SyngoVia": "GenericNoWildcardInDates",
}


class RemoteAEEntry(BaseModel):
    """One entry of `DicomModalities`: a remote application entity and what it may do.

    Written as an object or as ``[AET, Host, Port]`` with an optional manufacturer.
    """

    model_config = OPTION_CONFIG

    ae_title: AETitle
    host: Annotated[str, Field(min_length=1)]
    port: Port
    manufacturer: Manufacturer = "Generic"
    allow_echo: bool = True
    allow_find: bool = True
    allow_find_worklist: bool = True
    allow_get: bool = True
    allow_move: bool = True
    allow_store: bool = True
    allow_n_action: bool = True
    allow_event_report: bool = True
    allow_transcoding: bool = True
    use_dicom_tls: bool = False
    local_ae_title: OptionalAETitle = ""
    timeout_s: Annotated[int, Field(ge=0)] = 0
    retrieve_method: RetrieveMethod = "SystemDefault"

    @property
    def remote_ae(self) -> RemoteAE:
        """The entry as the services exchange it."""
        return RemoteAE(**dict(self))

    @model_validator(mode="before")
    @classmethod
    def _from_orthanc(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if not 3 <= len(value) <= 4:
                raise ValueError("expected [AET, Host, Port] or [AET, Host, Port, Manufacturer]")
            value = dict(zip(("AET", "Host", "Port", "Manufacturer"), value, strict=False))
        elif isinstance(value, Mapping):
            value = dict(value)
        else:
            return value
        if "AllowStorageCommitment" in value:
            commitment = value.pop("AllowStorageCommitment")
            value |= {"AllowNAction": commitment, "AllowEventReport": commitment}
        obsolete = value.get("Manufacturer")
        if isinstance(obsolete, str):
            value["Manufacturer"] = _OBSOLETE_MANUFACTURERS.get(obsolete, obsolete)
        return value


def remote_ae_json(remote_ae: RemoteAE) -> dict[str, Any]:
    """Write a remote AE as ``GET /modalities?expand`` shows it."""
    return {option_name(name): getattr(remote_ae, name) for name in RemoteAEEntry.model_fields}


class Peer(BaseModel):
    """One entry of `OrthancPeers`: a server that speaks Orthanc's REST.

    Written as an object, ``[url]`` or ``[url, user, password]``.
    """

    model_config = OPTION_CONFIG

    url: Annotated[str, Field(pattern=r"^https?://")]
    username: str = ""
    password: SecretStr = SecretStr("")
    http_headers: Mapping[str, SecretStr] = Field(default_factory=dict)
    certificate_file: str = ""
    certificate_key_file: str = ""
    certificate_key_password: SecretStr = SecretStr("")
    pkcs11: bool = False
    timeout_s: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _from_orthanc(cls, value: Any) -> Any:
        if isinstance(value, list | tuple):
            if len(value) not in {1, 3}:
                raise ValueError("expected [url] or [url, user, password]")
            return dict(zip(("Url", "Username", "Password"), value, strict=False))
        if isinstance(value, Mapping) and "URL" in value:
            value = dict(value)
            url = value.pop("URL")
            value.setdefault("Url", url)
        return value


class ContentType(BaseModel):
    """One entry of `UserContentType`: a number, or ``[number, media type]``."""

    model_config = ConfigDict(frozen=True)

    number: Annotated[int, Field(ge=1024, le=65535)]
    media_type: str = "application/octet-stream"

    @model_validator(mode="before")
    @classmethod
    def _from_orthanc(cls, value: Any) -> Any:
        if isinstance(value, int):
            return {"number": value}
        if isinstance(value, list | tuple):
            if len(value) != 2:
                raise ValueError("expected a number or [number, media type]")
            return dict(zip(cls.model_fields, value, strict=True))
        return value
