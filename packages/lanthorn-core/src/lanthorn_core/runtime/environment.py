"""The process contract: the plain environment variables that a service is started with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from lanthorn_core.runtime.settings_error import Problem, SettingsError, settings_error

VARIABLES: Final[Mapping[str, str]] = {
    "LANTHORN_DATA_DIR": "Data folder; objects lie in `objects` in it without `S3_ENDPOINT`",
    "DATABASE_URL": "PostgreSQL, as a `postgresql://` URL",
    "NATS_URL": "NATS with JetStream, as a `nats://` URL",
    "RENDERER_URL": "The renderer, as an `http://` URL",
    "LANTHORN_LISTEN": "`host:port` of the service's own HTTP (health; all of it for the renderer)",
    "LANTHORN_DICOM_FD": "Number of an inherited listening socket for DICOM",
    "S3_ENDPOINT": "Object store, as `http(s)://host:port`; without it the file system is used",
    "S3_ACCESS_KEY": "Access key of the object store",
    "S3_SECRET_KEY": "Secret key of the object store",
    "S3_BUCKET": "Bucket, made when it does not exist (default `lanthorn`)",
    "S3_REGION": "Region of the bucket (default `us-east-1`)",
}
"""The variables besides `LANTHORN_CONFIG` and the overrides, and what they mean."""

_FIELD_OF: Final = {
    "LANTHORN_DATA_DIR": "data_folder",
    "DATABASE_URL": "database_url",
    "NATS_URL": "nats_url",
    "RENDERER_URL": "renderer_url",
    "LANTHORN_LISTEN": "listen",
    "LANTHORN_DICOM_FD": "dicom_fd",
}
_VARIABLE_OF: Final = {field: variable for variable, field in _FIELD_OF.items()}


class S3Endpoint(BaseModel):
    """An S3 object store and the credentials for it."""

    model_config = ConfigDict(frozen=True)

    endpoint: Annotated[str, Field(pattern=r"^https?://[^/]+/?$")]
    access_key: Annotated[str, Field(min_length=1)]
    secret_key: Annotated[SecretStr, Field(min_length=1)]
    bucket: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")] = "lanthorn"
    region: str = "us-east-1"


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
    renderer_url: str = ""
    s3: S3Endpoint | None = None
    listen: ListenAddress | None = None
    dicom_fd: Annotated[int, Field(ge=0)] | None = None

    @field_validator("listen", mode="before")
    @classmethod
    def _split_listen(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        host, colon, port = value.rpartition(":")
        if not colon or not host or not port.isdecimal():
            raise ValueError("expected host:port, such as 127.0.0.1:8043")
        return {"host": host.removeprefix("[").removesuffix("]"), "port": int(port)}

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

    Raises
    ------
    SettingsError
        A variable has a value that makes no sense, or an S3 endpoint has no credentials.
    """
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
