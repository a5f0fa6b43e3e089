"""Tapes: `.npy` files of records with a sidecar that names their instruments; mapped into memory, written in chunks.

May not live here: other formats, feeds, and what a record means.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
from pathlib import Path
from types import TracebackType
from typing import Annotated, Any, BinaryIO, Literal, Self

import msgspec
import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from replay.errors import ConfigError, DataError, JournalError, choose, disk_remedy, nearest
from replay.records import RECORD, RECORD_BYTES, BarPrice, Kind

KIND_NAMES = {int(kind): kind.name.lower() for kind in Kind}
"""The name of each kind of record, as it stands in sidecars and run files."""

BarPriceName = Literal["trade", "mid", "bid", "ask"]
BAR_PRICES: tuple[BarPriceName, ...] = ("trade", "mid", "bid", "ask")
"""Of bars of several prices, those of the first of these fill."""

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_SIDECAR_SUFFIX = ".tape.json"
_INSTRUMENTS_MAX = 1_000_000


class TapeInstrument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One instrument of a tape: its scales, and the kinds of records that the tape has of it.

    bar_price: of which price the bars are that fill; unset without bars, and on tapes written before this was noted.
    """

    symbol: str
    price_decimals: Annotated[int, msgspec.Meta(ge=0, le=18)]
    size_decimals: Annotated[int, msgspec.Meta(ge=0, le=18)]
    kinds: list[str] = []
    sizes: Literal["full", "none"] = "full"
    venue: str | None = None
    bar_price: BarPriceName | msgspec.UnsetType = msgspec.UNSET


class TapeHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a tape, or any feed, says about its records.

    one_time: every record has ts_recv = ts_event.
    bar_lengths_ns: the table that the low byte of a bar's flags points into.
    rows, first_ns, last_ns: number of records, their first and their largest ts_recv; None where that is not known.
    """

    version: Literal[1] = 1
    one_time: bool
    bar_lengths_ns: list[Annotated[int, msgspec.Meta(gt=0)]] = []
    instruments: Annotated[list[TapeInstrument], msgspec.Meta(max_length=_INSTRUMENTS_MAX)]
    rows: Annotated[int, msgspec.Meta(ge=0)] | None = None
    first_ns: int | None = None
    last_ns: int | None = None


def sidecar_path(path: str | Path) -> Path:
    """Return the path of a tape's sidecar: `btc.npy` has `btc.tape.json`."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".npy") + _SIDECAR_SUFFIX)


class Tape:
    """A tape that is mapped into memory. Its records are read only; `release` gives their pages back."""

    def __init__(self, path: Path, header: TapeHeader, mapped: mmap.mmap | None, offset: int, rows: int) -> None:
        self.path = path
        self.header = header
        self._map = mapped
        self._offset = offset
        self._rows = rows
        if mapped is None:
            self.records: NDArray[Any] = np.zeros(0, dtype=RECORD)
        else:
            self.records = np.frombuffer(mapped, dtype=RECORD, count=rows, offset=offset)

    def __len__(self) -> int:
        return self._rows

    def release(self, first_row: int, limit_row: int) -> None:
        """Drop the pages that lie wholly inside first_row..limit_row from memory; reading them again is no error."""
        if self._map is None or not hasattr(mmap, "MADV_DONTNEED"):
            return
        start = self._offset + first_row * RECORD_BYTES
        start += -start % mmap.PAGESIZE
        end = self._offset + limit_row * RECORD_BYTES
        end -= end % mmap.PAGESIZE
        if start < end:
            self._map.madvise(mmap.MADV_DONTNEED, start, end - start)


