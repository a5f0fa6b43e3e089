"""What a text file probably holds, for people: its columns, its first row, and the `[[feed]]` that would read it.

May not live here: the guesses themselves (replay.data.guess), and tapes.
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import msgspec

from replay.config import FeedSpec
from replay.data import guess
from replay.errors import ConfigError
from replay.feeds.format import Contents

_HEAD_BYTES = 1 << 20
_SHOWN_MAX = 20


class FileInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a file probably holds. `feed` is an entry for a run file; what nobody can guess is marked there.

    kinds: of a format of data files, the kinds of records of each symbol; notes: what it takes for granted.
    """

    path: str
    bytes: int
    format: str
    columns: list[str]
    first: list[str]
    symbols: list[str]
    feed: list[str]
    kinds: dict[str, list[str]] = {}
    notes: list[str] = []

    def __str__(self) -> str:
        lines = [f"{self.path}: {self.format}, {self.bytes:,} bytes"]
        lines += [f"  {symbol}: {', '.join(kinds)}" for symbol, kinds in list(self.kinds.items())[:_SHOWN_MAX]]
        if len(self.kinds) > _SHOWN_MAX:
            lines.append(f"  and {len(self.kinds) - _SHOWN_MAX:,} symbols more")
        lines += [f"  assumed: {note}" for note in self.notes]
        if self.columns:
            width = max(len(name) for name in self.columns)
            texts = [*self.first, *[""] * (len(self.columns) - len(self.first))]
            lines += [f"  {name.ljust(width)}  {text}" for name, text in zip(self.columns, texts, strict=False)]
        if self.symbols and not self.kinds:
            lines.append(f"  symbols: {', '.join(self.symbols)}")
        lines += ["  in a run file, probably:", *(f"    {line}" for line in self.feed)]
        option = " --symbol SYMBOL" if any(line.startswith('symbol = ""') for line in self.feed) else ""
        lines.append(
            f"  as a tape: replay data convert {self.path} {Path(self.path).name.partition('.')[0]}.npy{option}"
        )
        return "\n".join(lines)


def survey(path: Path, delimiter: str = ",") -> FileInfo:
    """Describe a CSV or NDJSON file by its first rows, a capture by its symbols, a data file as its format says.

    Raises ConfigError for a file of no known format, DataError for an empty one.
    """
    format_name = guess.format_of(path)
    if guess.is_data_format(format_name):
        return _of_format(path, format_name)
    feed = ["[[feed]]", f"uri = {json.dumps(str(path))}"]
    rows = guess.Rows([], [])
    symbols: list[str] = []
    if format_name == "binance":
        symbols = guess.symbols_in(path, format_name, None, delimiter)
    else:
        rows = guess.first_rows(path, format_name, delimiter)
        feed += _entry(rows, str(path))
    return FileInfo(
        path=str(path),
        bytes=path.stat().st_size,
        format=format_name,
        columns=rows.columns,
        first=rows.first,
        symbols=symbols,
        feed=feed,
    )


def _of_format(path: Path, format_name: str) -> FileInfo:
    """Describe a file of a format; where it does not know whose rows it has, the entry asks for it."""
    feed = ["[[feed]]", f"uri = {json.dumps(str(path))}", f'format = "{format_name}"']
    registry = import_module("replay.adapters.registry")
    spec = FeedSpec(uri=str(path), format=format_name)
    try:
        contents: Contents = registry.contents_of(spec, Path())
    except ConfigError as error:
        contents = registry.contents_of(msgspec.structs.replace(spec, symbol="?"), Path())
        feed.append(f'symbol = ""  # {error.message}')
    return FileInfo(
        path=str(path),
        bytes=path.stat().st_size,
        format=format_name,
        columns=[],
        first=[],
        symbols=[held.symbol for held in contents.instruments],
        feed=feed,
        kinds={held.symbol: held.kinds for held in contents.instruments},
        notes=contents.notes,
    )


def first_lines(path: Path, rows: int) -> list[str]:
    """Read the first lines of a text file, inflated where it is compressed."""
    head: bytes = import_module("replay.adapters.source").Source(path).read(_HEAD_BYTES)
    return [line.decode("utf-8-sig", "backslashreplace").rstrip("\r") for line in head.split(b"\n")[:rows]]


def _entry(rows: guess.Rows, place: str) -> list[str]:
    """Write the keys of a feed's entry; a comment where a guess fails."""
    lines: list[str] = []
    try:
        records = guess.records_of(rows, {}, place)
    except ConfigError:
        return ['records = ""  # quote, trade or bar: the columns do not tell; name them in columns = { .. }']
    lines.append(f'records = "{records}"')
    column = rows.named(guess.SYMBOL_NAMES)
    lines.append(
        'symbol = ""  # whose rows these are' if column is None else f"symbol = {{ column = {_text(column)} }}"
    )
    if records == "bar":
        lines.append('bar = "1m"  # their length')
    try:
        time = guess.time_column(guess.time_of(rows, place), rows, None)
    except ConfigError:
        return [*lines, 'time = { column = "", unit = "iso" }  # no column is known as a time']
    stamp = f', stamp = "{time.stamp}"' if records == "bar" else ""
    lines.append(f'time = {{ column = {_text(time.column)}, unit = "{time.unit}"{stamp} }}')
    received = guess.receive_of(rows)
    if received is not None:
        receive = guess.time_column(received, rows)
        lines.append(f'receive = {{ column = {_text(receive.column)}, unit = "{receive.unit}" }}')
    return lines


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
