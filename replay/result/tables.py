"""The table: typed columns in memory, and the same columns as an Arrow IPC stream that grows.

May not live here: what a row means; events, orders and statistics fill tables, tables know nothing of them.
"""

from __future__ import annotations

import functools
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Self

import nanoarrow as na
import numpy as np
from nanoarrow.c_array_stream import CArrayStream
from nanoarrow.ipc import StreamWriter
from numpy.typing import NDArray

from replay.errors import DataError, JournalError, UsageError

ABSENT_INTEGER = -(2**63)
"""An absent value of an integer or time column; in Arrow it is null."""

BATCH_ROWS = 16_384
"""Rows that a writer gathers before it writes an Arrow record batch."""

_SHOWN_ROWS = 10


class ColumnKind(Enum):
    """What a column holds, and how absence is written in memory (in Arrow it is null)."""

    INTEGER = "integer"
    """int64; absent is `ABSENT_INTEGER`."""
    FLOAT = "float"
    """float64; absent is NaN."""
    TIME = "time"
    """Nanoseconds since the Unix epoch, UTC, as int64; absent is `ABSENT_INTEGER` (numpy's NaT)."""
    TEXT = "text"
    """Text from a small vocabulary; absent is None."""
    BOOLEAN = "boolean"
    """True or False, never absent."""


@dataclass(frozen=True)
class Column:
    """Name and kind of one column."""

    name: str
    kind: ColumnKind
    is_newer: bool = False
    """Files written before the column came to be lack it: it is read as absent from them."""


def integer(name: str) -> Column:
    """Describe a column of whole numbers."""
    return Column(name, ColumnKind.INTEGER)


def real(name: str, *, is_newer: bool = False) -> Column:
    """Describe a column of floating point numbers, one that older files lack if `is_newer`."""
    return Column(name, ColumnKind.FLOAT, is_newer)


def time(name: str) -> Column:
    """Describe a column of times."""
    return Column(name, ColumnKind.TIME)


def text(name: str) -> Column:
    """Describe a column of words."""
    return Column(name, ColumnKind.TEXT)


def boolean(name: str) -> Column:
    """Describe a column of truth values."""
    return Column(name, ColumnKind.BOOLEAN)


@dataclass(frozen=True, eq=False)
class Words:
    """A column of words: an index per row into a vocabulary, -1 where the word is absent."""

    codes: NDArray[np.int32]
    vocabulary: tuple[str, ...]

    @staticmethod
    def of(values: Sequence[str | None]) -> Words:
        """Index a list of words."""
        index: dict[str, int] = {}
        codes = [-1 if value is None else index.setdefault(value, len(index)) for value in values]
        return Words(np.array(codes, dtype=np.int32), tuple(index))

    def __len__(self) -> int:
        return len(self.codes)

    def to_objects(self) -> NDArray[Any]:
        """Spell every row out, shape (n,), dtype object; absent words are None."""
        return np.array([*self.vocabulary, None], dtype=object)[self.codes]

    def take(self, rows: Any) -> Words:
        """Select rows by slice, mask or index."""
        return Words(self.codes[rows], self.vocabulary)


Values = NDArray[Any] | Words


