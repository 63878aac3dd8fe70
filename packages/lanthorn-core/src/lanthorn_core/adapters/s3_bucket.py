"""One bucket: the SDK's client for it, and signed uploads.

The SDK speaks to the server for all but one thing: the upload of an object that is in memory. There
it would take the digest of half a megabyte that the event needs anyway a second time, and over TLS
MD5 on top, which is slower than both. What it exports to sign requests with is what signs here.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote, urlsplit

from minio import Minio
from minio.credentials import Credentials
from minio.error import S3Error
from minio.signer import sign_v4_s3
from minio.time import to_amz_date

from lanthorn_core.adapters.s3_failures import BucketGoneError, RefusedError
from lanthorn_core.adapters.s3_http import open_http

MEDIA_TYPE: Final = "application/dicom"

_OK: Final = 200
_ANY: Final = "any"


class S3Bucket:
    """A bucket, its server's connections and the credentials for it. Its calls block.

    Parameters
    ----------
    endpoint : str
        ``http://host:port`` or ``https://host:port``.
    access_key, secret_key : str
        Credentials.
    name, region : str
        The bucket and where it is.
    ca_file : Path, optional
        Certificates that the server's must come from; by default those that the system trusts.
    connections : int
        How many are kept.

    Raises
    ------
    StorageRefused
        There are no certificates in the file.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        access_key: str,
        secret_key: str,
        name: str,
        region: str,
        ca_file: Path | None,
        connections: int,
    ) -> None:
        url = urlsplit(endpoint)
        self._is_encrypted = url.scheme == "https"
        self._http = open_http(connections=connections, ca_file=ca_file)
        self.client = Minio(
            url.netloc,
            access_key=access_key,
            secret_key=secret_key,
            secure=self._is_encrypted,
            region=region,
            http_client=self._http,
        )
        self.name = name
        self._credentials = Credentials(access_key, secret_key)
        # The SDK knows hosts that have the bucket, or the region, in their name.
        a_url = urlsplit(self.client.get_presigned_url("PUT", name, _ANY))
        self._region = parse_qs(a_url.query)["X-Amz-Credential"][0].split("/")[-3]
        self._host = a_url.netloc
        self._folder = a_url.path.removesuffix(_ANY)
        self._origin = f"{a_url.scheme}://{a_url.netloc}"
        self._pool = self._http.connection_from_url(self._origin)

    def exists(self) -> bool:
        """Tell whether the bucket is there."""
        return bool(self.client.bucket_exists(self.name))

    def size(self, key: str) -> int:
        """Tell the size of an object in bytes.

        Raises
        ------
        BucketGoneError
            The bucket is not there; the answer for the object alone would not tell.
        """
        try:
            return int(self.client.stat_object(self.name, key).size or 0)
        except S3Error as error:
            if error.code == "NoSuchKey" and not self.exists():
                raise BucketGoneError from error
            raise

    def put(self, key: str, data: bytes, sha256: bytes) -> None:
        """Upload an object; what arrives must have this digest, or the server refuses it."""
        path = self._folder + quote(key)
        now = datetime.now(UTC)
        headers: dict[str, str | list[str] | tuple[str]] = {
            "Host": self._host,
            "Content-Type": MEDIA_TYPE,
            "x-amz-content-sha256": sha256.hex(),
            "x-amz-date": to_amz_date(now),
        }
        if self._is_encrypted:
            # Amazon asks for a checksum of its own kind where objects are locked; its servers are
            # only spoken to over TLS. Elsewhere the signed digest does, and is checked once.
            headers["x-amz-checksum-sha256"] = b64encode(sha256).decode()
        signed = sign_v4_s3(
            method="PUT",
            url=urlsplit(self._origin + path),
            region=self._region,
            headers=headers,
            credentials=self._credentials,
            content_sha256=sha256.hex(),
            date=now,
        )
        sent = {name: str(value) for name, value in signed.items()}
        response = self._pool.urlopen("PUT", path, body=data, headers=sent)
        if response.status != _OK:
            raise RefusedError(response)

    def close(self) -> None:
        """Drop the connections."""
        self._http.clear()
