"""TLS of associations, both ways, by Orthanc's `DicomTls…` options.

References
----------
DICOM PS3.15 Sections B.9 and B.10 (BCP 195 TLS Profiles), RFC 9325.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from lanthorn_core.runtime.option_names import option_name
from lanthorn_core.runtime.settings import Settings
from lanthorn_core.runtime.settings_error import Problem, SettingsError

_BCP_195_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:!aNULL:!eNULL:!PSK"
"""Ephemeral keys and authenticated encryption only; those of TLS 1.3 are always such."""

_TLS_1_3: Final = 5
"""`DicomTlsMinimumProtocolVersion`; what is less counts as TLS 1.2."""


def acceptor_context(settings: Settings) -> ssl.SSLContext | None:
    """Make the context of associations that come in; None where they do not speak TLS.

    Raises
    ------
    SettingsError
        A file that an option names is missing or wrong, or an option that TLS needs is not set.
    """
    if not settings.dicom_tls_enabled:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if not settings.dicom_tls_certificate:
        raise _wrong(settings, "dicom_tls_certificate", "needed by DicomTlsEnabled")
    _prepare(context, settings)
    return context


def requestor_context(settings: Settings) -> ssl.SSLContext | None:
    """Make the context of associations with remote AEs that have `UseDicomTls`.

    Returns
    -------
    ssl.SSLContext or None
        None where the options say nothing of TLS: there is nobody to trust.

    Raises
    ------
    SettingsError
        As for `acceptor_context`.
    """
    said = (
        settings.dicom_tls_enabled,
        settings.dicom_tls_certificate,
        settings.dicom_tls_trusted_certificates,
        not settings.dicom_tls_remote_certificate_required,
    )
    if not any(said):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Certificates of modalities name devices, not hosts; whom we trust is in one short file.
    context.check_hostname = False
    _prepare(context, settings)
    return context


def _prepare(context: ssl.SSLContext, settings: Settings) -> None:
    tls_1_3 = settings.dicom_tls_minimum_protocol_version >= _TLS_1_3
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls_1_3 else ssl.TLSVersion.TLSv1_2
    try:
        context.set_ciphers(":".join(settings.dicom_tls_ciphers_accepted) or _BCP_195_CIPHERS)
    except ssl.SSLError:
        reason = "expected cipher suites by OpenSSL's names"
        raise _wrong(settings, "dicom_tls_ciphers_accepted", reason) from None
    if settings.dicom_tls_certificate:
        _load_certificate(context, settings)
    if not settings.dicom_tls_remote_certificate_required:
        context.verify_mode = ssl.CERT_NONE
        return
    context.verify_mode = ssl.CERT_REQUIRED
    trusted = settings.dicom_tls_trusted_certificates
    if not trusted:
        reason = "needed unless DicomTlsRemoteCertificateRequired is false"
        raise _wrong(settings, "dicom_tls_trusted_certificates", reason)
    try:
        context.load_verify_locations(trusted)
    except (OSError, ssl.SSLError):
        reason = "expected a file of certificates in PEM format"
        raise _wrong(settings, "dicom_tls_trusted_certificates", reason) from None


def _load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    certificate, key = settings.dicom_tls_certificate, settings.dicom_tls_private_key
    if not _is_readable(certificate):
        raise _wrong(settings, "dicom_tls_certificate", "expected a file that can be read")
    if not key:
        raise _wrong(settings, "dicom_tls_private_key", "needed by DicomTlsCertificate")
    if not _is_readable(key):
        raise _wrong(settings, "dicom_tls_private_key", "expected a file that can be read")
    try:
        # Without an answer for a pass phrase OpenSSL would ask for it at the terminal.
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError:
        if not _is_certificate(certificate):
            raise _wrong(
                settings, "dicom_tls_certificate", "expected a certificate in PEM format"
            ) from None
        reason = "expected the certificate's key in PEM format, without a pass phrase"
        raise _wrong(settings, "dicom_tls_private_key", reason) from None


def _is_readable(path: str) -> bool:
    try:
        with Path(path).open("rb"):
            return True
    except OSError:
        return False


def _is_certificate(path: str) -> bool:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ssl.SSLError):
        return False
    return True


def _wrong(settings: Settings, field: str, expected: str) -> SettingsError:
    value = getattr(settings, field)
    shown = repr(value) if value else ""
    return SettingsError([Problem(option_name(field), shown, expected)])
