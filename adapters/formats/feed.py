"""A file of any registered format as a feed: its pieces as batches, its instruments numbered as the run has them.

May not live here: any format, and the choice among them (replay.adapters.registry).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from replay.adapters.text import text_path
from replay.errors import ConfigError, DataError, choose
from replay.feeds.feed import Batch, StoredFeed
from replay.feeds.format import Contents, Format, Piece, Request, Scale, read_options
from replay.feeds.tape import TapeHeader, TapeInstrument, missing_file

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument


class FormatPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor of a file of a format: the pieces that were given."""

    pieces: int


class FormatFeed(StoredFeed):
    """A file of a format, from its beginning or from a cursor to its end."""

    def __init__(
        self, spec: FeedSpec, source: Format, request: Request, header: TapeHeader, scales: Mapping[str, Scale]
    ) -> None:
        """Take a format and what is asked of it; read the first piece, so that what is wrong shows at once."""
        super().__init__(spec.uri, header)
        self.clock_offset_ns = spec.clock_offset.ns
        self._format = source
        self._request = request
        self._scales = scales
        self._counts: Counter[str] = Counter()
        self.header = msgspec.structs.replace(header, first_ns=self._first_ns())

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the batches after a cursor, or all of them. A cursor's past is read again, and not given."""
        begin = 0 if cursor is None else self._place(cursor)
        self._counts = Counter()
        number = 0
        for number, piece in enumerate(self._pieces(), start=1):
            if number <= begin:
                continue
            self._count(piece)
            if len(piece.records) or piece.dead:
                yield Batch(piece.records, msgspec.json.encode(FormatPlace(number)), piece.dead)
        if number < begin:
            raise DataError(
                f"has {number} pieces, and was read up to piece {begin} before",
                reason="shrank",
                place=str(self._request.path),
            )

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return {"rows": 0, "records": 0, "dead": 0, "rounded": 0, **self._counts}

    def _pieces(self) -> Iterator[Piece]:
        return self._format.read(self._request, self._scales)

    def _first_ns(self) -> int | None:
        for piece in self._pieces():
            if len(piece.records):
                return int(piece.records["ts_recv"][0])
        return None

    def _count(self, piece: Piece) -> None:
        self._counts.update({"rows": piece.rows, "records": len(piece.records), "dead": len(piece.dead)})
        self._counts["rounded"] += piece.rounded
        self._counts.update({f"ignored_{name}": count for name, count in piece.left_out.items()})

    def _place(self, cursor: bytes) -> int:
        try:
            return msgspec.json.decode(cursor, type=FormatPlace).pieces
        except msgspec.MsgspecError as error:
            raise DataError(
                f"the cursor is not one of a file of a format: {error}",
                reason="bad_cursor",
                place=str(self._request.path),
            ) from None


def open_format(source: Format, spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> FormatFeed:
    """Open the file of a feed's entry with a format.

    Raises ConfigError where there is no such file, or the run names none of its instruments; DataError where it cannot
    be read.
    """
    if spec.receive_time == "stamp":
        raise ConfigError(
            f"{spec.uri!r} is stored: its records do not arrive", remedy='leave out receive_time = "stamp"'
        )
    request = request_of(source, spec, base_dir)
    contents = source.contents(request)
    scales = {
        entry.symbol: Scale(index, entry.price_decimals, entry.size_decimals, entry.allow_negative_price)
        for index, entry in enumerate(instruments)
    }
    symbols = [held.symbol for held in contents.instruments]
    if symbols and not any(symbol in scales for symbol in symbols):
        raise ConfigError(
            f"the file has {', '.join(symbols[:5])}, and none of them is an instrument of the run",
            place=str(request.path),
            remedy=f'{choose(symbols[0], scales)}; or name the instrument of all its rows: symbol = ".."',
        )
    venues = {entry.symbol: entry.venue for entry in instruments}
    return FormatFeed(spec, source, request, _header(contents, scales, venues, spec), scales)


def request_of(source: Format, spec: FeedSpec, base_dir: Path) -> Request:
    """Make a format's request of a feed's entry. Raises ConfigError where the file is not there."""
    path = text_path(spec, base_dir)
    if not path.exists():
        raise missing_file(path)
    if spec.symbol is not None and not isinstance(spec.symbol, str):
        raise ConfigError(
            f"symbol = {{ column = {spec.symbol.column!r} }} is for text whose columns are named here",
            place=spec.uri,
            remedy=f"the format {source.name!r} knows where its symbols stand: leave it out, or name one symbol",
        )
    return Request(
        path=path,
        symbol=spec.symbol,
        records=spec.records,
        bar_ns=None if spec.bar is None else spec.bar.ns,
        price=spec.price,
        round_excess=spec.excess_decimals == "round",
        options=read_options(source.options, spec.options, source.name, spec.uri),
    )


def _header(contents: Contents, scales: Mapping[str, Scale], venues: Mapping[str, str], spec: FeedSpec) -> TapeHeader:
    return TapeHeader(
        one_time=contents.one_time,
        bar_lengths_ns=contents.bar_lengths_ns,
        instruments=[
            TapeInstrument(
                symbol=held.symbol,
                price_decimals=scales[held.symbol].price_decimals,
                size_decimals=scales[held.symbol].size_decimals,
                kinds=held.kinds,
                sizes="none" if spec.sizes == "none" else held.sizes,
                venue=venues[held.symbol],
                bar_price=held.bar_price or msgspec.UNSET,
            )
            for held in contents.instruments
            if held.symbol in scales
        ],
        rows=contents.rows,
    )