def load(path: str | Path) -> Tape:
    """Map a tape and read its sidecar.

    Raises ConfigError if there is no such file, DataError if it is not a tape, is cut, or has no sidecar.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            offset, rows = _check_array(path, file)
            size = os.fstat(file.fileno()).st_size
            mapped = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if rows else None
    except FileNotFoundError:
        raise missing_file(path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", place=str(path)) from None
    header = load_header(path)
    if header.rows != rows:
        raise DataError(
            f"the tape has {rows} records, and its sidecar says {header.rows}",
            place=str(path),
            remedy=f"{sidecar_path(path).name} belongs to another tape: copy the two together",
        )
    return Tape(path, header, mapped, offset, rows)


def load_header(path: str | Path) -> TapeHeader:
    """Read the sidecar of a tape; raise DataError if there is none or it is not one."""
    sidecar = sidecar_path(path)
    try:
        return msgspec.json.decode(sidecar.read_bytes(), type=TapeHeader)
    except FileNotFoundError:
        raise DataError(
            f"the tape has no sidecar {sidecar.name}",
            reason="missing_sidecar",
            place=str(path),
            remedy="copy both files together, or make the tape again with `replay data convert`",
        ) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DataError(f"is not a tape's sidecar: {error}", place=str(sidecar)) from None
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror}", place=str(sidecar)) from None


def save(path: str | Path, records: NDArray[Any], header: TapeHeader) -> TapeHeader:
    """Write a whole tape at once; return the header as it was written."""
    with TapeWriter(path, header) as writer:
        writer.append(records)
    return writer.header


def load_part(path: str | Path, rows: int) -> NDArray[Any]:
    """Read the first records of a tape that was never closed; `path` is the name that it would have had.

    Raises DataError if fewer are there.
    """
    part = Path(path).with_name(Path(path).name + ".part")
    try:
        with part.open("rb") as file:
            npy.read_magic(file)
            npy.read_array_header_1_0(file)
            data = file.read(rows * RECORD_BYTES)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read: {error}", place=str(part)) from None
    if len(data) < rows * RECORD_BYTES:
        raise DataError(
            f"has {len(data) // RECORD_BYTES} records, and {rows} were made durable",
            reason="truncated",
            place=str(part),
        )
    return np.frombuffer(data, dtype=RECORD)


class TapeWriter:
    """Writes a tape in chunks. It appears under its name, with its sidecar, only when it is closed.

    `one_time`, `rows`, the times, and each instrument's kinds and price of bars in the header are those of the records
    written.
    """

    def __init__(self, path: str | Path, header: TapeHeader) -> None:
        self.path = Path(path)
        if self.path.suffix != ".npy":
            raise ConfigError(f"a tape's name ends with .npy, not {self.path.suffix!r}", place=str(path))
        self.header = header
        self._part = self.path.with_name(self.path.name + ".part")
        self._rows = 0
        self._one_time = True
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._kinds = np.zeros((len(header.instruments), 256), dtype=np.bool_)
        self._sides_of_bars = np.zeros((len(header.instruments), 256), dtype=np.bool_)
        try:
            self._file: BinaryIO = self._part.open("wb")
            self._header_bytes = _write_array_header(self._file, 0)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> JournalError:
        return JournalError(
            f"cannot be written: {error.strerror or error}",
            place=str(self.path),
            remedy=disk_remedy(error, self.path),
        )

    def append(self, records: NDArray[Any]) -> None:
        """Append records, whose instruments are indexes into the header's list."""
        if not len(records):
            return
        if records.dtype != RECORD:
            raise TypeError(f"records have the dtype replay.records.RECORD, not {records.dtype}")
        self._note_kinds(records)
        self._one_time = self._one_time and bool(np.array_equal(records["ts_event"], records["ts_recv"]))
        if self._first_ns is None:
            self._first_ns = int(records["ts_recv"][0])
        largest_ns = int(records["ts_recv"].max())
        self._last_ns = largest_ns if self._last_ns is None else max(self._last_ns, largest_ns)
        self._rows += len(records)
        try:
            self._file.write(np.ascontiguousarray(records).data)
        except OSError as error:
            raise self._refused(error) from None

    def _note_kinds(self, records: NDArray[Any]) -> None:
        """Note which instrument has which kinds; Clock and Command records belong to none."""
        codes = records["instrument"].astype(np.int64) << 8 | records["kind"]
        limit = len(self._kinds) << 8
        if int(codes.max()) < limit:
            # Counting is faster than sorting, and few codes are left.
            seen = np.flatnonzero(np.bincount(codes, minlength=limit))
        else:
            seen = np.unique(codes)
        for code in seen.tolist():
            index, kind = divmod(code, 256)
            if kind in (Kind.CLOCK, Kind.COMMAND):
                continue
            if index >= len(self._kinds):
                raise DataError(
                    f"a record names instrument {index}, and the header lists {len(self._kinds)}",
                    reason="unknown_instrument",
                    place=str(self.path),
                )
            self._kinds[index, kind] = True
            if kind == Kind.BAR and not self._sides_of_bars[index].all():
                sides = records["side"][(records["instrument"] == index) & (records["kind"] == Kind.BAR)]
                self._sides_of_bars[index, np.unique(sides)] = True

    def sync(self) -> None:
        """Make durable what was appended; until the tape is closed it has the suffix `.part`."""
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from None

    def close(self) -> TapeHeader:
        """Finish the tape: its header, its sidecar, its name. Returns the header as it was written."""
        if self._file.closed:
            return self.header
        instruments = [
            msgspec.structs.replace(
                entry,
                kinds=[KIND_NAMES[kind] for kind in np.flatnonzero(seen).tolist() if kind in KIND_NAMES],
                bar_price=first_bar_price(np.flatnonzero(sides)),
            )
            for entry, seen, sides in zip(self.header.instruments, self._kinds, self._sides_of_bars, strict=True)
        ]
        self.header = msgspec.structs.replace(
            self.header,
            one_time=self._one_time,
            instruments=instruments,
            rows=self._rows,
            first_ns=self._first_ns,
            last_ns=self._last_ns,
        )
        sidecar = sidecar_path(self.path)
        sidecar_part = sidecar.with_name(sidecar.name + ".part")
        try:
            self._file.seek(0)
            length = _write_array_header(self._file, self._rows)
            assert length == self._header_bytes, "numpy leaves room for the number of rows to grow"
            self._file.close()
            sidecar_part.write_bytes(msgspec.json.format(msgspec.json.encode(self.header), indent=1) + b"\n")
            sidecar_part.replace(sidecar)
            self._part.replace(self.path)
        except OSError as error:
            raise self._refused(error) from None
        return self.header

    def abandon(self) -> None:
        """Throw away what was written; a tape that had the name before stays."""
        self._file.close()
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abandon()


