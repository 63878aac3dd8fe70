"""The process contract: the plain environment variables that a service is started with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from lanthorn_core.runtime.secrets import with_secrets
from lanthorn_core.runtime.settings_error import Problem, SettingsError, settings_error

VARIABLES: Final[Mapping[str, str]] = {
    "LANTHORN_DATA_DIR": "Data folder; objects lie in `objects` in it without `S3_ENDPOINT`",
    "DATABASE_URL": (
        "PostgreSQL, as a `postgresql://` URL; of several hosts (`postgresql://user@a,b/lanthorn`) "
        "the one that is the primary is used"
    ),
    "DATABASE_PASSWORD": "Password for `DATABASE_URL`, which then has none",
    "NATS_URL": (
        "NATS with JetStream, as a `nats://` or `tls://` URL, or the URLs of several servers of a "
        "cluster with commas between them"
    ),
    "NATS_USER": "User for `NATS_URL`, which then has none",
    "NATS_PASSWORD": "Password of `NATS_USER`",
    "NATS_CA_FILE": "File with the certificates (PEM) that NATS is trusted by; else the system's",
    "NATS_STREAM_REPLICAS": (
        "Servers of a NATS cluster that hold each event (default 1; 3 on a cluster of three); "
        "streams that have fewer get more, never less"
    ),
    "RENDERER_URL": "The renderer, as an `http://` URL",
    "LANTHORN_LISTEN": (
        "`host:port` of the service's own HTTP: health and metrics, without a password (all of it "
        "for the renderer)"
    ),
    "LANTHORN_FIRST_PASSWORD": (
        "Password of the HTTP user `lanthorn`, where `RegisteredUsers` names nobody"
    ),
    "LANTHORN_DRAIN_DELAY": (
        "Seconds after SIGTERM in which all is served as before, while readiness says no (default "
        "0); for load balancers that need time to notice"
    ),
    "LANTHORN_DRAIN_TIMEOUT": (
        "Seconds that then remain to finish what is in hand; new connections are refused (default "
        "8)"
    ),
    "LANTHORN_DICOM_FD": "Number of an inherited listening socket for DICOM",
    "LANTHORN_PORTS_FOLDER": (
        "Folder where a process that holds the published ports hands its listening sockets over, "
        "for several containers on one port"
    ),
    "S3_ENDPOINT": "Object store, as `http(s)://host:port`; without it the file system is used",
    "S3_ACCESS_KEY": "Access key of the object store",
    "S3_SECRET_KEY": "Secret key of the object store",
    "S3_BUCKET": "Bucket, made when it does not exist (default `lanthorn`)",
    "S3_REGION": "Region of the bucket (default `us-east-1`)",
    "S3_CA_FILE": "File with the certificates (PEM) that S3 is trusted by; else the system's",
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        "Where traces go, as an `http(s)://` URL, if `lanthorn-core[tracing]` is installed; "
        "OpenTelemetry's other variables hold as well"
    ),
}
"""The variables besides `LANTHORN_CONFIG` and the overrides, and what they mean."""

_FIELD_OF: Final = {
    "LANTHORN_DATA_DIR": "data_folder",
    "DATABASE_URL": "database_url",
    "NATS_URL": "nats_url",
    "NATS_USER": "nats_user",
    "NATS_PASSWORD": "nats_password",
    "NATS_CA_FILE": "nats_ca_file",
    "NATS_STREAM_REPLICAS": "nats_stream_replicas",
    "RENDERER_URL": "renderer_url",
    "LANTHORN_LISTEN": "listen",
    "LANTHORN_FIRST_PASSWORD": "first_password",
    "LANTHORN_DRAIN_DELAY": "drain_delay_s",
    "LANTHORN_DRAIN_TIMEOUT": "drain_timeout_s",
    "LANTHORN_DICOM_FD": "dicom_fd",
    "LANTHORN_PORTS_FOLDER": "ports_folder",
}
_CLOSING_S: Final = 2.0
_VARIABLE_OF: Final = {field: variable for variable, field in _FIELD_OF.items()}


class S3Endpoint(BaseModel):
    """An S3 object store and the credentials for it."""

    model_config = ConfigDict(frozen=True)

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+/?$")]
    access_key: Annotated[str, Field(min_length=1)]
    secret_key: Annotated[SecretStr, Field(min_length=1)]
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "lanthorn"
    region: str = "us-east-1"
    ca_file: FilePath | None = None


class ListenAddress(BaseModel):
    """Where a service listens for HTTP."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]