class Table:
    """Columns of equal length; any Arrow library takes it as it is (`pyarrow.table(t)`, `polars.DataFrame(t)`)."""

    __slots__ = ("_columns", "_rows", "_values", "name")

    def __init__(self, name: str, columns: Sequence[Column], values: Mapping[str, Any]) -> None:
        """Build from arrays, lists or `Words` by column name; all must have the same length."""
        self.name = name
        self._columns = {column.name: column for column in columns}
        if set(values) != set(self._columns):
            raise ValueError(f"table {name}: columns {sorted(values)} given, {sorted(self._columns)} expected")
        self._values: dict[str, Values] = {c.name: _coerce(c.kind, values[c.name]) for c in columns}
        lengths = {len(column) for column in self._values.values()}
        if len(lengths) > 1:
            raise ValueError(f"table {name}: columns of different lengths {sorted(lengths)}")
        self._rows = lengths.pop() if lengths else 0

    # -- looking at it

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return list(self._columns)

    @property
    def schema(self) -> tuple[Column, ...]:
        """Names and kinds of the columns, in order."""
        return tuple(self._columns.values())

    def __len__(self) -> int:
        return self._rows

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Give one column as a numpy array: times as datetime64[ns], words as objects."""
        column = self._columns.get(name)
        if column is None:
            raise KeyError(f"table {self.name} has no column {name!r}; it has: {', '.join(self._columns)}")
        values = self._values[name]
        if isinstance(values, Words):
            return values.to_objects()
        return values.view("datetime64[ns]") if column.kind is ColumnKind.TIME else values

    def raw(self, name: str) -> Values:
        """Give one column as it is kept: times as int64 nanoseconds, words as `Words`."""
        return self._values[name]

    def integers(self, name: str) -> NDArray[np.int64]:
        """Give an integer or time column as int64."""
        values = self._values[name]
        assert isinstance(values, np.ndarray), f"{name} is a column of words"
        return values

    def row(self, index: int) -> dict[str, Any]:
        """Give one row by its number, as `to_dict` shows values."""
        position = range(self._rows)[index]
        part = self.slice(slice(position, position + 1)).to_dict()
        return {name: column[0] for name, column in part.items()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Go through the rows as dicts."""
        lists = self.to_dict()
        names = list(lists)
        for values in zip(*lists.values(), strict=True):
            yield dict(zip(names, values, strict=True))

    def slice(self, rows: Any) -> Table:
        """Select rows by slice, mask or index array."""
        values = {name: v.take(rows) if isinstance(v, Words) else v[rows] for name, v in self._values.items()}
        return Table(self.name, self.schema, values)

    # -- taking it elsewhere

    def to_dict(self) -> dict[str, list[Any]]:
        """Give lists by column: times as integer nanoseconds, absent values as None."""
        lists: dict[str, list[Any]] = {}
        for name, column in self._columns.items():
            values = self._values[name]
            if isinstance(values, Words):
                lists[name] = values.to_objects().tolist()
            elif column.kind is ColumnKind.FLOAT:
                lists[name] = [None if value != value else value for value in values.tolist()]
            elif column.kind is ColumnKind.BOOLEAN:
                lists[name] = values.tolist()
            else:
                lists[name] = [None if value == ABSENT_INTEGER else value for value in values.tolist()]
        return lists

    def to_numpy(self) -> dict[str, NDArray[Any]]:
        """Give arrays by column, as `table[name]` does."""
        return {name: self[name] for name in self._columns}

    def to_pandas(self) -> Any:
        """Give a pandas.DataFrame; times are UTC. Raises UsageError where pandas is not installed."""
        pandas = _need("pandas", "to_pandas")
        series: dict[str, Any] = {}
        for name, column in self._columns.items():
            values = self[name]
            if column.kind is ColumnKind.TIME:
                series[name] = pandas.to_datetime(values, utc=True)
            elif column.kind is ColumnKind.INTEGER and bool(np.any(values == ABSENT_INTEGER)):
                series[name] = pandas.arrays.IntegerArray(values.copy(), values == ABSENT_INTEGER)
            else:
                series[name] = values
        return pandas.DataFrame(series)

    def to_polars(self) -> Any:
        """Give a polars.DataFrame. Raises UsageError where polars is not installed."""
        return _need("polars", "to_polars").DataFrame(self)

    def __arrow_c_schema__(self) -> object:
        return na.c_schema(_arrow_schema(self.schema)).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Hand the table to any Arrow library (the Arrow PyCapsule interface)."""
        arrays = [_arrow_array(part) for part in self._batches()]
        stream = CArrayStream.from_c_arrays(arrays, na.c_schema(_arrow_schema(self.schema)))
        return stream.__arrow_c_stream__(requested_schema)

    def write(self, target: str | Path | IO[bytes]) -> None:
        """Write the whole table as an Arrow IPC stream."""
        with TableWriter(self.name, self.schema, target) as writer:
            writer.add(self)

    def _batches(self) -> Iterator[Table]:
        for start in range(0, max(self._rows, 1), BATCH_ROWS):
            yield self.slice(slice(start, start + BATCH_ROWS))

    # -- making it

    @staticmethod
    def empty(name: str, columns: Sequence[Column]) -> Table:
        """Make a table without rows."""
        return Table(name, columns, {column.name: [] for column in columns})

    @staticmethod
    def concatenate(tables: Sequence[Table]) -> Table:
        """Put tables of one schema one below the other."""
        first = tables[0]
        if len(tables) == 1:
            return first
        values: dict[str, Values] = {}
        for column in first.schema:
            parts = [table._values[column.name] for table in tables]
            if isinstance(parts[0], Words):
                values[column.name] = _concatenate_words([part for part in parts if isinstance(part, Words)])
            else:
                values[column.name] = np.concatenate([part for part in parts if isinstance(part, np.ndarray)])
        return Table(first.name, first.schema, values)

    @staticmethod
    def read(name: str, columns: Sequence[Column], source: str | Path | IO[bytes]) -> Table:
        """Read an Arrow IPC stream of these columns; a stream cut at any byte gives its whole batches.

        Raises DataError where the file is no such stream or lacks a column.
        """
        place = str(source) if isinstance(source, str | Path) else f"<{name}>"
        data = Path(source).read_bytes() if isinstance(source, str | Path) else source.read()
        tables = [Table.empty(name, columns)]
        if not data:
            return tables[0]
        try:
            stream = na.c_array_stream(na.ArrayStream.from_readable(data))
            fields = [child.name for child in stream.get_schema().children]
        except (RuntimeError, ValueError) as error:
            raise DataError(f"not an Arrow IPC stream: {error}", place=place) from error
        missing = [column.name for column in columns if column.name not in fields and not column.is_newer]
        if missing:
            raise DataError(f"the {name} table lacks {', '.join(missing)}", place=place)
        while True:
            try:
                batch = stream.get_next()
            except StopIteration:
                break
            except RuntimeError:  # a batch cut in the middle: what came before it is whole
                break
            tables.append(_from_arrow(name, columns, fields, batch))
        return Table.concatenate(tables[1:] or tables)

    # -- showing it

    def _shown(self) -> tuple[list[list[str]], list[int]]:
        half = _SHOWN_ROWS // 2
        if self._rows <= _SHOWN_ROWS:
            numbers = list(range(self._rows))
        else:
            numbers = [*range(half), *range(self._rows - half, self._rows)]
        part = self.slice(np.array(numbers, dtype=np.int64))
        cells = [[_show(column.kind, value) for value in part[column.name].tolist()] for column in self.schema]
        for place, column in enumerate(self.schema):
            if column.kind is ColumnKind.TIME:
                cells[place] = [_show_time(value) for value in part[column.name]]
        return [list(row) for row in zip(*cells, strict=True)], numbers

    def __repr__(self) -> str:
        rows, numbers = self._shown()
        head = f"{self.name}: {self._rows:,} rows"
        if not rows:
            return f"{head} ({', '.join(self._columns)})"
        widths = [max(len(name), *(len(row[i]) for row in rows)) for i, name in enumerate(self._columns)]
        left = [column.kind in (ColumnKind.TEXT, ColumnKind.TIME) for column in self.schema]
        lines = [head, _line(list(self._columns), widths, left)]
        for number, row in zip(numbers, rows, strict=True):
            if self._rows > _SHOWN_ROWS and number == self._rows - _SHOWN_ROWS // 2:
                lines.append("...")
            lines.append(_line(row, widths, left))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows, numbers = self._shown()
        head = "".join(f"<th>{escape(name)}</th>" for name in self._columns)
        body = []
        for number, row in zip(numbers, rows, strict=True):
            if self._rows > _SHOWN_ROWS and number == self._rows - _SHOWN_ROWS // 2:
                body.append(f"<tr><td colspan='{len(self._columns)}'>...</td></tr>")
            body.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>")
        caption = f"<caption>{escape(self.name)}: {self._rows:,} rows</caption>"
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


class TableWriter:
    """Appends rows to an Arrow IPC stream, a batch at a time, so that a long run needs bounded memory.

    Every batch is handed to the file whole, then flushed: a reader, or a crash, finds complete batches. Errors of the
    disk are raised as JournalError.
    """

    def __init__(self, name: str, columns: Sequence[Column], target: str | Path | IO[bytes]) -> None:
        self.name = name
        self.columns = tuple(columns)
        self.rows = 0
        self._place = str(target) if isinstance(target, str | Path) else f"<{name}>"
        self._pending: list[Table] = []
        self._pending_rows = 0
        self._buffer = io.BytesIO()
        self._stream: Any = StreamWriter.from_writable(self._buffer)
        self._started = False
        self._owns_file = isinstance(target, str | Path)
        self._file: IO[bytes]
        if isinstance(target, str | Path):
            try:
                self._file = open(target, "wb")  # noqa: SIM115 - closed by close()
            except OSError as error:
                raise _disk_error(error, self._place) from error
        else:
            self._file = target

    def add(self, table: Table) -> None:
        """Append rows; they reach the file when a batch is full, at `flush` and at `close`."""
        if not len(table):
            return
        self._pending.append(table)
        self._pending_rows += len(table)
        self.rows += len(table)
        if self._pending_rows >= BATCH_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is pending as record batches."""
        if self._pending:
            whole = Table.concatenate(self._pending)
            self._pending, self._pending_rows = [], 0
            for part in whole._batches():
                self._write(part)

    def close(self) -> None:
        """Write the rest and the end mark, and close the file if it was opened here. May be called again."""
        if self._stream is None:
            return
        try:
            self.flush()
            if not self._started:
                self._write(Table.empty(self.name, self.columns))
            self._stream.close()
            self._drain()
        finally:
            self._stream = None
            if self._owns_file:
                self._close_file()

    def _close_file(self) -> None:
        try:
            self._file.close()  # tries once more to write what a full disk had refused
        except OSError as error:
            raise _disk_error(error, self._place) from error

    def _write(self, part: Table) -> None:
        self._started = True
        self._stream.write_array(_arrow_array(part))
        self._drain()

    def _drain(self) -> None:
        data = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise _disk_error(error, self._place) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _disk_error(error: OSError, place: str) -> JournalError:
    return JournalError(
        f"cannot write: {error.strerror or error}",
        place=place,
        remedy="make room or give another folder, then run again",
    )