def first_bar_price(sides: NDArray[Any]) -> BarPriceName | msgspec.UnsetType:
    """Say of which price bars with these `side`s are that fill; unset where there are none."""
    return next((name for name in BAR_PRICES if BarPrice[name.upper()] in sides), msgspec.UNSET)


def missing_file(path: Path) -> ConfigError:
    """Make the error for a file that is not there, naming the nearest one that is."""
    folder = path.parent
    if _URI.match(str(path)):
        return ConfigError(
            "this is a URI, and a file is asked for",
            place=str(path).replace(":/", "://", 1),
            remedy="name a file; others are read as feeds of a run file: `replay data convert --run RUN.toml DST`",
        )
    if path.is_dir():
        inside = sorted(entry.name for entry in path.iterdir() if entry.is_file() and not entry.name.startswith("."))
        some = ", ".join(inside[:10]) + (", .." if len(inside) > 10 else "")
        return ConfigError(
            "this is a folder, not a file",
            place=str(path),
            remedy=f"name a file in it: {some}" if inside else "name a file; there is none in it",
        )
    if not folder.is_dir():
        return ConfigError(
            f"there is no folder {str(folder)!r}",
            place=str(path),
            remedy="paths in a run file start at the run file, others at the working folder",
        )
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    guess = nearest(path.name, names)
    if len(names) <= 20:
        remedy = choose(path.name, names)
    else:
        remedy = f"did you mean {guess!r}?" if guess else f"{len(names):,} other files are in {str(folder)!r}"
    return ConfigError("there is no such file", place=str(path), remedy=remedy)


def _write_array_header(file: BinaryIO, rows: int) -> int:
    fields = {"descr": npy.dtype_to_descr(RECORD), "fortran_order": False, "shape": (rows,)}
    npy.write_array_header_1_0(file, fields)
    return file.tell()


def _check_array(path: Path, file: BinaryIO) -> tuple[int, int]:
    """Check the array's own header; return where its data begin and how many records there are."""
    remedy = "make a tape with `replay data convert`"
    try:
        version = npy.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = npy.read_array_header_2_0(file)
        else:
            raise ValueError(f"version {version[0]}.{version[1]} of the .npy format")
    except (ValueError, TypeError, SyntaxError, UnicodeDecodeError, EOFError) as error:
        size = os.fstat(file.fileno()).st_size
        text = "is empty" if size == 0 else f"is not a .npy file: {error}"
        raise DataError(text, reason="not_a_tape", place=str(path), remedy=remedy) from None
    if dtype != RECORD:
        fields = ", ".join(dtype.names) if dtype.names else str(dtype)
        raise DataError(
            f"holds {fields}, not the records of a tape", reason="not_a_tape", place=str(path), remedy=remedy
        )
    if len(shape) != 1 or fortran:
        raise DataError(f"has the shape {shape}, not one row of records", reason="not_a_tape", place=str(path))
    offset = file.tell()
    have = os.fstat(file.fileno()).st_size - offset
    if have != shape[0] * RECORD_BYTES:
        raise DataError(
            f"says that it has {shape[0]} records, and holds {have / RECORD_BYTES:.1f}".replace(".0", ""),
            reason="truncated",
            place=str(path),
            remedy="the file was cut or changed: copy it again",
        )
    return offset, shape[0]
