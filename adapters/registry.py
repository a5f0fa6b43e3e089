"""Which adapter opens which URI: by its scheme; a feed else by the suffix of its path, or how the file begins.

May not live here: any format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from replay.errors import ConfigError, choose
from replay.feeds.tape import missing_file

if TYPE_CHECKING:
    from replay.config import FeedSpec, Instrument, SinkSpec
    from replay.config.sections import Kafka
    from replay.feeds.feed import Feed
    from replay.pipeline.control import ControlSource
    from replay.pipeline.outbox import Sink, SinkContext
    from replay.workers import Membership

BUILT_IN = {
    "replay.feeds": {
        "tape": "replay.adapters.tape:open_feed",
        "csv": "replay.adapters.csv:open_feed",
        "ndjson": "replay.adapters.ndjson:open_feed",
        "binance": "replay.adapters.binance:open_feed",
        "sim": "replay.adapters.sim:open_feed",
        "follow": "replay.adapters.follow:open_feed",
        "stdin": "replay.adapters.stdin:open_feed",
        "session": "replay.adapters.session:open_feed",
        "kafka": "replay.adapters.kafka.feed:open_feed",
    },
    "replay.sinks": {"kafka": "replay.adapters.kafka.sink:open_sink"},
    "replay.publishers": {"kafka": "replay.adapters.kafka.publish:publish"},
    "replay.controls": {"kafka": "replay.adapters.kafka.control:open_control"},
    "replay.groups": {"kafka": "replay.adapters.kafka.group:open_group"},
}
"""The entry points that come with the package, by group, for a source folder that is not installed."""

SUFFIXES = {"npy": "tape", "csv": "csv", "tsv": "csv", "txt": "csv", "ndjson": "ndjson", "jsonl": "ndjson"}
"""The feed of a suffix that is not itself a feed's name."""

OpenFeed = Callable[["FeedSpec", "Sequence[Instrument]", Path], "Feed"]
OpenSink = Callable[["SinkSpec", "SinkContext"], "Sink"]
OpenControl = Callable[[str, "Kafka | None"], "ControlSource"]
OpenGroup = Callable[["FeedSpec", str], "Membership"]


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open the feed of a run file's entry; relative paths start at `base_dir`.

    Raises ConfigError where nothing opens such a URI, a file is missing or its columns do not fit; DataError where it
    cannot be read.
    """
    return _opener(name_of(spec, Path(base_dir)))(spec, instruments, Path(base_dir))


def open_sink(spec: SinkSpec, context: SinkContext) -> Sink:
    """Make the sink of a run file's entry; raises ConfigError where there is none of such a scheme."""
    return cast(OpenSink, _of_scheme("replay.sinks", spec.uri))(spec, context)


def open_control(uri: str, kafka: Kafka | None) -> ControlSource:
    """Open a topic of commands; nothing is connected yet. Raises ConfigError where nothing reads such a URI."""
    return cast(OpenControl, _of_scheme("replay.controls", uri))(uri, kafka)


def open_group(spec: FeedSpec, group: str) -> Membership:
    """Make a worker's place in a group that shares out a feed; raises ConfigError where that feed cannot be."""
    return cast(OpenGroup, _of_scheme("replay.groups", spec.uri))(spec, group)


def publisher(address: str) -> Callable[..., Any]:
    """Find the publisher of an address, to be called (feed, address, kafka, how); raises ConfigError for no such."""
    return cast("Callable[..., Any]", _of_scheme("replay.publishers", address))


def feed_names() -> list[str]:
    """List the names of all feeds that are installed."""
    return _names("replay.feeds")


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


def _of_scheme(group: str, uri: str) -> object:
    """Load what the scheme of a URI names in a group."""
    scheme, colon, _ = uri.partition("://")
    names = _names(group)
    if not colon or scheme.lower() not in names:
        what = _kind(group)
        raise ConfigError(
            f"there is no {what} for {uri!r}",
            remedy=f"a {what} is named by its scheme, as in {names[0]}://..; {choose(scheme, names)}",
        )
    return _load(group, scheme.lower())


def _names(group: str) -> list[str]:
    return sorted({*BUILT_IN[group], *_entry_points(group)})


def _kind(group: str) -> str:
    return group.removeprefix("replay.").removesuffix("s")


@cache
def _entry_points(group: str) -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=group)}


def _opener(name: str) -> OpenFeed:
    return cast(OpenFeed, _load("replay.feeds", name))


def _load(group: str, name: str) -> object:
    entry = _entry_points(group).get(name)
    if entry is None:
        module, _, attribute = BUILT_IN[group][name].partition(":")
        return getattr(import_module(module), attribute)
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"the {_kind(group)} {name!r} cannot be loaded from {entry.value!r}: {error}") from error
