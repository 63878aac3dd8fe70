"""Options of Orthanc that Lanthorn knows and does not honour, each with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Unsupported:
    """An option without effect here.

    Attributes
    ----------
    default : Any
        Orthanc's default: with this value nothing is said.
    reason : str
        Why the option has no effect, or what takes its place.
    refused : bool
        With another value the process does not start: to go on would be unsafe, because the
        option protects something that we would leave open.
    """

    default: Any
    reason: str
    refused: bool = False


_NOT_YET = "not yet part of Lanthorn"
_FOLDERS = "the data folder is LANTHORN_DATA_DIR"
_TLS = "Lanthorn does not speak TLS yet; put a proxy before it that does"
_THREADS = "Lanthorn serves connections without a thread for each"
_CACHES = "Lanthorn's memory is limited by Lanthorn.MaximumInFlightBytes"
_SYNTAXES = "name the transfer syntaxes in AcceptedTransferSyntaxes"
_NO_CODE = "Lanthorn runs no code from outside"
_HTTP_CLIENT = "belongs to sending to peers, which is not yet part of Lanthorn"
_PLUGIN = "section of an Orthanc plugin, which Lanthorn does not load"
_DATABASE = "section of an Orthanc plugin; the database is DATABASE_URL"
_OBJECTS = "section of an Orthanc plugin; the object store is S3_ENDPOINT and friends"
_NAMES = "attributes have the names of PS3.6 and of DCMTK's private dictionary"
_LOGS = "Lanthorn never logs what identifies a patient"

UNSUPPORTED: Final[Mapping[str, Unsupported]] = MappingProxyType(
    {
        # Storage
        "StorageDirectory": Unsupported("OrthancStorage", _FOLDERS),
        "IndexDirectory": Unsupported("OrthancStorage", _FOLDERS),
        "TemporaryDirectory": Unsupported("", "use TMPDIR"),
        "PatientLevelEnabled": Unsupported(True, "the level of patients is always there"),
        "StorageCompression": Unsupported(False, "objects are kept as received"),
        "StoreDicom": Unsupported(True, "Lanthorn always keeps the objects"),
        "SyncStorageArea": Unsupported(True, "what Lanthorn acknowledged is always durable"),
        "MaximumStorageCacheSize": Unsupported(128, _CACHES),
        "StorageMemoryCapacity": Unsupported(512, _CACHES),
        "StorageLoaderThreadsCount": Unsupported(4, "use Lanthorn.ObjectStoreThreads"),
        "DatabaseServerIdentifier": Unsupported("Orthanc1", "replicas need no name"),
        "LoadPrivateDictionary": Unsupported(True, "private tags are always known by name"),
        "Dictionary": Unsupported({}, _NAMES),
        "ExternalDictionaries": Unsupported([], _NAMES),
        "DefaultPrivateCreator": Unsupported("", _NAMES),
        "Locale": Unsupported("", "case is compared by Unicode's rules"),
        "Warnings": Unsupported({}, "the log has its own levels, Lanthorn.LogLevel"),
        "LuaScripts": Unsupported([], _NO_CODE),
        "LuaHeartBeatPeriod": Unsupported(0, _NO_CODE),
        "Plugins": Unsupported([], _NO_CODE),
        "ExecuteLuaEnabled": Unsupported(False, _NO_CODE),
        "RestApiWriteToFileSystemEnabled": Unsupported(False, "clients write no files here"),
        # HTTP
        "MaximumRequestBodySizeMB": Unsupported(8192, "large uploads wait on the disk"),
        "MaximumFileSizeInArchiveMB": Unsupported(4096, "a file in an archive may have 4 GiB"),
        "MallocArenaMax": Unsupported(5, "use MALLOC_ARENA_MAX"),
        "MaximumConcurrentDcmtkTranscoders": Unsupported(0, _NOT_YET),
        "HttpBindAddresses": Unsupported([], "use RemoteAccessAllowed", refused=True),
        "SslEnabled": Unsupported(False, _TLS, refused=True),
        "SslCertificate": Unsupported("certificate.pem", _TLS),
        "SslVerifyPeers": Unsupported(False, _TLS, refused=True),
        "SslTrustedClientCertificates": Unsupported("trustedClientCertificates.pem", _TLS),
        "SslMinimumProtocolVersion": Unsupported(4, _TLS),
        "SslCiphersAccepted": Unsupported("", _TLS),
        "TcpNoDelay": Unsupported(True, "Lanthorn always sends at once"),
        "HttpThreadsCount": Unsupported(50, _THREADS),
        "HttpRequestTimeout": Unsupported(30, "requests end with their own time limits"),
        "WebDavEnabled": Unsupported(True, "Lanthorn has no WebDAV"),
        "WebDavDeleteAllowed": Unsupported(False, "Lanthorn has no WebDAV"),
        "WebDavUploadAllowed": Unsupported(True, "Lanthorn has no WebDAV"),
        "OrthancPeersInDatabase": Unsupported(False, _NOT_YET),
        "HttpTimeout": Unsupported(60, _HTTP_CLIENT),
        "HttpProxy": Unsupported("", _HTTP_CLIENT),
        "HttpVerbose": Unsupported(False, _HTTP_CLIENT),
        "HttpsVerifyPeers": Unsupported(True, _HTTP_CLIENT),
        "HttpsCACertificates": Unsupported("", _HTTP_CLIENT),
        "SynchronousZipStream": Unsupported(True, _NOT_YET),
        "ZipLoaderThreads": Unsupported(0, _NOT_YET),
        "ZipUseUtf8": Unsupported(False, _NOT_YET),
        # DICOM
        "DeflatedTransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "JpegTransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "Jpeg2000TransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "JpegLosslessTransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "JpipTransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "Mpeg2TransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "RleTransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "Mpeg4TransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "H265TransferSyntaxAccepted": Unsupported(True, _SYNTAXES),
        "BuiltinDecoderTranscoderOrder": Unsupported("After", "Lanthorn has no decoder plugins"),
        "IngestTranscoding": Unsupported("", "objects are kept as received"),
        "IngestTranscodingOfUncompressed": Unsupported(True, "objects are kept as received"),
        "IngestTranscodingOfCompressed": Unsupported(True, "objects are kept as received"),
        # Jobs, caches, logs
        "JobsEngineThreadsCount": Unsupported({"ResourceModification": 1}, _NOT_YET),
        "MediaArchiveSize": Unsupported(1, _NOT_YET),
        "DicomParserCacheSize": Unsupported(256, _CACHES),
        "DicomParserMemoryCapacity": Unsupported(256, _CACHES),
        "DicomParserThreadsCount": Unsupported(2, _THREADS),
        "SequentialDicomReaderThreadsCount": Unsupported(4, _THREADS),
        "SequentialDicomReaderWindowSize": Unsupported(4, _CACHES),
        "SequentialDicomReaderWindowCapacity": Unsupported(0, _CACHES),
        "TranscoderCacheSize": Unsupported(256, _CACHES),
        "TranscoderMemoryCapacity": Unsupported(256, _CACHES),
        "TranscoderThreadsCount": Unsupported(4, _THREADS),
        "DeidentifyLogs": Unsupported(True, _LOGS),
        "DeidentifyLogsDicomVersion": Unsupported("2023b", _LOGS),
        # Sections of plugins
        "PostgreSQL": Unsupported({}, _DATABASE),
        "MySQL": Unsupported({}, _DATABASE),
        "Odbc": Unsupported({}, _DATABASE),
        "MongoDB": Unsupported({}, _DATABASE),
        "AwsS3Storage": Unsupported({}, _OBJECTS),
        "AzureBlobStorage": Unsupported({}, _OBJECTS),
        "GoogleCloudStorage": Unsupported({}, _OBJECTS),
        "AdvancedStorage": Unsupported({}, _OBJECTS),
        "Authorization": Unsupported({}, _PLUGIN, refused=True),
        "DelayedDeletion": Unsupported({}, _PLUGIN),
        "DicomWeb": Unsupported({}, "DICOMweb is not yet part of Lanthorn"),
        "Gdcm": Unsupported({}, _PLUGIN),
        "Housekeeper": Unsupported({}, _PLUGIN),
        "MultitenantDicom": Unsupported({}, _PLUGIN, refused=True),
        "OHIF": Unsupported({}, _PLUGIN),
        "OrthancExplorer2": Unsupported({}, _PLUGIN),
        "PythonScript": Unsupported("", _NO_CODE),
        "PythonVerbose": Unsupported(False, _NO_CODE),
        "ServeFolders": Unsupported({}, _PLUGIN),
        "StoneWebViewer": Unsupported({}, _PLUGIN),
        "Transfers": Unsupported({}, _PLUGIN),
        "VolView": Unsupported({}, _PLUGIN),
        "WebViewer": Unsupported({}, _PLUGIN),
        "WholeSlideImaging": Unsupported({}, _PLUGIN),
    }
)
"""With a value other than the default, the start-up log names the option and gives the reason."""
