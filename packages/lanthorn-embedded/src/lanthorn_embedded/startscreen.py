"""What one sees when the system is ready."""

from __future__ import annotations

from pathlib import Path

from lanthorn_embedded.datafolder import SystemState

_SCREEN = """
Lanthorn {version} is ready ({took_s} s).

  AE title    {ae_title}
  DICOM       port {dicom_port}
  Web         http://127.0.0.1:{http_port}/
  Data        {data_folder}

  Send a first file:
    storescu -aec {ae_title} 127.0.0.1 {dicom_port} image.dcm
    curl --data-binary @image.dcm http://127.0.0.1:{http_port}/instances

  Ctrl-C stops it.
"""


def start_screen(state: SystemState, data_folder: Path, *, took_s: float) -> str:
    """Write the screen; `took_s` is the time from the command to here."""
    return _SCREEN.format(
        version=state.version,
        took_s=took_s,
        ae_title=state.ae_title,
        dicom_port=state.dicom_port,
        http_port=state.http_port,
        data_folder=data_folder,
    )
