"""`Content-Disposition` as Orthanc writes it: a file name without a type (reference 1.9.5)."""

from __future__ import annotations


def disposition(filename: str) -> str:
    """Name the file that an answer is saved to.

    Quotes and control characters, with which a name could end the header, are left out. What is
    not ASCII goes out as UTF-8, as from Orthanc.
    """
    name = "".join(char for char in filename if char >= " " and char not in '"\\\x7f')
    # Headers are bytes, which Starlette encodes as Latin-1: these become the UTF-8 bytes again.
    return f'filename="{name.encode("utf-8", "replace").decode("latin-1")}"'
