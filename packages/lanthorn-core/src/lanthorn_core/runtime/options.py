"""The options that Lanthorn honours: Orthanc's names, types, limits and defaults.

A field is the option's name in snake case; the option itself is its alias. Where our default is
not Orthanc's, the description says so. `docs/reference/settings.md` is made from this module.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from lanthorn_core.dicom.charset import DEFAULT_ENCODINGS
from lanthorn_core.dicom.tags import parse_tag
from lanthorn_core.errors import UnknownTag
from lanthorn_core.runtime.environment import RuntimeEnvironment
from lanthorn_core.runtime.lanthorn_section import LanthornSection
from lanthorn_core.runtime.option_names import OPTION_CONFIG, option_name
from lanthorn_core.runtime.remote import (
    AETitle,
    ContentType,
    Peer,
    Port,
    RemoteAEEntry,
    SymbolicName,
    UidPattern,
)
from lanthorn_core.runtime.worklists_section import WorklistsSection

_NOT_FROM_FILES: Final = frozenset({"runtime", "warnings"})

LevelName = Literal["Patient", "Study", "Series", "Instance"]
UserNumber = Annotated[int, Field(ge=1024, le=65535)]
Count = Annotated[int, Field(ge=0)]
NativeTransferSyntax = Literal["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"]


class StorageOptions(BaseModel):
    """What is kept, for how long, and what is known of it."""

    model_config = OPTION_CONFIG

    name: str = Field(default="Lanthorn", description="Name of this server, shown to users")
    maximum_storage_size: Count = Field(
        default=0, description="Limit of the store in MB; 0 is no limit"
    )
    maximum_patient_count: Count = Field(default=0, description="Limit of patients; 0 is no limit")
    maximum_storage_mode: Literal["Recycle", "Reject"] = Field(
        default="Recycle",
        description="At a limit: remove the oldest patients, or refuse what is new",
    )
    overwrite_instances: bool = Field(
        default=False,
        description=(
            "A resend replaces the instance that is there. `Never` and `Always` may be written for "
            "`false` and `true`; `IfChanged` counts as `Always`, with a warning"
        ),
    )
    stable_age: Annotated[int, Field(ge=1)] = Field(
        default=60, description="Seconds without arrivals until a resource is stable"
    )
    extra_main_dicom_tags: Mapping[LevelName, tuple[str, ...]] = Field(
        default_factory=dict, description="Tags to index besides the main ones, by level"
    )
    user_metadata: Mapping[str, UserNumber] = Field(
        default_factory=dict, description="Names of user metadata and their numbers"
    )
    user_content_type: Mapping[str, ContentType] = Field(
        default_factory=dict,
        description="Names of user attachments and their number, or `[number, media type]`",
    )
    default_encoding: str = Field(
        default="Latin1",
        description="Character set of data sets that name none, and of C-FIND answers",
    )
    store_md5_for_attachments: bool = Field(
        default=True, description="Offer the MD5 of attachments"
    )
    check_revisions: bool = Field(
        default=False, description="Changes of metadata must name the revision that they replace"
    )
    log_exported_resources: bool = Field(
        default=False, description="Keep a log of what was sent to remote AEs, at `/exports`"
    )
    read_only: bool = Field(
        default=False, description="Refuse everything that would change the store"
    )
    storage_access_on_find: Literal["Always", "Answers", "Never"] = Field(
        default="Always",
        description=(
            "Searches may open objects for what is not indexed; `Answers` counts as `Always`, as "
            "in Orthanc 1.13"
        ),
    )
    limit_find_results: Count = Field(
        default=0,
        description="Most answers of a search for patients, studies or series; 0 is no limit",
    )
    limit_find_instances: Count = Field(
        default=0, description="Most answers of a search for instances; 0 is no limit"
    )

    @field_validator("overwrite_instances", mode="before")
    @classmethod
    def _overwrite_by_name(cls, value: Any) -> Any:
        return (
            {"Never": False, "Always": True, "IfChanged": True}.get(value, value)
            if isinstance(value, str)
            else value
        )

    @field_validator("default_encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        if value not in DEFAULT_ENCODINGS:
            raise ValueError(f"expected one of {', '.join(DEFAULT_ENCODINGS)}")
        return value

    @field_validator("extra_main_dicom_tags")
    @classmethod
    def _known_tags(
        cls, value: Mapping[LevelName, tuple[str, ...]]
    ) -> Mapping[LevelName, tuple[str, ...]]:
        for tags in value.values():
            for tag in tags:
                try:
                    parse_tag(tag)
                except UnknownTag as error:
                    raise ValueError(f"expected tags, and {tag!r} is none") from error
        return value


class JobOptions(BaseModel):
    """Long operations, which run as jobs."""

    model_config = OPTION_CONFIG

    concurrent_jobs: Count = Field(
        default=2,
        description=(
            "Jobs that one worker runs at once, of which each gateway process has one; 0 is one "
            "for each core"
        ),
    )
    jobs_history_size: Count = Field(
        default=10, description="Finished jobs that are kept, in the whole system"
    )
    save_jobs: bool = Field(
        default=True,
        description=(
            "Without it, `lanthorn up` begins by forgetting all jobs; services that are started "
            "one by one keep them"
        ),
    )


class HttpOptions(BaseModel):
    """The HTTP server and who may use it."""

    model_config = OPTION_CONFIG

    http_server_enabled: bool = Field(default=True, description="Serve HTTP at all")
    http_port: Port = Field(default=8042, description="TCP port of HTTP")
    remote_access_allowed: bool = Field(
        default=False,
        description=(
            "Listen on all addresses, not the loopback only; has no effect while authentication is "
            "off"
        ),
    )
    authentication_enabled: bool = Field(
        default=False,
        description="Ask for a user and password; by default as `RemoteAccessAllowed`",
    )
    registered_users: Mapping[str, SecretStr] = Field(
        default_factory=dict, description="Users and their passwords; there are none by default"
    )
    http_describe_errors: bool = Field(
        default=True, description="Answer errors with a body that explains"
    )
    http_compression_enabled: bool = Field(
        default=False, description="Compress answers for who asks"
    )
    keep_alive: bool = Field(default=True, description="Keep HTTP connections for the next request")
    keep_alive_timeout: Annotated[int, Field(ge=1)] = Field(
        default=1, description="Seconds that an idle HTTP connection is kept"
    )
    orthanc_explorer_enabled: bool = Field(default=True, description="Serve the explorer's pages")
    metrics_enabled: bool = Field(
        default=True, description="Tell figures at `/tools/metrics-prometheus`"
    )
    orthanc_peers: Mapping[str, Peer] = Field(
        default_factory=dict,
        description="Other servers with this REST API: an object, or `[url, user, password]`",
    )

    @model_validator(mode="before")
    @classmethod
    def _authentication_follows_access(cls, value: Any) -> Any:
        if isinstance(value, dict):
            remote = value.get("RemoteAccessAllowed", value.get("remote_access_allowed", False))
            if not {"AuthenticationEnabled", "authentication_enabled"} & value.keys():
                return {**value, "AuthenticationEnabled": remote}
        return value

    @property
    def http_bind_host(self) -> str:
        """Address to listen on: not the loopback only if authentication is on."""
        if self.remote_access_allowed and self.authentication_enabled:
            return "0.0.0.0"  # noqa: S104  # asked for by RemoteAccessAllowed
        return "127.0.0.1"


class DicomOptions(BaseModel):
    """The DICOM server and who may use it."""

    model_config = OPTION_CONFIG

    dicom_server_enabled: bool = Field(default=True, description="Serve DICOM at all")
    dicom_aet: AETitle = Field(
        default="LANTHORN", description="Our AE title (Orthanc's is `ORTHANC`)"
    )
    dicom_port: Port = Field(default=4242, description="TCP port of DICOM")
    dicom_check_called_aet: bool = Field(
        default=False, description="Refuse who calls another AE title"
    )
    strict_aet_comparison: bool = Field(default=False, description="Case matters in AE titles")
    dicom_check_modality_host: bool = Field(
        default=False, description="A known AE must come from its configured address"
    )
    dicom_always_allow_echo: bool = Field(default=True, description="Everybody may C-ECHO")
    dicom_always_allow_store: bool = Field(default=True, description="Everybody may C-STORE")
    dicom_always_allow_find: bool = Field(default=False, description="Everybody may C-FIND")
    dicom_always_allow_find_worklist: bool = Field(
        default=False, description="Everybody may C-FIND worklists"
    )
    dicom_always_allow_get: bool = Field(default=False, description="Everybody may C-GET")
    dicom_always_allow_move: bool = Field(default=False, description="Everybody may C-MOVE")
    dicom_modalities: Mapping[SymbolicName, RemoteAEEntry] = Field(
        default_factory=dict,
        description=(
            "Known remote AEs: an object, or `[AET, host, port, manufacturer]`. A change over the "
            "REST API counts for all processes, until the entry here changes"
        ),
    )
    dicom_modalities_in_database: bool = Field(
        default=False,
        description=(
            "Only remote AEs that were set over the REST API count, `DicomModalities` does not"
        ),
    )
    dicom_scu_timeout: Count = Field(
        default=10,
        description="Seconds to wait for a remote AE, as requestor; 0 is without a limit",
    )
    dicom_echo_checks_find: bool = Field(
        default=False, description="`/modalities/{id}/echo` asks by C-FIND, too"
    )
    dicom_default_retrieve_method: Literal["C-MOVE", "C-GET"] = Field(
        default="C-MOVE",
        description="How to retrieve from remote AEs whose `RetrieveMethod` is `SystemDefault`",
    )
    query_retrieve_size: Annotated[int, Field(ge=1)] = Field(
        default=100, description="Most queries of remote AEs that are kept; the oldest go"
    )
    dicom_scp_timeout: Count = Field(
        default=30,
        description="Seconds of a peer's silence until its association is aborted; 0 is never",
    )
    dicom_threads_count: Annotated[int, Field(ge=1)] = Field(
        default=128,
        description=(
            "Associations that one gateway process serves at once (Orthanc's default is 4 threads; "
            "an association costs us no thread)"
        ),
    )
    dicom_tls_enabled: bool = Field(
        default=False, description="Every association that comes in speaks TLS"
    )
    dicom_tls_certificate: str = Field(
        default="",
        description="File with our certificate (PEM), for associations both ways",
    )
    dicom_tls_private_key: str = Field(
        default="", description="File with the key of `DicomTlsCertificate` (PEM)"
    )
    dicom_tls_trusted_certificates: str = Field(
        default="", description="File with the certificates that are trusted (PEM, any number)"
    )
    dicom_tls_remote_certificate_required: bool = Field(
        default=True,
        description="Peers must show a certificate that is trusted; else none is looked at",
    )
    dicom_tls_minimum_protocol_version: Annotated[int, Field(ge=0, le=5)] = Field(
        default=0,
        description=(
            "0 is the profile of BCP 195 (TLS 1.2 at least), 5 is TLS 1.3 only; smaller numbers "
            "count as 4, TLS 1.2, because older versions are not safe"
        ),
    )
    dicom_tls_ciphers_accepted: tuple[str, ...] = Field(
        default=(),
        description="Cipher suites of TLS 1.2 by OpenSSL's names; empty is the BCP 195 profile",
    )
    case_sensitive_pn: bool = Field(
        default=False, description="Case matters in the names of people that C-FIND asks for"
    )
    maximum_pdu_length: Annotated[int, Field(ge=4096, le=131072)] = Field(
        default=131072,
        description="Longest PDU that we take, in bytes (Orthanc's default is 16384)",
    )
    accepted_transfer_syntaxes: tuple[UidPattern, ...] = Field(
        default=("1.2.840.10008.1.*",),
        description="Transfer syntaxes taken by C-STORE; `*` and `?` match",
    )
    dicom_lossy_transcoding_quality: Annotated[int, Field(ge=1, le=100)] = Field(
        default=90, description="Quality of JPEG where a lossy transfer syntax is asked for"
    )
    unknown_sop_class_accepted: bool = Field(
        default=False, description="Take SOP classes by C-STORE that the Standard does not know"
    )
    accepted_sop_classes: tuple[UidPattern, ...] = Field(
        default=(), description="SOP classes taken by C-STORE; empty is all storage classes"
    )
    rejected_sop_classes: tuple[UidPattern, ...] = Field(
        default=(), description="SOP classes not taken by C-STORE, of the accepted ones"
    )
    synchronous_c_move: bool = Field(
        default=True,
        description="Answer C-MOVE when all is sent, else at once and let a job do the sending",
    )
    transcode_dicom_protocol: bool = Field(
        default=True, description="Transcode what a peer cannot take as it is stored"
    )
    dicom_scu_preferred_transfer_syntax: NativeTransferSyntax = Field(
        default="1.2.840.10008.1.2.1",
        description="Uncompressed transfer syntax that is proposed and used first",
    )
    dicom_association_close_delay: Count = Field(
        default=5, description="Seconds that an idle association of ours is kept for the next use"
    )
    storage_commitment_reports_size: Count = Field(
        default=100, description="Storage commitment reports that are kept; 0 is no limit"
    )


class Settings(DicomOptions, HttpOptions, StorageOptions, JobOptions):
    """Everything a process is told: Orthanc's options, the `Lanthorn` section, the environment.

    `warnings` are the texts to log at start: options that are unknown or that Lanthorn does not
    honour.
    """

    lanthorn: LanthornSection = LanthornSection()
    worklists: WorklistsSection = WorklistsSection()
    runtime: RuntimeEnvironment = RuntimeEnvironment()
    warnings: tuple[str, ...] = ()


OPTION_FIELDS: Final[Mapping[str, str]] = {
    option_name(field): field for field in Settings.model_fields if field not in _NOT_FROM_FILES
}
"""Honoured options (with the section `Lanthorn`) and their fields."""
