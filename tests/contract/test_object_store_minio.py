"""What only MinIO itself shows: versions, locks, policies, quotas, TLS."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import urllib3
from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, GOVERNANCE
from minio.credentials import StaticProvider
from minio.objectlockconfig import DAYS, ObjectLockConfig
from minio.retention import Retention
from minio.versioningconfig import VersioningConfig

from lanthorn_core.adapters.objects_s3 import PART_BYTES, S3ObjectStore
from lanthorn_core.errors import StorageRefused, StorageUnavailable, UnknownResource
from tests.fixtures.certificates import Authority
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server

pytestmark = pytest.mark.minio

KEY = "instances/v1/2026/11/21/08/0193-a.dcm"
OTHER = "instances/v1/2026/11/21/08/0193-b.dcm"
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "object-store.md"


def open_bucket(
    server: S3Server,
    spool_parent: Path,
    *,
    access_key: str = ACCESS_KEY,
    secret_key: str = SECRET_KEY,
    ca_file: Path | None = None,
) -> S3ObjectStore:
    return S3ObjectStore(
        server.endpoint,
        access_key=access_key,
        secret_key=secret_key,
        bucket=server.bucket,
        ca_file=ca_file,
        spool_parent=spool_parent,
    )


async def keys(store: S3ObjectStore) -> list[str]:
    return [info.key async for info in store.list()]


async def put_file(store: S3ObjectStore, key: str, data: bytes) -> None:
    spooled = store.spool_folder / "arriving"
    spooled.write_bytes(data)
    await store.put(key, spooled)


@pytest.fixture
def client(minio_bucket: S3Server) -> Iterator[Minio]:
    with minio_bucket.client() as made:
        yield made


@pytest.fixture
def admin(minio_bucket: S3Server) -> Iterator[MinioAdmin]:
    with urllib3.PoolManager() as http:
        yield MinioAdmin(
            endpoint=f"127.0.0.1:{minio_bucket.port}",
            credentials=StaticProvider(ACCESS_KEY, SECRET_KEY),
            secure=False,
            http_client=http,
        )


async def test_many_who_start_at_once_make_one_bucket(
    minio_bucket: S3Server, tmp_path: Path
) -> None:
    stores = [open_bucket(minio_bucket, tmp_path) for _ in range(8)]
    await asyncio.gather(*(store.__aenter__() for store in stores))
    await stores[0].put(KEY, [b"DICM"])
    assert await stores[-1].get(KEY) == b"DICM"
    await asyncio.gather(*(store.__aexit__(None, None, None) for store in stores))


async def test_what_is_deleted_in_a_versioned_bucket_is_neither_found_nor_listed(
    minio_bucket: S3Server, client: Minio, tmp_path: Path
) -> None:
    async with open_bucket(minio_bucket, tmp_path) as store:
        client.set_bucket_versioning(minio_bucket.bucket, VersioningConfig(ENABLED))
        await store.put(KEY, [b"DICM"])
        await store.put(OTHER, [b"DICM"])
        await store.delete(KEY)
        await store.delete(KEY)
        for reading in (store.get(KEY), store.stat(KEY), store.get(KEY, length=0)):
            with pytest.raises(UnknownResource):
                await reading
        assert await keys(store) == [OTHER]
    versions = list(client.list_objects(minio_bucket.bucket, recursive=True, include_version=True))
    assert sum(not version.is_delete_marker for version in versions) == 2


async def test_an_object_locked_bucket_takes_gives_and_forgets_objects(
    minio_bucket: S3Server, client: Minio, tmp_path: Path
) -> None:
    client.make_bucket(minio_bucket.bucket, object_lock=True)
    client.set_object_lock_config(minio_bucket.bucket, ObjectLockConfig(GOVERNANCE, 1, DAYS))
    data = os.urandom(PART_BYTES + 1)
    async with open_bucket(minio_bucket, tmp_path) as store:
        await store.put(KEY, [b"DICM"])
        await put_file(store, OTHER, data)
        assert await store.get(OTHER) == data
        assert await keys(store) == [KEY, OTHER]
        await store.delete(KEY)
        await store.delete(OTHER)
        assert await keys(store) == []
    locked = next(
        version
        for version in client.list_objects(
            minio_bucket.bucket, recursive=True, include_version=True
        )
        if not version.is_delete_marker
    )
    retention = client.get_object_retention(
        minio_bucket.bucket, locked.object_name, version_id=locked.version_id
    )
    assert isinstance(retention, Retention)
    assert retention.retain_until_date > datetime.now(UTC) + timedelta(hours=1)


def documented_policy(bucket: str) -> dict[str, Any]:
    """Read the policy that the page on the object store calls sufficient."""
    page = PAGE.read_text()
    block = page[page.index('{\n  "Version"') :].partition("```")[0]
    policy: dict[str, Any] = json.loads(block.replace(":::lanthorn", f":::{bucket}"))
    return policy


def make_user(admin: MinioAdmin, name: str, policy: dict[str, Any]) -> None:
    admin.user_add(name, SECRET_KEY)
    admin.policy_add(name, policy=policy)
    admin.policy_set(name, user=name)


async def test_the_documented_policy_is_enough(
    minio_bucket: S3Server, admin: MinioAdmin, tmp_path: Path
) -> None:
    user = f"least-{minio_bucket.bucket}"
    make_user(admin, user, documented_policy(minio_bucket.bucket))
    data = os.urandom(PART_BYTES + 1)
    async with open_bucket(minio_bucket, tmp_path, access_key=user) as store:
        await store.check()
        await store.put(KEY, [b"DICM"])
        await put_file(store, OTHER, data)
        assert await store.get(OTHER, start=PART_BYTES) == data[PART_BYTES:]
        assert (await store.stat(KEY)).size_bytes == 4
        await store.delete(KEY)
        assert await keys(store) == [OTHER]
        with pytest.raises(UnknownResource):
            await store.get(KEY)


async def test_a_deletion_that_a_policy_forbids_is_refused(
    minio_bucket: S3Server, admin: MinioAdmin, tmp_path: Path
) -> None:
    user, policy = f"keeper-{minio_bucket.bucket}", documented_policy(minio_bucket.bucket)
    policy["Statement"][1]["Action"].remove("s3:DeleteObject")
    make_user(admin, user, policy)
    async with open_bucket(minio_bucket, tmp_path, access_key=user) as store:
        await store.put(KEY, [b"DICM"])
        with pytest.raises(StorageRefused, match="403 AccessDenied"):
            await store.delete(KEY)
        assert await keys(store) == [KEY]


async def test_credentials_are_rotated_by_opening_anew(
    minio_bucket: S3Server, admin: MinioAdmin, tmp_path: Path
) -> None:
    policy = documented_policy(minio_bucket.bucket)
    old, new = (f"{age}-{minio_bucket.bucket}" for age in ("old", "new"))
    make_user(admin, old, policy)
    async with open_bucket(minio_bucket, tmp_path, access_key=old) as before:
        await before.put(KEY, [b"DICM"])
        make_user(admin, new, policy)
        async with open_bucket(minio_bucket, tmp_path, access_key=new) as after:
            assert await before.get(KEY) == await after.get(KEY)
            admin.user_remove(old)
            with pytest.raises(StorageRefused, match="403 InvalidAccessKeyId"):
                await before.get(KEY)
            assert await after.get(KEY) == b"DICM"


@pytest.mark.parametrize(
    ("access_key", "secret_key", "code"),
    [
        (ACCESS_KEY, "not-the-secret", "SignatureDoesNotMatch"),
        ("nobody", SECRET_KEY, "InvalidAccessKeyId"),
    ],
)
async def test_wrong_credentials_are_refused_and_not_told(
    minio_bucket: S3Server, tmp_path: Path, access_key: str, secret_key: str, code: str
) -> None:
    async with open_bucket(minio_bucket, tmp_path):
        pass
    stranger = open_bucket(minio_bucket, tmp_path, access_key=access_key, secret_key=secret_key)
    with pytest.raises(StorageRefused, match="403") as caught:
        await stranger.__aenter__()
    assert secret_key not in f"{caught.value!r} {caught.value.__cause__!r}"
    # What a running service is told when its credentials are taken away.
    with pytest.raises(StorageRefused, match=code):
        stranger._put_bytes(KEY, b"DICM", hashlib.sha256())


async def test_a_bucket_that_went_away_is_a_store_unavailable(
    minio_bucket: S3Server, client: Minio, tmp_path: Path
) -> None:
    async with open_bucket(minio_bucket, tmp_path) as store:
        client.remove_bucket(minio_bucket.bucket)
        spooled = store.spool_folder / "arriving"
        spooled.write_bytes(b"DICM")
        for failing in (
            store.check(),
            store.put(KEY, [b"DICM"]),
            store.put(KEY, spooled),
            store.get(KEY),
            store.get(KEY, length=0),
            store.stat(KEY),
            store.delete(KEY),
            keys(store),
        ):
            with pytest.raises(StorageUnavailable):
                await failing
        assert not spooled.exists()


async def test_forty_megabytes_go_in_parts_of_which_few_are_in_memory(
    minio_bucket: S3Server, client: Minio, tmp_path: Path
) -> None:
    data = os.urandom(40 << 20)
    async with open_bucket(minio_bucket, tmp_path) as store:
        spooled = store.spool_folder / "arriving"
        spooled.write_bytes(data)
        tracemalloc.start()
        await store.put(KEY, spooled)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak_bytes < 2.5 * PART_BYTES
        assert [part async for part in store.stream(KEY, start=len(data) - 9)] == [data[-9:]]
        assert await store.get(KEY) == data
    parts = -(-len(data) // PART_BYTES)
    assert str(client.stat_object(minio_bucket.bucket, KEY).etag).endswith(f"-{parts}")


async def test_a_server_with_a_certificate_of_its_own_authority_is_trusted_by_its_file(
    minio_tls_bucket: S3Server, tmp_path: Path
) -> None:
    server = minio_tls_bucket
    data = os.urandom(PART_BYTES + 1)
    async with open_bucket(server, tmp_path, ca_file=server.ca_file) as store:
        await store.put(KEY, [b"DICM"])
        await put_file(store, OTHER, data)
        assert await store.get(KEY) == b"DICM"
        assert await store.get(OTHER) == data
        assert await keys(store) == [KEY, OTHER]


@pytest.mark.parametrize("trusted", ["system", "other"])
async def test_a_server_that_nobody_vouches_for_is_not_spoken_to(
    minio_tls_bucket: S3Server, tmp_path: Path, trusted: str
) -> None:
    other = Authority(tmp_path / "other").certificate
    with pytest.raises(StorageRefused, match="not trusted"):
        async with open_bucket(
            minio_tls_bucket, tmp_path, ca_file=other if trusted == "other" else None
        ):
            pass


def test_a_file_without_certificates_is_told_by_its_name(
    minio_tls_bucket: S3Server, tmp_path: Path
) -> None:
    empty = tmp_path / "authority.pem"
    empty.touch()
    with pytest.raises(StorageUnavailable, match=str(empty)):
        open_bucket(minio_tls_bucket, tmp_path, ca_file=empty)
