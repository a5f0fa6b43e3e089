"""Which adapter opens which URI: by its scheme; a feed else by the suffix of its path, or how the file begins.

May not live here: any format.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, cast

from replay.errors import ConfigError, choose
from replay.feeds.tape import missing_file

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument, SinkSpec
    from replay.feeds.feed import Feed
    from replay.pipeline.outbox import Sink, SinkContext

GROUP = "replay.feeds"
SINK_GROUP = "replay.sinks"

BUILT_IN = {
    "tape": "replay.adapters.tape:open_feed",
    "csv": "replay.adapters.csv:open_feed",
    "ndjson": "replay.adapters.ndjson:open_feed",
    "binance": "replay.adapters.binance:open_feed",
    "sim": "replay.adapters.sim:open_feed",
    "follow": "replay.adapters.follow:open_feed",
    "stdin": "replay.adapters.stdin:open_feed",
    "session": "replay.adapters.session:open_feed",
}
"""The entry points that come with the package, for a source folder that is not installed."""

BUILT_IN_SINKS = {"kafka": "replay.adapters.kafka.sink:open_sink"}
"""As BUILT_IN, of the sinks."""

SUFFIXES = {"npy": "tape", "csv": "csv", "tsv": "csv", "txt": "csv", "ndjson": "ndjson", "jsonl": "ndjson"}
"""The feed of a suffix that is not itself a feed's name."""

OpenSink = Callable[["SinkSpec", "SinkContext"], "Sink"]
OpenFeed = Callable[["FeedSpec", "Sequence[Instrument]", Path], "Feed"]


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open the feed of a run file's entry; relative paths start at `base_dir`.

    Raises ConfigError where nothing opens such a URI, a file is missing or its columns do not fit; DataError where it
    cannot be read.
    """
    return _opener(name_of(spec, Path(base_dir)))(spec, instruments, Path(base_dir))


def open_sink(spec: SinkSpec, context: SinkContext) -> Sink:
    """Make the sink of a run file's entry; raises ConfigError where there is none of such a scheme."""
    names = sorted({*BUILT_IN_SINKS, *_entry_points(SINK_GROUP)})
    if spec.scheme not in names:
        raise ConfigError(
            f"nothing publishes to {spec.uri!r}: there is no sink {spec.scheme!r}",
            remedy=choose(spec.scheme or spec.uri, names),
        )
    return cast(OpenSink, _load(SINK_GROUP, spec.scheme, BUILT_IN_SINKS))(spec, context)


def feed_names() -> list[str]:
    """List the names of all feeds that are installed."""
    return sorted({*BUILT_IN, *_entry_points(GROUP)})


def name_of(spec: FeedSpec, base_dir: Path) -> str:
    """Say which feed opens a URI."""
    names = feed_names()
    scheme = spec.scheme
    if scheme is not None and scheme != "file":
        if scheme in names:
            return scheme
        raise ConfigError(f"nothing opens {spec.uri!r}: there is no feed {scheme!r}", remedy=choose(scheme, names))
    path = base_dir / spec.uri.removeprefix("file:")
    suffix = path.name.removesuffix(".gz").rpartition(".")[2].lower()
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix in names:
        return suffix
    return _name_by_content(spec, path)


def _name_by_content(spec: FeedSpec, path: Path) -> str:
    """Recognise a file whose name says nothing by its first bytes."""
    from replay.adapters.source import Source

    if not path.is_file():
        raise missing_file(path)
    head = Source(path).read(1 << 12)
    if head.startswith(b"\x93NUMPY"):
        return "tape"
    received, _, frame = head.partition(b"\n")[0].partition(b" ")
    if received.isdigit() and frame.startswith(b"{"):
        return "binance"
    if head.lstrip().startswith(b"{"):
        return "ndjson"
    raise ConfigError(
        f"{spec.uri!r} has no known suffix, and its first bytes tell no format",
        remedy=f"suffixes: .{', .'.join(SUFFIXES)}, each also with .gz; feeds: {', '.join(feed_names())}",
    )


@cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def _opener(name: str) -> OpenFeed:
    return cast(OpenFeed, _load(GROUP, name, BUILT_IN))


def _load(group: str, name: str, built_in: Mapping[str, str]) -> object:
    entry = _entry_points(group).get(name)
    if entry is None:
        module, _, attribute = built_in[name].partition(":")
        return getattr(import_module(module), attribute)
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        kind = group.removeprefix("replay.").removesuffix("s")
        raise ConfigError(f"the {kind} {name!r} cannot be loaded from {entry.value!r}: {error}") from error
