"""What only the object store on S3 promises: credentials, failures of the server, its spool."""

from __future__ import annotations

import contextlib
import fcntl
import threading
from collections.abc import AsyncIterator, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lanthorn_core.adapters.objects_s3 import S3ObjectStore
from lanthorn_core.adapters.private_spool import PrivateSpool
from lanthorn_core.errors import StorageFull, StorageUnavailable, UnknownResource
from lanthorn_embedded.sockets import ReservedPort
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server, rclone_over

KEY = "instances/v1/2026/11/21/08/0193-a.dcm"


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def open_bucket(
    endpoint: str, spool_parent: Path, *, bucket: str = "lanthorn", secret_key: str = SECRET_KEY
) -> S3ObjectStore:
    return S3ObjectStore(
        endpoint,
        access_key=ACCESS_KEY,
        secret_key=secret_key,
        bucket=bucket,
        spool_parent=spool_parent,
    )


@pytest.fixture(params=["rclone", pytest.param("minio", marks=pytest.mark.minio)])
def server(request: pytest.FixtureRequest) -> S3Server:
    bucket: S3Server = request.getfixturevalue(f"{request.param}_bucket")
    return bucket


async def test_a_wrong_secret_is_refused(server: S3Server, tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable, match="403"):
        async with open_bucket(server.endpoint, tmp_path, secret_key="wrong"):
            pass
    assert entries(tmp_path) == []


async def test_a_bucket_is_made_once_and_used_by_all(server: S3Server, tmp_path: Path) -> None:
    async with open_bucket(server.endpoint, tmp_path, bucket=server.bucket) as one:
        await one.put(KEY, [b"DICM"])
        async with open_bucket(server.endpoint, tmp_path, bucket=server.bucket) as other:
            assert await other.get(KEY) == b"DICM"
            assert one.spool_folder != other.spool_folder


async def test_a_server_that_is_not_there_is_a_store_unavailable(tmp_path: Path) -> None:
    nobody = ReservedPort()
    with pytest.raises(StorageUnavailable):
        async with open_bucket(f"http://127.0.0.1:{nobody.number}", tmp_path):
            pass
    assert entries(tmp_path) == []


async def test_a_server_that_went_away_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "buckets").mkdir()
    server = rclone_over(tmp_path)
    running = contextlib.ExitStack()
    running.enter_context(server.running())
    with running:
        async with open_bucket(server.endpoint, tmp_path) as store:
            await store.put(KEY, [b"DICM"])
            spooled = store.spool_folder / "arriving"
            spooled.write_bytes(b"DICM")
            running.close()
            for failing in (
                store.put("other.dcm", [b"DICM"]),
                store.put("other.dcm", spooled),
                store.get(KEY),
                store.check(),
                anext(aiter(store.list())),
            ):
                with pytest.raises(StorageUnavailable):
                    await failing
            assert not spooled.exists()
            running.enter_context(server.running())
            await store.check()
            assert await store.get(KEY) == b"DICM"
            with pytest.raises(UnknownResource):
                await store.stat("other.dcm")


class FullStore(BaseHTTPRequestHandler):
    """Answers like an S3 server that has room for nothing: buckets exist, objects are refused."""

    protocol_version = "HTTP/1.1"
    xml = b"<Error><Code>XMinioStorageFull</Code><Message>full</Message></Error>"
    status = 507
    media_type = "application/xml"

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.status)
        self.send_header("Content-Type", self.media_type)
        self.send_header("Content-Length", str(len(self.xml)))
        self.end_headers()
        self.wfile.write(self.xml)

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


@contextlib.contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(
    params=[
        {},
        {"media_type": "text/html", "xml": b"<p>no room"},
        {
            "status": 400,
            "xml": b"<Error><Code>XMinioAdminBucketQuotaExceeded</Code></Error>",
        },
    ],
    ids=["full", "full-behind-a-proxy", "quota"],
)
async def full_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[S3ObjectStore]:
    handler = type("Handler", (FullStore,), request.param)
    with serving(handler) as endpoint:
        async with open_bucket(endpoint, tmp_path) as store:
            yield store


async def test_a_store_without_room_is_full(full_store: S3ObjectStore) -> None:
    spooled = full_store.spool_folder / "arriving"
    spooled.write_bytes(b"DICM")
    with pytest.raises(StorageFull):
        await full_store.put(KEY, [b"DICM"])
    with pytest.raises(StorageFull):
        await full_store.put(KEY, spooled)
    assert not spooled.exists()


class Truncating(BaseHTTPRequestHandler):
    """Promises an object of 100 bytes and ends after ten."""

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        self.wfile.write(b"0123456789")

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent."""


async def test_an_object_that_ends_too_early_is_never_taken_for_whole(tmp_path: Path) -> None:
    with serving(Truncating) as endpoint:
        async with open_bucket(endpoint, tmp_path) as store:
            with pytest.raises(StorageUnavailable):
                await store.get(KEY)
            with pytest.raises(StorageUnavailable):
                _ = [chunk async for chunk in store.stream(KEY, chunk_bytes=4)]


async def test_the_spool_folder_ends_with_the_store(server: S3Server, tmp_path: Path) -> None:
    async with open_bucket(server.endpoint, tmp_path, bucket=server.bucket) as store:
        assert store.spool_folder.parent == tmp_path
        assert store.spool_folder.stat().st_mode & 0o077 == 0
        (store.spool_folder / "never-put").write_bytes(b"DICM")
    assert entries(tmp_path) == []


def test_a_dead_process_s_spool_folder_is_removed_and_a_living_one_s_is_not(
    tmp_path: Path,
) -> None:
    living, newcomer = PrivateSpool(tmp_path), PrivateSpool(tmp_path)
    dead = tmp_path / "lanthorn-spool-dead"
    dead.mkdir()
    (dead / "left").write_bytes(b"DICM")
    living.open()
    newcomer.open()
    assert set(entries(tmp_path)) == {living.folder, newcomer.folder}
    newcomer.close()
    living.close()
    assert entries(tmp_path) == []


def test_a_spool_folder_that_is_being_made_is_not_taken_for_a_dead_process_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, newcomer = PrivateSpool(tmp_path), PrivateSpool(tmp_path)
    lock = fcntl.flock

    def after_another_began(file: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", lock)
        newcomer.open()
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", after_another_began)
    spool.open()
    assert set(entries(tmp_path)) == {spool.folder, newcomer.folder}
    newcomer.close()
    spool.close()
    assert entries(tmp_path) == []
