"""The tape feed: a `.npy` tape, mapped into memory, its instruments renumbered as the run has them.

May not live here: the format (replay.feeds.tape).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from numpy.typing import NDArray

from replay.adapters.text import text_path
from replay.errors import ConfigError, DataError, choose
from replay.feeds.feed import Batch, StoredFeed
from replay.feeds.renumbering import Renumbering
from replay.feeds.tape import Tape, load

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed

BATCH_ROWS = 16_384
"""Records of a batch: 1 MiB."""


class TapePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor of a tape: the next row."""

    row: int


class TapeFeed(StoredFeed):
    """A tape from any row on. Records of instruments that the run does not name are dropped and counted."""

    def __init__(self, spec: FeedSpec, tape: Tape, numbers: Renumbering) -> None:
        """Take a tape, and what its indexes are in the run."""
        instruments = tape.header.instruments
        if spec.sizes == "none":
            instruments = [msgspec.structs.replace(entry, sizes="none") for entry in instruments]
        super().__init__(spec.uri, msgspec.structs.replace(tape.header, instruments=instruments))
        self.clock_offset_ns = spec.clock_offset.ns
        self.tape = tape
        self._numbers = numbers
        self._rows = 0
        self._dropped = 0

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give the batches after a cursor, or all; what lies behind is let go from memory."""
        row = 0 if cursor is None else self._row(cursor)
        records = self.tape.records
        self._rows = self._dropped = 0
        while row < len(records):
            limit = min(row + BATCH_ROWS, len(records))
            batch = self._renumbered(records[row:limit])
            self._rows += limit - row
            yield Batch(batch, msgspec.json.encode(TapePlace(limit)))
            self.tape.release(row, limit)
            row = limit

    def counters(self) -> dict[str, int]:
        """Count what became of the rows since the feed was opened."""
        return {
            "rows": self._rows,
            "records": self._rows - self._dropped,
            "dead": 0,
            "rounded": 0,
            "ignored_not_named": self._dropped,
        }

    def _renumbered(self, records: NDArray[Any]) -> NDArray[Any]:
        renumbered, _ = self._numbers.apply(records)
        self._dropped += len(records) - len(renumbered)
        return renumbered

    def _row(self, cursor: bytes) -> int:
        try:
            row = msgspec.json.decode(cursor, type=TapePlace).row
        except msgspec.MsgspecError as error:
            raise DataError(
                f"the cursor is not one of a tape: {error}", reason="bad_cursor", place=str(self.tape.path)
            ) from None
        if not 0 <= row <= len(self.tape):
            raise DataError(
                f"has {len(self.tape)} records, and was read up to record {row} before",
                reason="shrank",
                place=str(self.tape.path),
            )
        return row


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open a tape. `symbol` leaves out its other instruments."""
    if spec.receive_time == "stamp":
        raise ConfigError(
            f"{spec.uri!r} is stored: its records do not arrive", remedy='leave out receive_time = "stamp"'
        )
    tape = load(text_path(spec, base_dir))
    symbols = [entry.symbol for entry in tape.header.instruments]
    wanted = {entry.symbol: index for index, entry in enumerate(instruments)}
    if isinstance(spec.symbol, str):
        if spec.symbol not in symbols:
            raise ConfigError(
                f"the tape has no instrument {spec.symbol!r}", place=str(tape.path), remedy=choose(spec.symbol, symbols)
            )
        wanted = {spec.symbol: wanted[spec.symbol]}
    return TapeFeed(spec, tape, Renumbering(symbols, wanted))
