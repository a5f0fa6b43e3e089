"""The feed of raw Binance captures: lines of `<receive time, ns> <frame>`, best quotes and trades; depth is counted.

May not live here: decoding (engine_rs/ingest), and connections to the exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from replay.adapters.engine import engine
from replay.adapters.text import Decoding, TextFeed, header_of, instrument_layouts, text_path
from replay.errors import ConfigError
from replay.feeds.merge import merge
from replay.feeds.tape import missing_file

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open one capture, or several merged: `binance:data/usdm_*.gz`. `symbol` leaves out the other instruments.

    Spot quotes have no venue time: theirs is the receive time plus `clock_offset`.
    """
    if spec.receive_time == "stamp":
        raise ConfigError(
            f"{spec.uri!r} is stored: its records do not arrive", remedy='leave out receive_time = "stamp"'
        )
    feeds = [_open_capture(spec, instruments, path) for path in _paths(text_path(spec, base_dir))]
    return feeds[0] if len(feeds) == 1 else merge(feeds)


def _paths(pattern: Path) -> list[Path]:
    if not any(mark in pattern.name for mark in "*?["):
        return [pattern]
    found = sorted(pattern.parent.glob(pattern.name))
    if not found:
        raise missing_file(pattern)
    return found


def _open_capture(spec: FeedSpec, instruments: Sequence[Instrument], path: Path) -> TextFeed:
    named = spec.symbol if isinstance(spec.symbol, str) else None
    listed = [entry for entry in instrument_layouts(instruments) if named is None or entry["symbol"] == named]
    text = msgspec.json.encode(listed)
    rounds, offset_ns = spec.excess_decimals == "round", spec.clock_offset.ns
    decoding = Decoding(spec, lambda: engine().BinanceDecoder(text, rounds, offset_ns))
    return TextFeed(spec, path, header_of(spec, instruments, ["quote", "trade"], one_time=False), decoding)
