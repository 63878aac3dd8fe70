"""Restoring as docs/how-to/back-up-and-restore.md says: database and objects, or objects alone."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nats
import pytest

from lanthorn_core import wiring
from lanthorn_core.model import Level
from lanthorn_core.usecases.delete_resources import DeleteResources
from lanthorn_core.usecases.receipts import new_receipt_id, object_key
from lanthorn_embedded.engines.postgres import find_programs
from tests.fixtures.dicom_files import ct_file
from tests.fixtures.index import MakeSystem, System
from tests.fixtures.s3 import S3Server

HOUR_S = 3600.0


@dataclass(frozen=True)
class Place:
    """Where objects are, where they are restored to, and how they get from one to the other."""

    original: dict[str, str]
    restored: dict[str, str]
    copy: Callable[[], None]


@pytest.fixture(params=["files", pytest.param("bucket", marks=pytest.mark.minio)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "files":
        source, target = tmp_path / "data" / "objects", tmp_path / "restored" / "objects"
        return Place(
            {},
            {"LANTHORN_DATA_DIR": str(target.parent)},
            lambda: shutil.copytree(source, target) and None,
        )
    bucket: S3Server = request.getfixturevalue("minio_bucket")
    other = replace(bucket, bucket=f"{bucket.bucket}-restored")
    return Place(bucket.variables, other.variables, lambda: copy_bucket(bucket, other))


def copy_bucket(source: S3Server, target: S3Server) -> None:
    """Copy what is not there, as `rclone copy` does."""
    with source.client() as client:
        client.make_bucket(target.bucket)
        for found in client.list_objects(source.bucket, recursive=True):
            answer = client.get_object(source.bucket, found.object_name)
            with answer:
                client.put_object(target.bucket, found.object_name, answer, found.size)


def dump(database_url: str, into: Path) -> None:
    _run("pg_dump", "--format=custom", f"--file={into}", database_url)


def restore(archive: Path, database_url: str) -> None:
    _run("pg_restore", "--no-owner", "--exit-on-error", f"--dbname={database_url}", archive)


def _run(program: str, *arguments: str | Path) -> None:
    command = [str(find_programs(Path("no-cluster")) / program), *map(str, arguments)]
    subprocess.run(command, check=True)


async def forget_events(nats_url: str) -> None:
    """Leave the bus as a new one is: streams are not part of a backup."""
    client = await nats.connect(nats_url)
    streams = client.jetstream()
    for stream in await streams.streams_info():
        await streams.delete_stream(stream.config.name or "")
    await client.close()


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the indexer acts


async def instances(system: System) -> int:
    return (await system.reader.statistics()).instances


async def is_readable(system: System, instance: str) -> bool:
    (stored,) = await system.reader.instances(Level.INSTANCE, instance)
    return (await system.objects.get(stored.object_key)).endswith(b"")


async def test_a_database_backed_up_before_its_objects_comes_back_with_all_of_them(
    empty_database_url: str, make_system: MakeSystem, place: Place, nats_url: str, tmp_path: Path
) -> None:
    keeping = {"LANTHORN__MAXIMUM_STANDBY_LAG": "600"}
    system: System = await make_system(place.original, **keeping)  # type: ignore[misc]
    archive = tmp_path / "lanthorn.dump"
    async with system.indexer():
        labelled, deleted = [(await system.store(ct_file())).public_ids for _ in range(2)]
        await system.reader.wait_until_current()
        await system.editor.set_label(Level.STUDY, labelled.study, "kept")
        await asyncio.to_thread(dump, system.settings.runtime.database_url, archive)
        # Between the two backups one instance is stored and another one deleted.
        an_hour_ago = new_receipt_id(time.time() - HOUR_S)
        await system.objects.put(object_key(an_hour_ago), [ct_file()])
        delete = DeleteResources(system.bus.publisher, system.reader)
        await delete([(Level.PATIENT, deleted.patient)])
        await asyncio.to_thread(place.copy)
    await forget_events(nats_url)
    await asyncio.to_thread(restore, archive, empty_database_url)

    environment = {**place.restored, "DATABASE_URL": empty_database_url}
    again: System = await make_system(environment, **keeping)  # type: ignore[misc]
    async with again.indexer():

        async def all_are_found() -> bool:
            return await instances(again) == 3

        await eventually(all_are_found)
        study = await again.reader.resource(Level.STUDY, labelled.study)
        assert study is not None
        assert study.labels == ["kept"]
        for ids in (labelled, deleted):
            assert await is_readable(again, ids.instance)
        # And it goes on from there.
        await again.store(ct_file())
        assert await again.reader.wait_until_current()
        assert await instances(again) == 4


async def test_an_empty_database_is_filled_from_the_objects_alone(
    empty_database_url: str, make_system: MakeSystem, place: Place
) -> None:
    await wiring.migrate(empty_database_url)
    system: System = await make_system(place.original)  # type: ignore[misc]
    for number in range(5):
        an_hour_ago = new_receipt_id(time.time() - HOUR_S)
        await system.objects.put(object_key(an_hour_ago), [ct_file(PatientID=f"P{number}")])
    await asyncio.to_thread(place.copy)

    environment = {**place.restored, "DATABASE_URL": empty_database_url}
    again: System = await make_system(environment)  # type: ignore[misc]
    async with again.indexer():

        async def all_are_found() -> bool:
            return await instances(again) == 5

        await eventually(all_are_found)
        summary = await wiring.reindex(again.settings, fresh=True)
        assert (summary.objects, summary.patients, summary.instances) == (5, 5, 5)
