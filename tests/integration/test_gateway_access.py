"""Who may do what, as peers see it: permissions of remote AEs that come and go, roles, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pynetdicom import AE, build_context, build_role

from lanthorn_core.model import RemoteAE
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.wiring import open_bus, open_object_store
from lanthorn_dimse import (
    AssociateRequest,
    Command,
    CommandField,
    DimseError,
    connect,
    propose,
)
from lanthorn_dimse_gateway.app import serving_dicom
from lanthorn_dimse_gateway.listening import listen
from lanthorn_dimse_gateway.services import receiving_services
from lanthorn_dimse_gateway.tls import requestor_context
from tests.fixtures.certificates import Authority
from tests.fixtures.gateway import (
    CT_IMAGE_STORAGE,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    RunningGateway,
)
from tests.fixtures.pynetdicom_peer import SURPRISED_THREADS

pytestmark = SURPRISED_THREADS

RunGateway = Callable[..., AbstractContextManager[RunningGateway]]
VERIFICATION = "1.2.840.10008.1.1"
NOT_AUTHORIZED = 0x0124


@dataclass
class ChangingRemoteAEs:
    """Remote AEs that somebody edits while the gateway runs."""

    known: Mapping[str, RemoteAE] = field(default_factory=dict)

    async def all(self) -> Mapping[str, RemoteAE]:
        return self.known


@contextlib.asynccontextmanager
async def serving(settings: Settings, remote_aes: ChangingRemoteAEs) -> AsyncIterator[int]:
    """Serve on a free port, and tell which."""
    listening = listen("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    async with open_object_store(settings) as objects, open_bus(settings) as bus:
        providers = receiving_services(settings, objects, bus.publisher)
        async with serving_dicom(settings, providers, remote_aes, listening, drain_s=1):
            yield port


async def echo(port: int, tls: ssl.SSLContext | None = None) -> int | None:
    """C-ECHO as the AE `CT1`; the status."""
    request = AssociateRequest(
        "CT1", "LANTHORN", propose([(VERIFICATION, [IMPLICIT_VR_LITTLE_ENDIAN])])
    )
    async with connect("127.0.0.1", port, request, tls=tls) as assoc:
        context = assoc.context_for(VERIFICATION)
        command = Command(
            CommandField.C_ECHO_RQ, assoc.next_message_id(), False, sop_class_uid=VERIFICATION
        )
        return (await assoc.request(context.context_id, command)).command.status


async def test_a_remote_ae_put_at_run_time_counts_from_the_next_association_on(
    gateway_settings: Callable[..., Settings],
) -> None:
    remote_aes = ChangingRemoteAEs()
    ct1 = RemoteAE(ae_title="CT1", host="127.0.0.1", port=104)
    async with serving(gateway_settings(DicomAlwaysAllowEcho=False), remote_aes) as port:
        assert await echo(port) == NOT_AUTHORIZED
        remote_aes.known = {"ct": ct1}
        assert await echo(port) == 0
        remote_aes.known = {"ct": RemoteAE(ae_title="CT1", host="h", port=1, allow_echo=False)}
        assert await echo(port) == NOT_AUTHORIZED
        remote_aes.known = {}
        assert await echo(port) == NOT_AUTHORIZED


def test_a_read_only_server_still_lets_itself_be_read(running_gateway: RunGateway) -> None:
    entity = AE("SCU")
    with running_gateway(ReadOnly=True) as gateway:
        association = entity.associate(
            "127.0.0.1",
            gateway.port,
            contexts=[build_context(CT_IMAGE_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN)],
            ext_neg=[build_role(CT_IMAGE_STORAGE, scp_role=True)],
        )
        (context,) = association.accepted_contexts
        assert (context.as_scu, context.as_scp) == (False, True)
        association.release()


@pytest.fixture(scope="module")
def tls_options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    ours = authority.issue("lanthorn")
    return {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": str(ours.certificate),
        "DicomTlsPrivateKey": str(ours.key),
        "DicomTlsTrustedCertificates": str(authority.certificate),
    }


async def test_over_tls_everything_is_as_without(
    gateway_settings: Callable[..., Settings], tls_options: dict[str, object]
) -> None:
    settings = gateway_settings(**tls_options)
    async with serving(settings, ChangingRemoteAEs()) as port:
        assert await echo(port, requestor_context(settings)) == 0


@contextlib.contextmanager
def pynetdicom_over_tls(port: int, context: ssl.SSLContext, sop_class_uid: str) -> Iterator[object]:
    entity = AE("SCU")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 10
    association = entity.associate(
        "127.0.0.1",
        port,
        contexts=[build_context(sop_class_uid, EXPLICIT_VR_LITTLE_ENDIAN)],
        tls_args=(context, "localhost"),
    )
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def test_pynetdicom_stores_over_tls_with_a_certificate_and_not_without(
    running_gateway: RunGateway, tls_options: dict[str, object], data_folder: Path
) -> None:
    trusted = str(tls_options["DicomTlsTrustedCertificates"])
    anonymous = ssl.create_default_context(cafile=trusted)
    anonymous.check_hostname = False
    known = ssl.create_default_context(cafile=trusted)
    known.check_hostname = False
    known.load_cert_chain(
        str(tls_options["DicomTlsCertificate"]), str(tls_options["DicomTlsPrivateKey"])
    )
    with running_gateway(**tls_options) as gateway:
        with pynetdicom_over_tls(gateway.port, known, CT_IMAGE_STORAGE) as association:
            assert association.send_c_store(data_folder / "CT_small.dcm").Status == 0  # type: ignore[attr-defined]
        with pytest.raises(DimseError):
            asyncio.run(echo(gateway.port, anonymous))
        with gateway.connected(associate=False) as plain:
            plain.sendall(b"\x01\x00\x00\x00\x00\x04\x00\x00\x00\x00")
            with contextlib.suppress(ConnectionResetError):
                while plain.recv(100):
                    pass
        assert len(gateway.stored_files) == 1


@pytest.fixture
def data_folder() -> Path:
    return Path(__file__).parents[1] / "data" / "pydicom"


async def test_a_slow_handshake_keeps_nobody_waiting(
    gateway_settings: Callable[..., Settings], tls_options: dict[str, object]
) -> None:
    settings = gateway_settings(**tls_options)
    async with serving(settings, ChangingRemoteAEs()) as port:
        _, silent = await asyncio.open_connection("127.0.0.1", port)
        try:
            assert await echo(port, requestor_context(settings)) == 0
        finally:
            silent.close()
            await silent.wait_closed()
