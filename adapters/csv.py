"""The CSV feed: `.csv`, `.tsv` and `.txt` files with a header, also compressed with gzip.

May not live here: decoding (engine_rs/ingest).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from replay.adapters.text import TextFeed, csv_decoding, header_of, text_path
from replay.errors import ConfigError

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument
    from replay.feeds.feed import Feed


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open a CSV file whose columns the feed's entry names."""
    if spec.receive_time == "stamp":
        raise ConfigError(f"{spec.uri!r} is stored: its records do not arrive", remedy="use follow: to stamp arrivals")
    decoding = csv_decoding(spec, instruments)
    header = header_of(spec, instruments, [spec.records or "quote"], one_time=spec.receive is None)
    return TextFeed(spec, text_path(spec, base_dir), header, decoding)
