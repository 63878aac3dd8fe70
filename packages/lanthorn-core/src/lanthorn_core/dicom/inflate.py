"""Deflated data sets, opened no further than needed.

References
----------
DICOM PS3.5 Section A.5; RFC 1951.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from lanthorn_core.errors import InvalidDataset

if TYPE_CHECKING:
    from mmap import mmap

_FIRST_STEP: Final = 64 * 1024
_LARGEST_STEP: Final = 4 * 1024 * 1024
_INPUT_STEP: Final = 256 * 1024
MAX_HELD_BYTES: Final = 64 * 1024 * 1024
"""What may be held in memory of a data set whose pixels are not wanted."""


class InflatedDataset:
    """A deflate stream read in growing steps.

    Parameters
    ----------
    data : bytes-like
        The deflated data set.
    limit_bytes : int
        How much may come out of it, all in all.
    held_limit_bytes : int
        How much of that may be in memory at a time.
    """

    def __init__(
        self,
        data: bytes | bytearray | memoryview | mmap,
        *,
        limit_bytes: int,
        held_limit_bytes: int = MAX_HELD_BYTES,
    ) -> None:
        self.held = b""
        """Inflated bytes, from the last `skip_to` on."""
        self._data = data
        self._read = 0
        self._made = 0
        self._limit_bytes = limit_bytes
        self._held_limit_bytes = held_limit_bytes
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._step = _FIRST_STEP

    @property
    def complete(self) -> bool:
        """Whether the stream has come to its end."""
        return self._inflater.eof

    def inflate_more(self) -> None:
        """Add to `held`, each time more than before.

        Raises
        ------
        InvalidDataset
            The stream is broken, ends too early, or grows beyond what may be held.
        """
        room = self._held_limit_bytes - len(self.held)
        self.held += self._inflate(min(self._step, room + 1))
        if len(self.held) > self._held_limit_bytes:
            raise InvalidDataset(
                f"of a deflated data set, more than {self._held_limit_bytes} bytes "
                "would have to be in memory"
            )
        self._step = max(self._step, len(self.held))

    def inflate_all(self) -> None:
        """Add the rest to `held`; raises as `inflate_more` does."""
        while not self.complete:
            self.inflate_more()

    def skip_to(self, offset: int) -> None:
        """Let go of `held` up to an offset in it, which may be ahead; raises as `inflate_more`."""
        self.held, missing = self.held[offset:], offset - len(self.held)
        while missing > 0:
            if self.complete:
                raise InvalidDataset(f"a deflated data set ends {missing} bytes too early")
            missing -= len(self._inflate(min(missing, _LARGEST_STEP)))
        self._step = _FIRST_STEP

    def _inflate(self, wanted: int) -> bytes:
        """Inflate some bytes, no more than `wanted`, none only at the end of the stream."""
        made = b""
        while not made and not self._inflater.eof:
            source = self._inflater.unconsumed_tail
            if not source:
                source = bytes(self._data[self._read : self._read + _INPUT_STEP])
                self._read += len(source)
            try:
                made = self._inflater.decompress(source, wanted)
            except zlib.error as exc:
                raise InvalidDataset(f"a deflated data set is broken: {exc}") from None
            if not made and not source and not self._inflater.eof:
                raise InvalidDataset("a deflated data set is truncated")
        self._made += len(made)
        if self._made > self._limit_bytes:
            raise InvalidDataset(f"a deflated data set grows beyond {self._limit_bytes} bytes")
        return made
