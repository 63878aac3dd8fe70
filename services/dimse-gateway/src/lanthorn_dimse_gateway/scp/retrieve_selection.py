"""Which stored instances a C-MOVE or C-GET is about."""

from __future__ import annotations

from dataclasses import dataclass

from lanthorn_core.model import Level
from lanthorn_core.ports.index import FindQuery, IndexReader, Resource, StoredInstance


@dataclass(frozen=True, slots=True)
class Selection:
    """The resources that an identifier names, by public id, and the instances at and below them.

    The instances come by study and series in the order of the query, and in the order of the
    series.
    """

    public_ids: list[str]
    instances: list[StoredInstance]


async def select_instances(reader: IndexReader, query: FindQuery) -> Selection:
    """Find what a query asks for, behind the index barrier; nothing is no error.

    Raises
    ------
    IndexUnavailable
        The index does not answer.
    """
    await reader.wait_until_current()
    if query.level is Level.INSTANCE:
        resources = await reader.find(query)
        return Selection(
            [resource.public_id for resource in resources],
            [stored_instance_of(resource) for resource in resources],
        )
    public_ids = await reader.find_ids(query)
    instances: list[StoredInstance] = []
    for public_id in public_ids:
        instances += await reader.instances(query.level, public_id)
    return Selection(public_ids, instances)


def stored_instance_of(resource: Resource) -> StoredInstance:
    """Tell where the bytes of an instance lie that was found as a resource."""
    offset = resource.metadata.get("PixelDataOffset")
    return StoredInstance(
        public_id=resource.public_id,
        object_key=resource.object_key,
        size_bytes=resource.size_bytes,
        sop_class_uid=resource.metadata["SopClassUid"],
        sop_instance_uid=resource.main_tags["SOPInstanceUID"],
        transfer_syntax_uid=resource.metadata["TransferSyntax"],
        pixel_data_offset=None if offset is None else int(offset),
        number_of_frames=resource.number_of_frames,
    )
