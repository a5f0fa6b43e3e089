"""Files that may be compressed with zstd, as streams; the library is whichever is installed.

May not live here: what is in the files, and gzip (replay.adapters.source).
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Self, cast

from replay.errors import DataError, UsageError
from replay.feeds.tape import missing_file

_MAGIC = b"\x28\xb5\x2f\xfd"


def open_zstd(path: Path) -> BinaryIO:
    """Open a file, decompressed if it is zstd. Raises UsageError that names the extra where nothing decompresses it."""
    try:
        file = path.open("rb")
        magic = file.read(4)
        file.seek(0)
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", place=str(path)) from None
    if magic != _MAGIC:
        return file
    file.close()
    return _Checked(path, _opened(path))  # type: ignore[return-value]


def _opened(path: Path) -> BinaryIO:
    try:
        return cast(BinaryIO, import_module("compression.zstd").open(path, "rb"))
    except ImportError:
        pass
    try:
        library: Any = import_module("zstandard")
        return cast(BinaryIO, library.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True))
    except ImportError:
        pass
    try:
        arrow: Any = import_module("pyarrow")
    except ImportError:
        raise UsageError(
            f"{path.name} is compressed with zstd, which nothing here can read",
            remedy="pip install 'tickreplay[databento]', or unpack it with `zstd -d`",
        ) from None
    return cast(BinaryIO, arrow.CompressedInputStream(arrow.OSFile(str(path)), "zstd"))


class _Checked:
    """Reads as many bytes as are asked for, and says where a compressed file is broken."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file

    def read(self, size: int) -> bytes:
        """Read so many bytes, or what is left."""
        parts: list[bytes] = []
        left = size
        while left:
            try:
                part = self._file.read(left)
            except Exception as error:  # noqa: BLE001 (each of the libraries has its own)
                raise DataError(
                    f"its compression is broken: {error}",
                    reason="truncated",
                    place=str(self._path),
                    remedy="copy the file again",
                ) from None
            if not part:
                break
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
