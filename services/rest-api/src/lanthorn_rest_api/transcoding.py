"""`?transcode=`: what clients ask for that only a codec could give them."""

from __future__ import annotations

from pydicom.uid import UID, AllTransferSyntaxes

from lanthorn_core.errors import InvalidParameter, UnsupportedTransferSyntax


def refuse_transcoding(transfer_syntax_uid: str) -> None:
    """Refuse to send in another transfer syntax than that of the object.

    Raises
    ------
    InvalidParameter
        There is no such transfer syntax.
    UnsupportedTransferSyntax
        There is, but nothing here writes it.
    """
    if transfer_syntax_uid not in AllTransferSyntaxes:
        raise InvalidParameter(f"Unknown transfer syntax: {transfer_syntax_uid}")
    name = UID(transfer_syntax_uid).name
    raise UnsupportedTransferSyntax(f"Cannot transcode to {name}; ask without transcoding")
