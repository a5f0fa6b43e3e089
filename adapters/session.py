"""The session feed: the recorded tape of a paper session, as stored data: `session:FOLDER`.

May not live here: the journal's format (replay.pipeline.journal), and forking a session (replay.fork).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from numpy.typing import NDArray

from replay.errors import ConfigError, DataError, JournalError
from replay.feeds.feed import Batch, StoredFeed
from replay.feeds.renumbering import Renumbering
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.pipeline.journal import JournalReader
from replay.session import SETUP_FILE, read_manifest, stored_config

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed


class SessionPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cursor of a session's tape: the tape seq of the next record."""

    seq: int


class SessionFeed(StoredFeed):
    """The frames of a journal, from any of them on; each is a batch. The session may be running meanwhile."""

    def __init__(self, uri: str, folder: Path, header: TapeHeader, numbers: Renumbering) -> None:
        """Take the session's folder, and what its indexes are in the run."""
        super().__init__(uri, header)
        self._folder = folder
        self._numbers = numbers
        self._rows = 0
        self._dropped = 0

    def batches(self, cursor: bytes | None = None) -> Iterator[Batch]:
        """Give one batch per frame after a cursor, or all."""
        next_seq = 0 if cursor is None else self._seq(cursor)
        self._rows = self._dropped = 0
        for frame in JournalReader(self._folder / "journal").frames():
            if frame.limit_seq <= next_seq or not len(frame.records):
                continue
            records = frame.records[max(0, next_seq - frame.first_seq) :]
            self._rows += len(records)
            yield Batch(self._renumbered(records), msgspec.json.encode(SessionPlace(frame.limit_seq)))

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

    def _seq(self, cursor: bytes) -> int:
        try:
            return msgspec.json.decode(cursor, type=SessionPlace).seq
        except msgspec.MsgspecError as error:
            raise DataError(
                f"the cursor is not one of a session's tape: {error}", reason="bad_cursor", place=str(self._folder)
            ) from None


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open the tape of a session. Raises ConfigError, UsageError where there is no session, JournalError."""
    if spec.receive_time == "stamp":
        raise ConfigError(
            f"{spec.uri!r} is stored: its records do not arrive", remedy='leave out receive_time = "stamp"'
        )
    folder = base_dir / spec.uri.partition(":")[2]
    header = _header(folder)
    wanted = {entry.symbol: index for index, entry in enumerate(instruments)}
    numbers = Renumbering([entry.symbol for entry in header.instruments], wanted)
    return SessionFeed(spec.uri, folder, header, numbers)


def _header(folder: Path) -> TapeHeader:
    """Say of the tape what its feeds said, as far as the session's setup kept it."""
    manifest = read_manifest(folder)
    path = folder / SETUP_FILE
    try:
        setup = msgspec.json.decode(path.read_bytes())
        venues = [venue["name"] for venue in setup["venues"]]
        instruments = [
            TapeInstrument(
                symbol=entry["symbol"],
                price_decimals=entry["price_decimals"],
                size_decimals=entry["size_decimals"],
                kinds=entry["kinds"],
                sizes=entry["sizes"],
                venue=venues[entry["venue"]],
                bar_price=entry.get("bar_price", msgspec.UNSET) if "bar" in entry["kinds"] else msgspec.UNSET,
            )
            for entry in setup["instruments"]
        ]
        first_ns = None
        if manifest.trading_start_ns is not None:
            # From it a run reckons when commands are first taken: as the session did.
            first_ns = manifest.trading_start_ns - stored_config(folder).run.warmup.ns
        return TapeHeader(
            one_time=setup["one_clock"], bar_lengths_ns=setup["bar_lengths"], instruments=instruments, first_ns=first_ns
        )
    except (OSError, msgspec.MsgspecError, KeyError, IndexError) as error:
        raise JournalError(f"cannot be read: {error}", place=str(path), remedy="restore it from a copy") from error
