"""Bytes of a file from any place on, inflated where it is compressed.

May not live here: rows and fields.
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from replay.adapters.engine import engine
from replay.errors import DataError
from replay.tape import missing_file

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

    def feed(self, data: bytes) -> bytes:
        """Take compressed bytes; give what they inflate to."""

    def finish(self) -> bytes:
        """Take the end; raise DataError if it comes too soon."""


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
        self._held = b""
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
        parts = [self._held]
        have = len(self._held)
        while have < size:
            part = self._inflate()
            if not part:
                break
            parts.append(part)
            have += len(part)
        whole = b"".join(parts)
        self._held = whole[size:]
        return whole[:size]

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

    def _inflate(self) -> bytes:
        """Give the next inflated bytes; b"" at the end."""
        assert self._gunzip is not None
        try:
            while True:
                data = self._file.read(_READ_BYTES)
                if not data:
                    return self._gunzip.finish()
                out = self._gunzip.feed(data)
                if out:
                    return out
        except DataError as error:
            error.place = f"{self.path}, {error.place}" if error.place else str(self.path)
            raise
        except OSError as error:
            raise DataError(f"cannot be read: {error.strerror}", place=str(self.path)) from None
