"""The object store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lanthorn_core.ports.object_store import ObjectStore
from lanthorn_core.runtime.settings import Settings


@asynccontextmanager
async def open_object_store(settings: Settings) -> AsyncIterator[ObjectStore]:
    """Open the object store: S3 where an endpoint is configured, else files."""
    from lanthorn_core.adapters.objects_observed import ObservedObjectStore

    s3 = settings.runtime.s3
    if s3 is None:
        from lanthorn_core.adapters.objects_fs import FilesystemObjectStore

        threads = settings.lanthorn.object_store_threads
        folder = settings.runtime.data_folder / "objects"
        async with FilesystemObjectStore(folder, threads=threads) as files:
            yield ObservedObjectStore(files)
    else:
        from lanthorn_core.adapters.objects_s3 import S3ObjectStore

        async with S3ObjectStore(
            endpoint=s3.endpoint,
            access_key=s3.access_key,
            secret_key=s3.secret_key.get_secret_value(),
            bucket=s3.bucket,
            region=s3.region,
            ca_file=s3.ca_file,
            threads=settings.lanthorn.object_store_threads,
        ) as bucket:
            yield ObservedObjectStore(bucket)
