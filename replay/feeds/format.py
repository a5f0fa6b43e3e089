"""What a format of data files is: how a file is recognised, what it holds, how its rows become records, and back.

May not live here: any format (adapters/formats), the choice among them, and guesses that a run file overrules.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec
from numpy.typing import NDArray

from replay.errors import ConfigError, DataError, choose
from replay.feeds.feed import DeadLetter
from replay.feeds.tape import TapeHeader
from replay.units import format_duration

RowKind = Literal["quote", "trade", "bar"]


class Scale(msgspec.Struct, frozen=True):
    """How the records of one instrument are numbered: its index, and the decimals of its prices and sizes.

    A price of 1.25 is 125 at 2 decimals.
    """

    index: int
    price_decimals: int
    size_decimals: int
    allow_negative_price: bool = False


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a format that has none."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a format: a file, and what the run file or the command line say about it.

    symbol: of all rows, where the file names none; the only one to keep, where it names several.
    records: the only kind of records to give; None for all that the format makes.
    bar_ns: the length of bars, where the file does not say it.
    price: of which price bars are, where the file does not say it.
    round_excess: numbers with more decimals than the instrument's are rounded and counted; else they are an error.
    options: the format's own, an instance of its `options` class.
    """

    path: Path
    symbol: str | None = None
    records: RowKind | None = None
    bar_ns: int | None = None
    price: Literal["trade", "bid", "ask", "mid"] = "trade"
    round_excess: bool = False
    options: Any = NoOptions()

    def wants(self, kind: str) -> bool:
        """Say whether records of a kind are asked for."""
        return self.records is None or self.records == kind


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One instrument of a file: its kinds of records, and its decimals where the file itself says them.

    bar_price: of which price its bars are; of several, the first of trade, mid, bid, ask.
    """

    symbol: str
    kinds: list[str]
    price_decimals: int | None = None
    size_decimals: int | None = None
    sizes: Literal["full", "none"] = "full"
    bar_price: Literal["trade", "mid", "bid", "ask"] | None = None


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """What a file holds, as far as its name, its beginning and its own tables tell.

    one_time: every record has ts_recv = ts_event. bar_lengths_ns: what the low byte of a bar's flags points into.
    rows: of the file, where it says so. notes: what was assumed, each a sentence for people without a full stop.
    """

    instruments: list[Held]
    one_time: bool = True
    bar_lengths_ns: list[int] = []
    rows: int | None = None
    notes: list[str] = []


class Piece(NamedTuple):
    """Some rows of a file, in its order.

    records: array of `replay.records.RECORD`. dead: the rows among them that gave no record, each with its row number.
    rows: how many rows of the file these are. left_out: rows that are none of ours, by what they are.
    rounded: numbers that were rounded.
    """

    records: NDArray[Any]
    dead: Sequence[DeadLetter] = ()
    rows: int = 0
    left_out: Mapping[str, int] = {}
    rounded: int = 0


@runtime_checkable
class Format(Protocol):
    """A format of data files. Register an instance under the entry-point group `replay.formats`."""

    name: str
    """As in `format = "name"`."""
    summary: str
    """What it is, in one line."""
    suffixes: tuple[str, ...]
    """Endings of file names that are this format's alone, such as `.dbn.zst`."""
    options: type[msgspec.Struct]
    """Its own options: `options = { .. }` of a feed, `--option KEY=VALUE` of a command."""

    def sniff(self, path: Path, head: bytes) -> bool:
        """Say whether a file is surely of this format; `head` is its beginning, inflated if it is gzip."""

    def contents(self, request: Request) -> Contents:
        """Say what a file holds. Raises ConfigError for what nobody can know, DataError for another format."""

    def read(self, request: Request, scales: Mapping[str, Scale]) -> Iterator[Piece]:
        """Give a file in pieces, the same at each call. Rows of symbols that `scales` does not name are left out."""


class Writer(Protocol):
    """Writes one file of a format. It appears under its name only when it is closed."""

    def append(self, records: NDArray[Any]) -> int:
        """Write records; return how many."""

    def close(self) -> None:
        """Finish the file."""

    def abandon(self) -> None:
        """Throw the file away."""


@runtime_checkable
class WritableFormat(Format, Protocol):
    """A format that is also written."""

    def writer(self, path: Path, header: TapeHeader) -> Writer:
        """Begin a file; `header` says what the records will be."""


def read_options(kind: type[msgspec.Struct], given: Mapping[str, Any], name: str, place: str | None = None) -> Any:
    """Check the options of a format; text is taken for numbers and truths. Raises ConfigError with the choices."""
    fields = [field.encode_name for field in msgspec.structs.fields(kind)]
    for key in given:
        if key not in fields:
            remedy = choose(key, fields) if fields else "leave it out: this format has no options"
            raise ConfigError(f"the format {name!r} has no option {key!r}", place=place, remedy=remedy)
    try:
        return msgspec.convert(dict(given), kind, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"an option of the format {name!r} does not fit: {error}", place=place) from None


def one_bar_length(request: Request, found_ns: int | None, place: str) -> int:
    """Return the length of a file's bars: as asked, else as found. Raises ConfigError where neither says it."""
    length_ns = request.bar_ns if request.bar_ns is not None else found_ns
    if length_ns is None:
        raise ConfigError("the file does not say how long its bars are", place=place, remedy='give it: bar = "1m"')
    if request.bar_ns is not None and found_ns is not None and request.bar_ns != found_ns:
        raise ConfigError(
            f"the bars are of {format_duration(found_ns)}, not of {format_duration(request.bar_ns)}",
            place=place,
            remedy="leave out bar, or name another file",
        )
    return length_ns


def not_of_format(name: str, what: str, place: str) -> DataError:
    """Make the error for a file that is not of the format that it was said to be."""
    return DataError(
        f"is not of the format {name!r}: {what}",
        reason="wrong_format",
        place=place,
        remedy='`replay data info FILE` says what it probably is; format = ".." names another',
    )
