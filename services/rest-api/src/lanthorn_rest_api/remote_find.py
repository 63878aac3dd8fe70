"""Asking remote AEs: from a client's keys to the answers as JSON (reference 2.12.3)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Final

from pydicom import Dataset

from lanthorn_core.commands import FindAnswer, FindRemote
from lanthorn_core.dicom.orthancjson import to_orthanc_json
from lanthorn_core.dicom.query_identifier import (
    PATIENT_ROOT_FIND,
    STUDY_ROOT_FIND,
    WORKLIST_FIND,
    Keys,
    completed,
    dataset_of_keys,
    encode_identifier,
    normalized,
)
from lanthorn_core.dicom.reading import dataset_of_header
from lanthorn_core.dicom.scan import scan_dataset
from lanthorn_core.dicom.tags import format_tag, parse_tag, tag_name
from lanthorn_core.errors import InvalidDataset, RemoteAEFailed, UnknownTag
from lanthorn_core.model import Level, RemoteAE
from lanthorn_core.ports.remote_queries import RemoteQuestion
from lanthorn_rest_api.parameters import BadFormat, TagFormat
from lanthorn_rest_api.services import Services
from lanthorn_rest_api.threads import in_thread

_NO_KEYS: Final = "Associative array of DICOM tags to strings expected in field: Query"


def parse_keys(document: Any) -> dict[int, str]:
    """Read the keys of a query: an object of tags and texts.

    Raises
    ------
    BadFormat
        It is something else.
    """
    if not isinstance(document, Mapping):
        raise BadFormat(_NO_KEYS)
    keys: dict[int, str] = {}
    for name, text in document.items():
        if not isinstance(text, str):
            raise BadFormat(_NO_KEYS)
        try:
            keys[parse_tag(name)] = text
        except UnknownTag as error:
            raise BadFormat(_NO_KEYS) from error
    return keys


def keys_json(keys: Mapping[str, str], style: TagFormat) -> dict[str, Any]:
    """Show keys (``gggg,eeee`` and text) in one of Orthanc's formats."""
    if style == "short":
        return dict(keys)
    names = {tag: tag_name(parse_tag(tag)) for tag in keys}
    if style == "simplify":
        return {names[tag]: text for tag, text in keys.items()}
    return {
        tag: {"Name": names[tag], "Type": "String", "Value": text} for tag, text in keys.items()
    }


def formatted_keys(keys: Keys) -> dict[str, str]:
    """Write the tags of keys as ``gggg,eeee``."""
    return {format_tag(tag): text for tag, text in keys.items()}


def find_command(
    remote: RemoteAE, level: Level, keys: Keys, *, normalize: bool, default_encoding: str
) -> FindRemote:
    """Make the command that asks a remote AE for resources of a level.

    Raises
    ------
    InvalidParameter
        A text is none that its tag can hold.
    """
    asked = normalized(keys, level.value) if normalize else dict(keys)
    dataset = dataset_of_keys(completed(asked, level.value, remote.manufacturer))
    return FindRemote(
        remote=remote,
        sop_class_uid=PATIENT_ROOT_FIND if level is Level.PATIENT else STUDY_ROOT_FIND,
        identifier=encode_identifier(dataset, default_encoding),
    )


def worklist_command(remote: RemoteAE, identifier: Dataset, default_encoding: str) -> FindRemote:
    """Make the command that asks a remote AE for worklist entries.

    Raises
    ------
    InvalidParameter
        A value cannot be written.
    """
    return FindRemote(
        remote=remote,
        sop_class_uid=WORKLIST_FIND,
        identifier=encode_identifier(identifier, default_encoding),
    )


async def keep_query(
    services: Services, question: RemoteQuestion, *, normalize: bool
) -> dict[str, str]:
    """Ask a remote AE and keep its answers; returns where they are.

    Raises
    ------
    RemoteAEFailed, GatewayUnavailable
        The remote AE could not be asked, or failed.
    InvalidParameter
        A key has a value that its tag cannot hold.
    """
    command = find_command(
        question.remote,
        question.level,
        {parse_tag(tag): text for tag, text in question.keys.items()},
        normalize=normalize,
        default_encoding=services.settings.default_encoding,
    )
    async with aclosing(services.commands.find(command)) as answers:
        query_id = await services.records.queries.keep(question, answers)
    return {"ID": query_id, "Path": f"/queries/{query_id}"}


async def found(services: Services, command: FindRemote, style: TagFormat) -> list[dict[str, Any]]:
    """Ask a remote AE and show its answers.

    Raises
    ------
    RemoteAEFailed, GatewayUnavailable
        The remote AE could not be asked, or failed.
    """
    async with aclosing(services.commands.find(command)) as answers:
        return [
            shown
            async for batch in _batches(answers)
            for shown in await answers_json(services, batch, style)
        ]


_BATCH: Final = 200


async def _batches(
    answers: AsyncGenerator[FindAnswer, None],
) -> AsyncGenerator[list[FindAnswer], None]:
    batch: list[FindAnswer] = []
    async for answer in answers:
        batch.append(answer)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


async def answers_json(
    services: Services, answers: Sequence[FindAnswer], style: TagFormat
) -> list[dict[str, Any]]:
    """Show answers of a remote AE.

    Raises
    ------
    RemoteAEFailed
        One is no data set.
    """
    encoding = services.settings.default_encoding

    def show() -> list[dict[str, Any]]:
        return [
            to_orthanc_json(answer_dataset(answer), style=style, default_encoding=encoding)
            for answer in answers
        ]

    try:
        return show() if len(answers) <= 1 else await in_thread(show)
    except InvalidDataset as error:
        raise RemoteAEFailed(f"The remote AE answered no data set: {error}") from error


def answer_dataset(answer: FindAnswer) -> Dataset:
    """Read an answer.

    Raises
    ------
    RemoteAEFailed
        It is no data set.
    """
    try:
        return dataset_of_header(scan_dataset(answer.data_set, answer.transfer_syntax_uid))
    except InvalidDataset as error:
        raise RemoteAEFailed(f"The remote AE answered no data set: {error}") from error


def body_format(body: Mapping[str, Any], default: TagFormat) -> TagFormat:
    """Read in which format a body wants tags.

    Raises
    ------
    BadFormat
        `Simplify`, `Short` or `Full` is no Boolean.
    """
    wanted: TagFormat = default
    names: tuple[tuple[str, TagFormat], ...] = (
        ("Full", "full"),
        ("Short", "short"),
        ("Simplify", "simplify"),
    )
    for name, style in names:
        value = body.get(name, False)
        if not isinstance(value, bool):
            raise BadFormat(f"Boolean value expected in field: {name}")
        if value:
            wanted = style
    return wanted


def level_field(body: Mapping[str, Any], complaint: str) -> str:
    """Read `Level`, still as text.

    Raises
    ------
    BadFormat
        It is missing, or no text.
    """
    level = body.get("Level")
    if not isinstance(level, str):
        raise BadFormat(complaint)
    return level
