"""A source by its name: the feeds of a run file, a file that says what it holds, or a URI that a run file explains.

May not live here: formats (adapters), and what is done with the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import msgspec

from replay.config import RunConfig, load
from replay.config.run_config import locate
from replay.config.sections import FeedSpec, Instrument, Kafka
from replay.data import guess
from replay.errors import UsageError
from replay.feeds.feed import Feed
from replay.feeds.merge import MergedFeed, merge
from replay.feeds.tape import TapeInstrument, missing_file

__all__ = ["open_source"]


def open_source(source: str, run: Path | None = None, feeds: Sequence[str] = ()) -> tuple[MergedFeed, Kafka]:
    """Open a source: a run file (its feeds, or those given), a tape, or any feed's URI beside a run file.

    Returns the feed, and how the run file reaches Kafka.
    """
    path = Path(source)
    if path.suffix == ".toml":
        return _of_run(load(path, feed=list(feeds) or None))
    if run is not None:
        return _of_run(load(run, feed=[_located(source), *feeds]))
    if path.suffix == ".npy" and path.exists():
        spec = FeedSpec(uri=str(path.resolve()))
        return _merged([spec], guess.tape_instruments(path), Path()), Kafka()
    if FeedSpec(uri=source).scheme is None and not path.is_file():
        raise missing_file(path)
    raise UsageError(
        f"{source!r} does not say what instruments it holds",
        remedy="give --run RUN.toml, whose [[instrument]] and [[feed]] say it, or a tape (.npy)",
    )


def _of_run(config: RunConfig) -> tuple[MergedFeed, Kafka]:
    specs = [msgspec.structs.replace(spec, kafka=config.kafka) if spec.kafka is None else spec for spec in config.feed]
    return _merged(specs, config.instrument, config.base_dir), config.kafka


def _merged(specs: Sequence[FeedSpec], instruments: Sequence[Instrument], base_dir: Path) -> MergedFeed:
    """Open feeds as one, whose header lists the instruments by the numbers that its records have."""
    feed = merge([_open(spec, instruments, base_dir) for spec in specs])
    carried = {entry.symbol: entry for entry in feed.header.instruments}
    listed = [
        carried.get(entry.symbol)
        or TapeInstrument(symbol=entry.symbol, price_decimals=entry.price_decimals, size_decimals=entry.size_decimals)
        for entry in instruments
    ]
    feed.header = msgspec.structs.replace(feed.header, instruments=listed)
    return feed


def _open(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    feed: Feed = import_module("replay.adapters.registry").open_feed(spec, instruments, base_dir)
    return feed


def _located(source: str) -> str:
    """A path on the command line starts at the working folder, one in a run file beside it."""
    return locate(source, Path.cwd())
