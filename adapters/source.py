"""Bytes of a file from any place on, inflated where it is compressed.

May not live here: rows and fields.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from replay.adapters.engine import engine
from replay.errors import DataError
from replay.feeds.tape import missing_file

_READ_BYTES = 1 << 18
_COMPRESSED = {
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"PAR1": "Parquet",
    b"\x93NUMPY": ".npy",
}


class Inflater(Protocol):
    """Inflates gzip in chunks."""

    def feed(self, data: bytes) -> int:
        """Take compressed bytes; give how many inflated ones are there."""

    def finish(self) -> None:
        """Take the end; raise DataError if it comes too soon."""

    def take(self, size: int) -> bytes:
        """Give the next inflated bytes, at most `size` of them."""

    @property
    def available(self) -> int:
        """Count the inflated bytes that were not taken."""


class Source:
    """A file as a stream of plain bytes. Each read gives as many bytes as were asked for, unless the file ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
            head = self._file.read(8)
            self._file.seek(0)
        except FileNotFoundError:
            raise missing_file(path) from None
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", place=str(path)) from None
        self.is_compressed = head.startswith(b"\x1f\x8b")
        self._gunzip: Inflater | None = engine().Gunzip() if self.is_compressed else None
        self._is_finished = False
        self._stopped: DataError | None = None
        for magic, name in _COMPRESSED.items():
            if head.startswith(magic) and name != ".npy":
                self._file.close()
                raise DataError(
                    f"is {name}, which is not read here",
                    reason="wrong_format",
                    place=str(path),
                    remedy="unpack it, or pack it with gzip",
                )

    def read(self, size: int) -> bytes:
        """Read `size` bytes, or what is left; b"" at the end. Raises DataError if a compressed file is cut."""
        if self._gunzip is None:
            try:
                return self._file.read(size)
            except OSError as error:
                raise DataError(f"cannot be read: {error.strerror}", place=str(self.path)) from None
        self._inflate(size)
        return self._gunzip.take(size)

    def skip(self, size: int) -> None:
        """Go on `size` bytes later; DataError if the file does not reach so far."""
        if self._gunzip is None:
            held = self._file.seek(0, 2)
            if held < size:
                raise DataError(
                    f"has {held} bytes, and was read up to byte {size} before", reason="shrank", place=str(self.path)
                )
            self._file.seek(size)
            return
        while size:
            part = self.read(min(size, 1 << 20))
            if not part:
                raise DataError("is shorter than when it was read before", reason="shrank", place=str(self.path))
            size -= len(part)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _inflate(self, size: int) -> None:
        """Inflate until so many bytes are there, or the file ends. What a broken file holds is given out first."""
        gunzip = self._gunzip
        assert gunzip is not None
        try:
            while gunzip.available < size and not self._is_finished and self._stopped is None:
                data = self._file.read(_READ_BYTES)
                if data:
                    gunzip.feed(data)
                else:
                    gunzip.finish()
                    self._is_finished = True
        except DataError as error:
            error.place = f"{self.path}, {error.place}" if error.place else str(self.path)
            self._stopped = error
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", place=str(self.path)) from None
        if self._stopped is not None and not gunzip.available:
            raise self._stopped
