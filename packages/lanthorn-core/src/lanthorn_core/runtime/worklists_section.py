"""The section `Worklists` of the configuration: that of Orthanc's worklist plugins, old and new."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import BaseModel, Field, model_validator

from lanthorn_core.runtime.option_names import OPTION_CONFIG


class WorklistsSection(BaseModel):
    """Section `Worklists`: the modality worklist, which Orthanc has as a plugin."""

    model_config = OPTION_CONFIG

    enable: bool = Field(default=False, description="Serve modality worklists at all")
    directory: str = Field(
        default="",
        description=(
            "Folder of `.wl` files; a relative one is below the data folder. `Database`, its older "
            "name, is read as well. Without a folder, items are kept in the database"
        ),
    )
    filter_issuer_aet: bool = Field(
        default=False, description="A modality sees only steps scheduled for its own AE title"
    )
    limit_answers: Annotated[int, Field(ge=0)] = Field(
        default=0, description="Most answers of one query; 0 is no limit"
    )
    save_in_orthanc_database: bool = Field(
        default=False,
        description="Keep items in the database, where all gateways see them; not with a folder",
    )
    set_study_instance_uid_if_missing: bool = Field(
        default=True, description="Items made by REST get a Study Instance UID if they have none"
    )
    delete_worklists_on_stable_study: bool = Field(
        default=True,
        description="Items made by REST go once a study of their UID has arrived and is stable",
    )
    delete_worklists_delay: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Hours after which items in the database go; 0 is never",
    )
    housekeeping_interval: Annotated[int, Field(ge=1)] = Field(
        default=60, description="Seconds between two looks for items that can go"
    )

    @model_validator(mode="before")
    @classmethod
    def _older_name(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and "Database" in value:
            value = dict(value)
            database = value.pop("Database")
            value.setdefault("Directory", database)
        return value

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.directory and self.save_in_orthanc_database:
            raise ValueError("expected Directory or SaveInOrthancDatabase, not both")
        return self