def _need(module: str, method: str) -> Any:
    try:
        return __import__(module)
    except ImportError as error:
        raise UsageError(
            f"{method} needs {module}, which is not installed",
            remedy=f"pip install {module}, or use to_dict() or to_numpy()",
        ) from error


# -- values


def _coerce(kind: ColumnKind, values: Any) -> Values:
    if kind is ColumnKind.TEXT:
        return values if isinstance(values, Words) else Words.of(list(values))
    array = np.asarray(values, dtype=_DTYPES[kind]) if kind is not ColumnKind.TIME else _as_times(values)
    return np.ascontiguousarray(array)


def _as_times(values: Any) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return array.astype("datetime64[ns]").view(np.int64)
    return array.astype(np.int64, copy=False)


_DTYPES: dict[ColumnKind, Any] = {
    ColumnKind.INTEGER: np.int64,
    ColumnKind.FLOAT: np.float64,
    ColumnKind.BOOLEAN: np.bool_,
}


def _concatenate_words(parts: list[Words]) -> Words:
    vocabulary = parts[0].vocabulary
    if all(part.vocabulary == vocabulary for part in parts):
        return Words(np.concatenate([part.codes for part in parts]), vocabulary)
    index: dict[str, int] = {}
    codes = []
    for part in parts:
        renumbered = [index.setdefault(word, len(index)) for word in part.vocabulary]
        codes.append(np.array([*renumbered, -1], dtype=np.int32)[part.codes])
    return Words(np.concatenate(codes), tuple(index))