class RuntimeEnvironment(BaseModel):
    """Where the engines are and what the supervisor handed over.

    The URLs hold passwords, so they are not shown by `repr`. An empty URL means that the variable
    is not set; `require` refuses that for those a process cannot do without.
    """

    model_config = ConfigDict(frozen=True)

    data_folder: Path = Path("lanthorn-data")
    database_url: str = Field(default="", repr=False)
    nats_url: str = Field(default="", repr=False)
    nats_user: str = ""
    nats_password: SecretStr | None = None
    nats_ca_file: FilePath | None = None
    nats_stream_replicas: Annotated[int, Field(ge=1, le=5)] = 1
    renderer_url: str = ""
    s3: S3Endpoint | None = None
    listen: ListenAddress | None = None
    first_password: SecretStr | None = None
    drain_delay_s: Annotated[float, Field(ge=0, le=600)] = 0.0
    drain_timeout_s: Annotated[float, Field(ge=0, le=3600)] = 8.0
    dicom_fd: Annotated[int, Field(ge=0)] | None = None
    ports_folder: Path | None = None

    @field_validator("listen", mode="before")
    @classmethod
    def _split_listen(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isdecimal():
            raise ValueError("expected host:port, such as 127.0.0.1:8043")
        return {"host": host.removeprefix("[").removesuffix("]"), "port": int(port)}

    @field_validator("nats_url")
    @classmethod
    def _names_nats_servers(cls, value: str) -> str:
        # nats-py says less of what is wrong, and only when it connects.
        for url in filter(None, value.split(",")):
            try:
                is_server = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
            except ValueError:
                is_server = False
            if not is_server:
                raise ValueError("expected nats://host:port, or several with commas between them")
        return value

    @model_validator(mode="after")
    def _one_nats_account(self) -> Self:
        problems = []
        if bool(self.nats_user) != bool(self.nats_password):
            expected = "expected both NATS_USER and NATS_PASSWORD, or none"
            problems.append(
                Problem("NATS_PASSWORD" if self.nats_user else "NATS_USER", "", expected)
            )
        if self.nats_user and "@" in self.nats_url:
            problems.append(Problem("NATS_USER", "", "NATS_URL has a user as well"))
        if problems:
            raise SettingsError(problems)
        return self

    @property
    def nats_account(self) -> tuple[str, str] | None:
        """User and password for NATS; None where `nats_url` has them, or needs none."""
        if self.nats_password is None:
            return None
        return self.nats_user, self.nats_password.get_secret_value()

    @property
    def finish_within_s(self) -> float:
        """What requests in hand have of the drain's time; the rest is for closing connections."""
        return max(0.0, self.drain_timeout_s - _CLOSING_S)

    def require(self, *fields: str) -> None:
        """Raise `SettingsError` unless all of these fields have a value.

        Parameters
        ----------
        *fields : str
            Names such as ``database_url``.
        """
        absent = [_VARIABLE_OF[field] for field in fields if getattr(self, field) in ("", None)]
        if absent:
            raise SettingsError([Problem(name, "", "must be set here") for name in absent])


def read_environment(environ: Mapping[str, str]) -> RuntimeEnvironment:
    """Read the process contract's variables; an empty one counts as not set.

    Those of `SECRETS` may be files (`with_secrets`).

    Raises
    ------
    SettingsError
        A variable has a value that makes no sense, or an S3 endpoint has no credentials.
    """
    environ = with_secrets(environ)
    values: dict[str, object] = {
        field: environ[variable] for variable, field in _FIELD_OF.items() if environ.get(variable)
    }
    if environ.get("S3_ENDPOINT"):
        values["s3"] = _read_s3(environ)
    try:
        return RuntimeEnvironment.model_validate(values)
    except ValidationError as error:
        raise _by_variable(settings_error(error), _VARIABLE_OF) from None


def _read_s3(environ: Mapping[str, str]) -> S3Endpoint:
    variables = {name: f"S3_{name.upper()}" for name in S3Endpoint.model_fields}
    values = {name: environ[key] for name, key in variables.items() if environ.get(key)}
    try:
        return S3Endpoint.model_validate(values)
    except ValidationError as error:
        raise _by_variable(settings_error(error), variables) from None


def _by_variable(error: SettingsError, variables: Mapping[str, str]) -> SettingsError:
    def renamed(problem: Problem) -> Problem:
        field = problem.option.partition(".")[0]
        hidden = field in {"secret_key", "database_url", "nats_url"} and problem.value
        value = "(hidden)" if hidden else problem.value
        return Problem(variables.get(field, problem.option), value, problem.expected)

    return SettingsError([renamed(problem) for problem in error.problems])
