"""The section `Lanthorn` of the configuration: what Orthanc does not have."""

from __future__ import annotations

import os
from typing import Annotated, Final, Literal

from pydantic import BaseModel, Field

from lanthorn_core.runtime.option_names import OPTION_CONFIG

_MEBIBYTE: Final = 1 << 20


class LanthornSection(BaseModel):
    """Section `Lanthorn`: what Orthanc does not have."""

    model_config = OPTION_CONFIG

    index_barrier_timeout: Annotated[float, Field(gt=0)] = Field(
        default=10.0, description="Seconds that a query waits for the index to be current"
    )
    maximum_in_flight_bytes: Annotated[int, Field(ge=_MEBIBYTE)] = Field(
        default=256 * _MEBIBYTE,
        description="Bytes of received objects that one process holds in memory",
    )
    gateway_processes: Annotated[int, Field(ge=1, le=64)] = Field(
        default_factory=lambda: min(4, os.cpu_count() or 1),
        description="Gateway processes on one machine (default: one for each core, at most 4)",
    )
    commitment_on_same_association: bool = Field(
        default=False,
        description=(
            "Report storage commitment over the association of the request if it is still open, "
            "and over a new one only otherwise (Orthanc always opens a new one)"
        ),
    )
    dicom_artim_timeout: Annotated[float, Field(gt=0)] = Field(
        default=30.0,
        description=(
            "Seconds from a connection to its association request, and from our last word to the "
            "connection's end (ARTIM timer); never longer than `DicomScpTimeout`"
        ),
    )
    dicom_associations_per_host: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Associations from one address that one gateway process serves; 0 is no limit",
    )
    sweep_interval: Annotated[float, Field(gt=0)] = Field(
        default=900.0,
        description="Seconds between searches for objects that the index does not know",
    )
    maximum_standby_lag: Annotated[float, Field(ge=0)] = Field(
        default=120.0,
        description=(
            "Seconds that a standby of the database may be behind when it is promoted: as long are "
            "events and discarded objects kept. `lanthorn up` with its own database, which has no "
            "standby, keeps none"
        ),
    )
    object_store_threads: Annotated[int, Field(ge=1, le=64)] = Field(
        default=6, description="Threads, and connections, of one process to the object store"
    )
    log_format: Literal["json", "console"] = Field(
        default="json", description="Form of the log's lines"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged"
    )
