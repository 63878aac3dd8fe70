"""What rest-api asks of the gateway: commands that are answered now, and parameters of jobs.

A command travels as a NATS request on ``dicom.v1.command.<verb>`` to one gateway of the queue
group; its struct's tag is the verb. Jobs of the gateway are rows of the job table; their
parameters are these structs as JSON (`to_parameters`, `msgspec.convert`).
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from lanthorn_core.model import Level, RemoteAE

QUERY_TRANSFER_SYNTAX: Final = "1.2.840.10008.1.2.1"
"""In which identifiers travel to the gateway: Explicit VR Little Endian."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a gateway about one remote AE.

    `remote` is complete: its `local_ae_title` and `timeout_s` are those to use, and overrides of a
    request are applied. The gateway needs no registry to serve a command.
    """

    remote: RemoteAE


class EchoRemote(Command, frozen=True, kw_only=True, tag="echo"):
    """C-ECHO; with `check_find` also a C-FIND of a study that does not exist."""

    check_find: bool = False


class FindRemote(Command, frozen=True, kw_only=True, tag="find"):
    """C-FIND, worklists included: each pending response is one `FindAnswer`.

    `sop_class_uid` is the information model, `identifier` a data set in `QUERY_TRANSFER_SYNTAX`
    that goes out as it is (in the syntax negotiated).
    """

    sop_class_uid: str
    identifier: bytes


class StoreStraight(Command, frozen=True, kw_only=True, tag="store-straight"):
    """C-STORE of an object that lies in the object store for this one transfer, not in the index.

    Who asks puts it there and removes it after the answer. `dataset_offset` counts bytes from the
    start of the object to behind its File Meta Information.
    """

    object_key: str
    size_bytes: int
    dataset_offset: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


class RequestCommitment(Command, frozen=True, kw_only=True, tag="request-commitment"):
    """N-ACTION for a transaction that `CommitmentReports` expects; answered once it is accepted.

    The instances are those of the transaction, which are too many for a message.
    """

    transaction_uid: str


class FindAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The identifier of one pending C-FIND response, as it arrived."""

    data_set: bytes
    transfer_syntax_uid: str


GatewayCommand = EchoRemote | FindRemote | StoreStraight | RequestCommitment


class StoreJob(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a `DicomModalityStore` job: instances to send, in this order.

    `instances` are Orthanc identifiers; `remote` is complete as in `Command`. With a transaction
    UID, storage commitment is requested once all were sent.
    """

    remote: RemoteAE
    instances: list[str]
    move_originator_ae_title: str = ""
    move_originator_message_id: int = 0
    storage_commitment_transaction_uid: str = ""
    permissive: bool = False


class RetrieveIdentifier(msgspec.Struct, frozen=True, kw_only=True):
    """What one C-MOVE or C-GET asks for.

    `keys` are the keys to send as ``gggg,eeee`` and value, Query/Retrieve Level included; at
    patient level they belong to the Patient Root, else to the Study Root model. `query` is what
    clients are shown of it in the job's `Details`. For C-GET, `sop_class_uids` are the storage
    classes to negotiate; empty is all common ones.
    """

    level: Level
    keys: dict[str, str]
    query: dict[str, str]
    sop_class_uids: list[str] = msgspec.field(default_factory=list)


class MoveJob(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a `DicomMoveScu` job: one C-MOVE per identifier, all over one association."""

    remote: RemoteAE
    target_ae_title: str
    identifiers: list[RetrieveIdentifier]
    permissive: bool = False


class GetJob(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a `DicomGetScu` job: one C-GET per identifier."""

    remote: RemoteAE
    identifiers: list[RetrieveIdentifier]
    permissive: bool = False


JobParameters = TypeVar("JobParameters", StoreJob, MoveJob, GetJob)

_COMMAND_SUBJECT: Final = "dicom.v1.command"
_encoder = msgspec.msgpack.Encoder()
_command_decoder: msgspec.msgpack.Decoder[GatewayCommand] = msgspec.msgpack.Decoder(GatewayCommand)


def command_subject(command: type[Command] | Command) -> str:
    """Return the subject on which this kind of command travels."""
    tag = (command if isinstance(command, type) else type(command)).__struct_config__.tag
    return f"{_COMMAND_SUBJECT}.{tag}"


def encode_command(command: GatewayCommand) -> bytes:
    """Encode a command as MessagePack."""
    return _encoder.encode(command)


def decode_command(payload: bytes) -> GatewayCommand:
    """Decode a command; raises `msgspec.DecodeError` for anything else."""
    return _command_decoder.decode(payload)


def to_parameters(job: StoreJob | MoveJob | GetJob) -> dict[str, Any]:
    """Write a job's parameters as the job table keeps them."""
    parameters: dict[str, Any] = msgspec.to_builtins(job)
    return parameters


def from_parameters(parameters: object, kind: type[JobParameters]) -> JobParameters:
    """Read a job's parameters; raises `msgspec.ValidationError` for anything else."""
    return msgspec.convert(parameters, kind)
