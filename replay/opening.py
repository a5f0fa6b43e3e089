"""Opening: what a run is made of - feeds, warm-up, setup, strategies, engine, sinks - from its configuration.

May not live here: which mode wants what (modes), and the run itself (running).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, TypeVar

import msgspec

from replay.config import RunConfig
from replay.config.run_config import locate
from replay.errors import ConfigError, EngineMissing, UsageError
from replay.feeds.merge import merge
from replay.feeds.warmup import Warmup
from replay.fork import check_tape
from replay.pipeline.journal import last_epoch
from replay.pipeline.outbox import Sink, SinkContext
from replay.pipeline.stop import Stop
from replay.result.eventtext import Names
from replay.result.result import EVENTS_FILE
from replay.session import Session, strategy_hashes, strategy_sources
from replay.setup import build, load_strategies

if TYPE_CHECKING:
    from replay._engine import Engine, Sequencer
    from replay.config import FeedSpec, SinkSpec
    from replay.feeds.feed import Feed
    from replay.feeds.tape import TapeHeader
    from replay.strategy import Strategy


@dataclass(frozen=True)
class Plan:
    """What to run: a configuration, and what Python hands over in place of what the configuration names."""

    config: RunConfig
    feeds: Sequence[Feed] | None = None
    strategies: Sequence[Strategy] | None = None

    @property
    def name(self) -> str:
        """Name of the run: that of its run file, or of its strategies."""
        if self.config.path is not None:
            return self.config.path.stem
        return "+".join(spec.name for spec in self.config.strategy)


@dataclass
class Opened:
    """Feed, setup, sequencer and engine of a plan."""

    plan: Plan
    mode: str
    feed: Feed
    warmup: Warmup | None
    setup: bytes
    sequencer: Sequencer
    engine: Engine
    names: Names
    total: int | None
    notes: list[str]
    strategies: list[Strategy]
    sources: dict[str, tuple[str, str]]
    opened_s: float


@contextlib.contextmanager
def open_plan(plan: Plan, mode: str, *, session: Session | None = None) -> Iterator[Opened]:
    """Open the feeds, make the setup, load the strategies, build sequencer and engine."""
    started_s = time.perf_counter()
    engine_class, sequencer_class = engine_classes()
    config = plan.config
    if config.sink and session is None:
        raise UsageError(
            f"{mode} publishes nothing, and the run file has a [[sink]] ({config.sink[0].uri})",
            remedy="only sessions publish: use `replay paper`, or leave the sinks out: --set sink=[]",
        )
    feeds = list(plan.feeds) if plan.feeds is not None else [open_feed(spec, config) for spec in config.feed]
    live = [feed for feed in feeds if feed.live]
    if live and session is None:
        raise UsageError(
            f"{mode} needs stored data, and {live[0].uri} is live",
            remedy="use `replay paper` for live feeds, or record them first"
            + ("; with ?to=latest a topic is stored data" if live[0].uri.startswith("kafka:") else ""),
        )
    headers = [feed.header for feed in feeds]
    merged = merge(feeds)
    trading_start_ns = trading_start(config, merged, session)
    warmup = open_warmup(config, merged.header, trading_start_ns, live)
    if warmup is not None and (session is None or session.manifest is None):
        warmup.open()  # later starts open it only if it is not over
    setup = build(config, headers, trading_start_ns=trading_start_ns)
    strategies = list(plan.strategies) if plan.strategies is not None else load_strategies(config)
    notes: list[str] = []
    sources: dict[str, tuple[str, str]] = {}
    if session is not None:
        if session.fork is not None:
            check_tape(session.fork, setup)
        hashes = strategy_hashes(config, strategies)
        sources = strategy_sources(hashes, strategies)
        notes = session.settle(config, setup, hashes)
    engine = engine_class(setup, strategies)
    rows = [header.rows for header in headers if header.rows]
    is_windowed = config.run.first_ns is not None or config.run.limit_ns is not None
    yield Opened(
        plan=plan,
        mode=mode,
        feed=merged,
        warmup=warmup,
        setup=setup,
        sequencer=sequencer_class(setup),
        engine=engine,
        names=Names.of_setup(setup, engine.ledger_scales()),
        total=sum(rows) if len(rows) == len(headers) and not is_windowed and not live else None,
        notes=notes,
        strategies=strategies,
        sources=sources,
        opened_s=time.perf_counter() - started_s,
    )


def open_feed(spec: FeedSpec, config: RunConfig) -> Feed:
    """Open a feed of a configuration with the adapter that its URI names; adapters plug in, so it is found by name."""
    registry = import_module("replay.adapters.registry")
    feed: Feed = registry.open_feed(with_kafka(spec, config), config.instrument, config.base_dir)
    return feed


def plugged_sinks(opened: Opened, session: Session, stop: Stop) -> list[Sink]:
    """Make the sinks that the run file names; each is found by its scheme, since sinks plug in."""
    config = opened.plan.config
    if not config.sink:
        return []
    assert session.manifest is not None, "settle comes first"
    context = SinkContext(
        session=session.manifest.id,
        name=opened.plan.name,
        epoch=session.next_epoch(last_epoch(session.journal_folder)),
        setup=opened.setup,
        ledger_scales=opened.engine.ledger_scales(),
        events_path=session.events_folder / EVENTS_FILE,
        wake=stop.request,
    )
    registry = import_module("replay.adapters.registry")
    return [registry.open_sink(with_kafka(spec, config), context) for spec in config.sink]


SpecT = TypeVar("SpecT", "FeedSpec", "SinkSpec")


def with_kafka(spec: SpecT, config: RunConfig) -> SpecT:
    """Give a kafka: feed or sink what it is to know of the brokers, with paths that start at the run file."""
    if spec.scheme != "kafka":
        return spec
    kafka = spec.kafka if spec.kafka is not None else config.kafka
    return msgspec.structs.replace(spec, kafka=kafka.located(lambda path: locate(path, config.base_dir)))


def trading_start(config: RunConfig, feed: Feed, session: Session | None) -> int | None:
    """When commands are first taken, where the setup cannot tell by itself: with a warm-up, or in a live session.

    A live session's is fixed when it is made, or a re-run would decide otherwise.
    """
    if session is not None and session.manifest is not None:
        return session.manifest.trading_start_ns
    if session is not None and session.fork is not None:
        return session.trading_start_ns
    run = config.run
    if run.from_ is not None or not (config.warmup or run.warmup.ns):
        return None
    if session is not None and feed.live:
        return session.created_ns + run.warmup.ns
    if not config.warmup:
        return None
    if feed.header.first_ns is None:
        raise ConfigError(
            f"{feed.uri} does not say when it begins, so that nobody knows where the warm-up ends",
            place="[[warmup]]",
            remedy="convert it to a tape with `replay data convert`",
        )
    return feed.header.first_ns + run.warmup.ns


def open_warmup(
    config: RunConfig, header: TapeHeader, trading_start_ns: int | None, live: Sequence[Feed] = ()
) -> Warmup | None:
    """Make the warm-up of a run, where it has one; its feeds are opened when they are needed."""
    if not config.warmup or trading_start_ns is None:
        return None
    limit_ns = trading_start_ns - config.run.warmup.ns
    specs = [_ending_at(spec, live) for spec in config.warmup]
    return Warmup(lambda: [open_feed(spec, config) for spec in specs], header, limit_ns)


def _ending_at(spec: FeedSpec, live: Sequence[Feed]) -> FeedSpec:
    """Have a warm-up from what a live feed goes on with end where that begins: nothing comes twice or is left out."""
    for feed in live:
        cut = getattr(feed, "cut_before", None)
        if cut is not None:
            spec = cut(spec)
    return spec


def engine_classes() -> tuple[type[Engine], type[Sequencer]]:
    """Load the engine; this is where another implementation of the same rules would be chosen."""
    try:
        from replay._engine import Engine, Sequencer
    except ImportError as error:
        raise EngineMissing(str(error)) from error
    return Engine, Sequencer


def engine_build() -> str:
    """Identify the engine that is installed: a hash of its sources."""
    from replay._engine import ENGINE_BUILD

    return ENGINE_BUILD


def own_version() -> str:
    """Give the version of the installed package."""
    try:
        return version("tickreplay")
    except PackageNotFoundError:
        return "not installed"
