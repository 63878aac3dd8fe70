"""What one sees when the system is ready."""

from __future__ import annotations

from pathlib import Path

from lanthorn_embedded.datafolder import SystemState
from lanthorn_embedded.sockets import LOOPBACK

_OFF = "off"


def start_screen(state: SystemState, data_folder: Path, *, took_s: float) -> str:
    """Write the screen; `took_s` is the time from the command to here."""
    first_files = []
    if state.dicom_port is not None:
        first_files.append(
            f"    storescu -aec {state.ae_title} {LOOPBACK} {state.dicom_port} image.dcm"
        )
    if state.http_port is not None:
        first_files.append(f"    curl --data-binary @image.dcm {web_face(state)}instances")
    lines = [
        "",
        f"Lanthorn {state.version} is ready ({took_s} s).",
        "",
        f"  AE title    {state.ae_title}",
        f"  DICOM       {dicom_face(state)}",
        f"  Web         {web_face(state)}",
        f"  Data        {data_folder}",
        "",
        *(["  Send a first file:", *first_files, ""] if first_files else []),
        "  Ctrl-C stops it.",
        "",
    ]
    return "\n".join(lines)


def dicom_face(state: SystemState) -> str:
    """Say where DICOM is served."""
    return _OFF if state.dicom_port is None else f"port {state.dicom_port}"


def web_face(state: SystemState) -> str:
    """Say where HTTP is served."""
    return _OFF if state.http_port is None else f"http://{LOOPBACK}:{state.http_port}/"
