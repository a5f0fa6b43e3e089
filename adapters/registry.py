"""Which adapter opens which URI: by its scheme; a feed else by its format, the suffix of its path, or how it begins.

May not live here: any format.
"""

from __future__ import annotations

import contextlib
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
    from replay.feeds.format import Contents, Format
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
    "replay.formats": {
        "dbn": "replay.adapters.formats.dbn:FORMAT",
        "feather": "replay.adapters.formats.feather:FORMAT",
        "hftbacktest": "replay.adapters.formats.hftbacktest:FORMAT",
        "histdata": "replay.adapters.formats.histdata:FORMAT",
        "kaiko": "replay.adapters.formats.kaiko:FORMAT",
        "lean": "replay.adapters.formats.lean:FORMAT",
        "lobster": "replay.adapters.formats.lobster:FORMAT",
        "parquet": "replay.adapters.formats.parquet:FORMAT",
        "tardis": "replay.adapters.formats.tardis:FORMAT",
        "truefx": "replay.adapters.formats.truefx:FORMAT",
        "yahoo": "replay.adapters.formats.yahoo:FORMAT",
    },
}
"""The entry points that come with the package, by group, for a source folder that is not installed."""

SUFFIXES = {"npy": "tape", "csv": "csv", "tsv": "csv", "txt": "csv", "ndjson": "ndjson", "jsonl": "ndjson"}
"""The feed of a suffix that is not itself a feed's name."""

FILE_FEEDS = ("tape", "csv", "ndjson", "binance")
"""The feeds that a file's `format` may name beside the formats."""

_HEAD_BYTES = 1 << 14

OpenFeed = Callable[["FeedSpec", "Sequence[Instrument]", Path], "Feed"]
OpenSink = Callable[["SinkSpec", "SinkContext"], "Sink"]
OpenControl = Callable[[str, "Kafka | None"], "ControlSource"]
OpenGroup = Callable[["FeedSpec", str], "Membership"]


def open_feed(spec: FeedSpec, instruments: Sequence[Instrument], base_dir: Path) -> Feed:
    """Open the feed of a run file's entry; relative paths start at `base_dir`.

    Raises ConfigError where nothing opens such a URI, a file is missing or its columns do not fit; DataError where it
    cannot be read.
    """
    name = name_of(spec, Path(base_dir))
    if name in format_names() and (spec.format is not None or name not in feed_names()):
        from replay.adapters.formats.feed import open_format

        return open_format(format_named(name), spec, instruments, Path(base_dir))
    return _opener(name)(spec, instruments, Path(base_dir))


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


def format_names() -> list[str]:
    """List the names of all formats of data files that are installed."""
    return _names("replay.formats")


def format_named(name: str) -> Format:
    """Load a format by its name; raises ConfigError where there is none, or it cannot be loaded."""
    if name not in format_names():
        raise ConfigError(f"there is no format {name!r}", remedy=choose(name, [*FILE_FEEDS, *format_names()]))
    return cast("Format", _load("replay.formats", name))


def format_of_file(path: Path) -> Format | None:
    """Recognise a file by the suffixes of the formats, then by how it begins; None where no format knows it."""
    formats = []
    for name in format_names():
        with contextlib.suppress(ConfigError):  # one that cannot be loaded says so where it is named
            formats.append(format_named(name))
    lower = path.name.lower()
    for found in formats:
        if any(lower.endswith(suffix) for suffix in found.suffixes):
            return found
    head = _head(path) if path.is_file() else b""
    return next((found for found in formats if found.sniff(path, head)), None)


def contents_of(spec: FeedSpec, base_dir: Path) -> Contents:
    """Say what a feed's file holds, if a format opens it. Raises ConfigError and DataError as opening it does."""
    from replay.adapters.formats.feed import request_of

    found = format_named(name_of(spec, Path(base_dir)))
    return found.contents(request_of(found, spec, Path(base_dir)))


def name_of(spec: FeedSpec, base_dir: Path) -> str:
    """Say which feed, or which format, opens a URI."""
    names = feed_names()
    if spec.format is not None:
        return spec.format if spec.format in FILE_FEEDS else format_named(spec.format).name
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
    known = format_of_file(path)
    return known.name if known is not None else _name_by_content(spec, path)


def _name_by_content(spec: FeedSpec, path: Path) -> str:
    """Recognise a file whose name says nothing by its first bytes."""
    if not path.is_file():
        raise missing_file(path)
    head = _head(path)
    if head.startswith(b"\x93NUMPY"):
        return "tape"
    received, _, frame = head.partition(b"\n")[0].partition(b" ")
    if received.isdigit() and frame.startswith(b"{"):
        return "binance"
    if head.lstrip().startswith(b"{"):
        return "ndjson"
    raise ConfigError(
        f"{spec.uri!r} has no known suffix, and its first bytes tell no format",
        remedy=f"suffixes: .{', .'.join(SUFFIXES)}, each also with .gz; feeds: {', '.join(feed_names())}; "
        f"formats: {', '.join(format_names())}",
    )


def _head(path: Path) -> bytes:
    """Read the beginning of a file, inflated if it is gzip; of other compressed or binary files as it is."""
    from replay.adapters.source import Source

    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head.startswith(b"\x1f\x8b"):
        return head
    with Source(path) as source:
        return source.read(_HEAD_BYTES)


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
