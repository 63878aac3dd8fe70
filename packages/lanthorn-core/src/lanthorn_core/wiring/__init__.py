"""From settings to adapters: the only place that knows which technology does what.

A module for each thing that is opened. Adapters are imported where they are opened, so that a
service loads only the client libraries that it uses.
"""

from lanthorn_core.wiring.index import (
    open_editor,
    open_index_writer,
    open_reader,
    open_storage_limits,
)
from lanthorn_core.wiring.jobs import JobsEngine, forget_jobs, open_jobs
from lanthorn_core.wiring.objects import open_object_store
from lanthorn_core.wiring.reindexing import ReindexSummary, reindex
from lanthorn_core.wiring.remote import (
    RemoteRecords,
    open_commitment_reports,
    open_remote_aes,
    open_remote_records,
)
from lanthorn_core.wiring.renderer import open_renderer
from lanthorn_core.wiring.schema import migrate, require_schema
from lanthorn_core.wiring.stream import IndexerBus, ServiceBus, open_bus, open_indexer_bus
from lanthorn_core.wiring.worklists import open_worklists

__all__ = [
    "IndexerBus",
    "JobsEngine",
    "ReindexSummary",
    "RemoteRecords",
    "ServiceBus",
    "forget_jobs",
    "migrate",
    "open_bus",
    "open_commitment_reports",
    "open_editor",
    "open_index_writer",
    "open_indexer_bus",
    "open_jobs",
    "open_object_store",
    "open_reader",
    "open_remote_aes",
    "open_remote_records",
    "open_renderer",
    "open_storage_limits",
    "open_worklists",
    "reindex",
    "require_schema",
]