# -- Arrow


@functools.cache
def _arrow_type(kind: ColumnKind) -> Any:
    match kind:
        case ColumnKind.INTEGER:
            return na.int64()
        case ColumnKind.FLOAT:
            return na.float64()
        case ColumnKind.TIME:
            return na.timestamp("ns", timezone="UTC")
        case ColumnKind.TEXT:
            return na.string()
        case ColumnKind.BOOLEAN:
            return na.bool_()


@functools.cache
def _arrow_schema(columns: tuple[Column, ...]) -> Any:
    return na.struct({column.name: _arrow_type(column.kind) for column in columns})


def _arrow_array(table: Table) -> Any:
    children = [_arrow_column(column.kind, table.raw(column.name)) for column in table.schema]
    return na.c_array_from_buffers(_arrow_schema(table.schema), len(table), [None], null_count=0, children=children)


def _arrow_column(kind: ColumnKind, values: Values) -> Any:
    present: NDArray[np.bool_] | None
    if isinstance(values, Words):
        words = [word.encode() for word in values.vocabulary]
        lengths = np.array([*(len(word) for word in words), 0], dtype=np.int64)
        offsets = np.zeros(len(values) + 1, dtype=np.int32)
        np.cumsum(lengths[values.codes], out=offsets[1:])
        words.append(b"")
        present = values.codes >= 0
        buffers = [offsets, _spell(words, lengths, values.codes)]
    elif kind is ColumnKind.BOOLEAN:
        present = None
        buffers = [np.packbits(values, bitorder="little")]
    else:
        present = ~np.isnan(values) if kind is ColumnKind.FLOAT else values != ABSENT_INTEGER
        buffers = [values]
    absent = 0 if present is None else len(values) - int(np.count_nonzero(present))
    validity = np.packbits(present, bitorder="little") if present is not None and absent else None
    return na.c_array_from_buffers(_arrow_type(kind), len(values), [validity, *buffers], null_count=absent)


