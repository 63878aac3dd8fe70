"""How found resources are put into an answer: as ids or expanded, with which parts and tags."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from lanthorn_core.errors import UnknownResource
from lanthorn_core.model import Level
from lanthorn_core.ports.index import Attachment, Resource
from lanthorn_rest_api.metadata_names import MetadataNames
from lanthorn_rest_api.parameters import Parameters, TagFormat, requested_tags, tag_format
from lanthorn_rest_api.requested_tags import requested_values
from lanthorn_rest_api.resources_json import EXPANDED, parse_response_content, resource_json
from lanthorn_rest_api.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Presentation:
    """How a client wants resources to be shown.

    `parts` are those of `resources_json.PARTS`, or `EXPANDED`; without any, ids are enough.
    """

    parts: Collection[str] | None = EXPANDED
    tag_format: TagFormat = "simplify"
    requested: Sequence[int] = ()

    @property
    def is_ids(self) -> bool:
        """Whether only ids are wanted."""
        return self.parts is None

    @classmethod
    def of_resource(cls, parameters: Parameters) -> Presentation:
        """Read how one resource, or its children, shall be shown."""
        return cls(tag_format=tag_format(parameters), requested=requested_tags(parameters))

    @classmethod
    def of_listing(cls, parameters: Parameters, *, expand: bool) -> Presentation:
        """Read how a listing shall be shown; `response-content` counts more than `expand`."""
        content = parameters.get("response-content")
        parts: Collection[str] | None = EXPANDED if expand else None
        if content is not None:
            parts = parse_response_content([name for name in content.split(";") if name])
        return cls(
            parts=parts, tag_format=tag_format(parameters), requested=requested_tags(parameters)
        )

    async def show(self, services: Services, resources: Sequence[Resource]) -> list[dict[str, Any]]:
        """Show resources of one level."""
        names = MetadataNames(services.settings.user_metadata)
        requested = await requested_values(services, resources, self.requested, self.tag_format)
        parts = EXPANDED if self.parts is None else self.parts
        attached: dict[str, list[Attachment]] = {}
        if "Attachments" in parts and resources:
            ids = [resource.public_id for resource in resources]
            attached = await services.reader.attachments(resources[0].level, ids)
        return [
            resource_json(
                resource,
                names,
                parts=parts,
                tag_format=self.tag_format,
                requested=values,
                attached=attached.get(resource.public_id, ()),
            )
            for resource, values in zip(resources, requested, strict=True)
        ]

    async def show_one(self, services: Services, resource: Resource) -> dict[str, Any]:
        """Show one resource."""
        return (await self.show(services, [resource]))[0]


async def existing(services: Services, level: Level, public_id: str) -> Resource:
    """Return a resource.

    Raises
    ------
    UnknownResource
        There is none.
    """
    resource = await services.reader.resource(level, public_id)
    if resource is None:
        raise UnknownResource
    return resource
