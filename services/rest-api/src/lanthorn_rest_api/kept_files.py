"""Files that belong to resources: an instance's DICOM file, and what users attached."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request

from lanthorn_core.errors import StorageUnavailable
from lanthorn_core.model import Level
from lanthorn_core.ports.index import Attachment, Resource
from lanthorn_core.usecases.receipts import new_receipt_id
from lanthorn_rest_api.etags import expected_revision
from lanthorn_rest_api.resources_json import DICOM_ATTACHMENT
from lanthorn_rest_api.services import Services
from lanthorn_rest_api.threads import in_thread
from lanthorn_rest_api.upload_bodies import receive
from lanthorn_rest_api.upload_spool import IN_MEMORY_BYTES, SpooledUpload

PREFIX: Final = "attachments/v1/"
"""No object below it is an instance's; the sweep does not look here."""


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file in the object store; `md5` is empty where only reading it would tell."""

    number: int
    object_key: str
    size_bytes: int
    media_type: str
    md5: str = ""
    revision: int = 0

    @property
    def uuid(self) -> str:
        """What clients know as its UUID."""
        return self.object_key.rpartition("/")[2].removesuffix(".dcm")

    @property
    def tag(self) -> str:
        """Something that changes with the content, as an `ETag` needs it.

        Orthanc has the MD5 there. An object never changes, so its own id does as well, and the file
        need not be read to tell it.
        """
        return self.md5 or self.uuid.replace("-", "")


async def kept_files(services: Services, resource: Resource) -> list[KeptFile]:
    """Return the files of a resource, by number."""
    files = []
    if resource.level is Level.INSTANCE:
        size_bytes = resource.size_bytes
        files.append(
            KeptFile(DICOM_ATTACHMENT, resource.object_key, size_bytes, "application/dicom")
        )
    types = {kind.number: kind.media_type for kind in services.settings.user_content_type.values()}
    attachments = await services.reader.attachments(resource.level, [resource.public_id])
    for attached in attachments.get(resource.public_id, ()):
        files.append(
            KeptFile(
                attached.number,
                attached.object_key,
                attached.size_bytes,
                types.get(attached.number, "application/octet-stream"),
                attached.md5,
                attached.revision,
            )
        )
    return files


async def attach_body(
    services: Services, request: Request, resource: Resource, number: int
) -> Attachment:
    """Attach the body of a request; returns what is attached now.

    Raises
    ------
    RevisionMismatch
        The client believes in another revision than there is.
    StorageFull, StorageUnavailable, IndexUnavailable
        It cannot be kept.
    """
    with SpooledUpload(services.objects.spool_folder) as upload:
        async with services.budget.reserve(IN_MEMORY_BYTES):
            await receive(request.stream(), upload)
        size_bytes = upload.size_bytes
        content = upload.take()
    key = f"{PREFIX}{new_receipt_id()}"
    try:
        md5 = await in_thread(_md5_of, content)
        await services.objects.put(key, content if isinstance(content, Path) else [content])
        attachment = Attachment(number, key, size_bytes, md5)
        revision = await services.editor.attach(
            resource.level,
            resource.public_id,
            attachment,
            expected=expected_revision(request),
            must_expect=services.settings.check_revisions,
        )
    except BaseException:
        if isinstance(content, Path):
            content.unlink(missing_ok=True)  # unless the store has taken it
        with suppress(StorageUnavailable):
            await services.objects.delete(key)
        raise
    return Attachment(number, key, size_bytes, md5, revision)


def _md5_of(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.md5(content, usedforsecurity=False).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