def _spell(words: Sequence[bytes], lengths: NDArray[np.int64], codes: NDArray[np.int32]) -> bytes:
    """Put the words of all rows one after the other."""
    longest = int(np.max(lengths))
    if longest == 0 or not len(codes):
        return b""
    letters = np.frombuffer(b"".join(word.ljust(longest, b"\0") for word in words), dtype=np.uint8)
    is_letter = np.arange(longest) < lengths[:, None]
    return letters.reshape(len(words), longest)[codes][is_letter[codes]].tobytes()


def _from_arrow(name: str, columns: Sequence[Column], fields: Sequence[str], batch: Any) -> Table:
    places = {field: place for place, field in enumerate(fields)}
    values = {c.name: _column_from_arrow(c.kind, batch.child(places[c.name])) for c in columns if c.name in places}
    absent = {c.name: np.full(int(batch.length), np.nan) for c in columns if c.name not in places}
    return Table(name, columns, values | absent)


def _column_from_arrow(kind: ColumnKind, array: Any) -> Values:
    count = int(array.length)
    view = array.view()
    if count == 0:
        return Words.of([]) if kind is ColumnKind.TEXT else np.zeros(0, dtype=_DTYPES.get(kind, np.int64))
    present = np.ones(count, dtype=np.bool_)
    if array.null_count:
        present = _bits(view.buffer(0), count)
    if kind is ColumnKind.TEXT:
        offsets = np.frombuffer(view.buffer(1), dtype=np.int32).tolist()
        data = bytes(view.buffer(2)) if view.buffer(2).size_bytes else b""
        index: dict[bytes, int] = {}
        codes = [index.setdefault(data[a:b], len(index)) for a, b in pairwise(offsets)][:count]
        numbers = np.array(codes, dtype=np.int32)
        numbers[~present] = -1
        return Words(numbers, tuple(word.decode() for word in index))
    if kind is ColumnKind.BOOLEAN:
        return _bits(view.buffer(1), count)
    values = np.frombuffer(view.buffer(1), dtype=_DTYPES.get(kind, np.int64))[:count].copy()
    values[~present] = np.nan if kind is ColumnKind.FLOAT else ABSENT_INTEGER
    return values


def _bits(buffer: Any, count: int) -> NDArray[np.bool_]:
    return np.unpackbits(np.frombuffer(buffer, dtype=np.uint8), bitorder="little")[:count].astype(np.bool_)


# -- text


def _show(kind: ColumnKind, value: Any) -> str:
    if value is None or (kind is ColumnKind.INTEGER and value == ABSENT_INTEGER) or value != value:
        return "-"
    return f"{value:.10g}" if kind is ColumnKind.FLOAT else str(value)


def _show_time(value: np.datetime64) -> str:
    if np.isnat(value):
        return "-"
    shown = np.datetime_as_string(value, unit="ns").replace("T", " ")
    return shown.removesuffix("000000")


def _line(cells: Sequence[str], widths: Sequence[int], left: Sequence[bool]) -> str:
    padded = [c.ljust(w) if is_left else c.rjust(w) for c, w, is_left in zip(cells, widths, left, strict=True)]
    return "  ".join(padded).rstrip()


def replace_file(path: Path, data: bytes) -> None:
    """Write a small file so that a reader sees the old or the new one, never half of it."""
    temporary = path.with_name(path.name + ".part")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise _disk_error(error, str(path)) from error
