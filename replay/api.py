"""The modes from Python: a strategy, some ticks, instruments and cash are enough; the rest are keywords.

May not live here: what a mode does; these functions only turn their arguments into a configuration.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.config import RunConfig, from_mapping, load
from replay.errors import UsageError
from replay.feeds.feed import Feed
from replay.strategy import Strategy, check_names, check_types, make, was_in_run

if TYPE_CHECKING:
    from replay.fork import ForkRequest
    from replay.glance import Glances
    from replay.live import LivePaper, LivePlay, LiveRun
    from replay.opening import Plan
    from replay.pipeline.pacing import PlayControls, Speed
    from replay.pipeline.pipeline import ProgressCall
    from replay.pipeline.stop import Stop
    from replay.result.result import Result

FeedLike = Any
"""A path, a URI, a Feed, or a list of these; or what Python holds: an array of records (dtype replay.records.RECORD),
a data frame (pandas, polars, Arrow), ticks in a list, any iterable or asynchronous iterable of ticks, or a function
that gives one."""


def backtest(
    strategy: type[Strategy] | Strategy | RunConfig | str | Path,
    feed: FeedLike | None = None,
    *,
    out: str | Path | None = None,
    progress: ProgressCall | None = None,
    **keywords: Any,
) -> Result:
    """Run a strategy over stored data as fast as the machine can. Needs no event loop, works inside a running one.

        replay.backtest(SmaCross, "data/btc.npy", instruments={"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.001",
                        "quote": "USDT"}, cash={"USDT": 100_000}, params={"fast": 10})

    The first argument is a strategy class, an instance, a configuration, or the path of a run file. Keywords:
    `instruments` (a mapping or several, with the keys of [[instrument]]), `cash` (by currency), `params`, `fees`
    ({"maker": .., "taker": ..}), `latency`, and any section of the run file: `run`, `venue`, `account`, `risk`,
    `currency`, `metrics`, `log`; `feed_options` holds the keys of [[feed]] for a path. Decimals are text, int or
    Decimal: a float would already be rounded. Raises ReplayError.
    """
    from replay import modes

    return modes.backtest(plan(strategy, feed, **keywords), out=_path(out), progress=progress)


def backtest_async(
    strategy: type[Strategy] | Strategy | RunConfig | str | Path,
    feed: FeedLike | None = None,
    *,
    out: str | Path | None = None,
    progress: ProgressCall | None = None,
    **keywords: Any,
) -> LiveRun:
    """As `backtest`, giving the event loop its turn between batches: awaited, it gives the Result.

    Entered with `async with`, it runs beside the block and can be iterated for glances; see replay.LiveRun.
    """
    from replay import modes
    from replay.live import LiveRun
    from replay.pipeline.stop import Stop

    stop = Stop()

    async def start(glances: Glances | None) -> Result:
        planned = plan(strategy, feed, **keywords)
        return await modes.backtest_async(planned, out=_path(out), progress=progress, stop=stop, glances=glances)

    return LiveRun(start, stop)


def play(
    strategy: type[Strategy] | Strategy | RunConfig | str | Path,
    feed: FeedLike | None = None,
    *,
    speed: Speed = 1.0,
    controls: PlayControls | None = None,
    out: str | Path | None = None,
    progress: ProgressCall | None = None,
    **keywords: Any,
) -> Result:
    """As `backtest`, paced by the receive times of the records: 0.1 to 1000 times real time, or "max"."""
    from replay import modes

    planned = plan(strategy, feed, **keywords)
    return modes.play(planned, speed=speed, controls=controls, out=_path(out), progress=progress)


def play_async(
    strategy: type[Strategy] | Strategy | RunConfig | str | Path,
    feed: FeedLike | None = None,
    *,
    speed: Speed = 1.0,
    paused: bool = False,
    controls: PlayControls | None = None,
    out: str | Path | None = None,
    progress: ProgressCall | None = None,
    **keywords: Any,
) -> LivePlay:
    """As `play`, on the running event loop: awaited, it gives the Result.

        async with replay.play_async(SmaCross, "data/btc.npy", speed=100, ...) as run:
            async for update in run:
                if update.fills == 10:
                    run.pause()

    Entered with `async with`, it runs beside the block, can be iterated for glances, paused, stepped and taken to any
    time; see replay.LivePlay. `paused` waits before the first record.
    """
    from replay import modes
    from replay.live import LivePlay
    from replay.pipeline.pacing import PlayControls

    keys = controls if controls is not None else PlayControls(speed, paused=paused)

    async def start(glances: Glances | None) -> Result:
        planned = plan(strategy, feed, **keywords)
        return await modes.play_async(planned, controls=keys, out=_path(out), progress=progress, glances=glances)

    return LivePlay(start, keys)


def paper(
    strategy: type[Strategy] | Strategy | RunConfig | str | Path,
    feed: FeedLike | None = None,
    *,
    session: str | Path | None = None,
    progress: ProgressCall | None = None,
    adopt: bool = False,
    fork: str | Path | None = None,
    at: int | str | None = None,
    **keywords: Any,
) -> Result:
    """Run a paper session in the folder `session`: a journal, simulated fills. Started again, it goes on.

    `adopt` lets a folder go on that was copied or moved; the original must not be started any more. `fork` names
    another session whose recorded tape a new one takes first, up to `at` (a count of records, or a time) where that is
    given. `session_options` is the section `[session]` of a run file.
    """
    from replay import modes

    planned, request = plan(strategy, feed, **keywords), _fork(fork, at)
    return modes.paper(planned, _path(session), progress=progress, adopt=adopt, fork=request)


def paper_async(
    strategy: type[Strategy] | Strategy | RunConfig | str | Path,
    feed: FeedLike | None = None,
    *,
    session: str | Path | None = None,
    progress: ProgressCall | None = None,
    stop: Stop | None = None,
    adopt: bool = False,
    fork: str | Path | None = None,
    at: int | str | None = None,
    **keywords: Any,
) -> LivePaper:
    """As `paper`, on the running event loop; `stop` ends the session in order. Awaited, it gives the Result.

    Entered with `async with`, it runs beside the block, can be iterated for glances, and takes operators' commands; see
    replay.LivePaper.
    """
    from replay import modes
    from replay.live import LivePaper
    from replay.pipeline.commands import CommandQueue
    from replay.pipeline.stop import Stop

    ends = stop if stop is not None else Stop()
    commands = CommandQueue()

    async def start(glances: Glances | None) -> Result:
        return await modes.paper_async(
            plan(strategy, feed, **keywords),
            _path(session),
            progress=progress,
            stop=ends,
            adopt=adopt,
            fork=_fork(fork, at),
            commands=commands,
            glances=glances,
        )

    return LivePaper(start, ends, commands)


def _fork(folder: str | Path | None, at: int | str | None) -> ForkRequest | None:
    from replay.fork import ForkRequest

    if folder is None:
        if at is not None:
            raise UsageError("`at` goes with `fork`", remedy="name the session to fork")
        return None
    return ForkRequest.parse(Path(folder), None if at is None else str(at))


# -- from arguments to a plan


def plan(
    strategy: type[Strategy] | Strategy | RunConfig | str | Path,
    feed: FeedLike | None = None,
    *,
    instruments: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    cash: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    fees: Mapping[str, Any] | None = None,
    latency: Mapping[str, Any] | None = None,
    feed_options: Mapping[str, Any] | None = None,
    session_options: Mapping[str, Any] | None = None,
    base_dir: str | Path = ".",
    **sections: Any,
) -> Plan:
    """Turn the arguments of `backtest` and its like into a checked configuration with its feeds and strategies."""
    from replay.opening import Plan

    if isinstance(strategy, str | Path) and not str(strategy).endswith(".toml") and not Path(strategy).exists():
        raise UsageError(
            f"{str(strategy)!r} is no run file",
            remedy="give the strategy's class itself, without quotes, or the path of a run file (.toml)",
        )
    if isinstance(strategy, RunConfig | str | Path):
        others = {"instruments": instruments, "cash": cash, "params": params, "fees": fees, "latency": latency}
        given = [name for name, value in {**others, **sections}.items() if value is not None]
        if given:
            raise UsageError(
                f"{', '.join(given)} cannot be combined with a run file", remedy="set them in the run file instead"
            )
        return _plan_of_run_file(strategy, feed)
    if feed is None:
        raise UsageError("there is no feed", remedy="give a path, a URI, an array of records or a Feed")
    if instruments is None or cash is None:
        missing = " and ".join(
            name for name in ("instruments", "cash") if {"instruments": instruments, "cash": cash}[name] is None
        )
        raise UsageError(
            f"{missing} must be given",
            remedy='for example instruments={"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.001", "quote": "USDT"}, '
            'cash={"USDT": 100_000}',
        )
    _check_mappings(instruments, cash)
    listed = [instruments] if isinstance(instruments, Mapping) else list(instruments)
    data: dict[str, Any] = {
        "strategy": [_strategy_entry(strategy, params or {})],
        "instrument": [{key: _plain(value) for key, value in entry.items()} for entry in listed],
        "account": {"currency": next(iter(cash), ""), "cash": dict(cash), **sections.pop("account", {})},
        **{key: value for key, value in sections.items() if value is not None},
    }
    if session_options is not None:
        data["session"] = dict(session_options)
    if fees is not None or latency is not None:
        if "venue" in data:
            raise UsageError("fees and latency go into `venue` where that is given")
        data["venue"] = _venues(listed, fees, latency)
    feeds = _listed(feed)
    data["feed"] = [_feed_entry(one, feed_options or {}) for one in feeds]
    config = from_mapping(data, base_dir=base_dir)
    return Plan(config, _feeds(feeds, config), [_instance(strategy, params or {})])


def _check_mappings(instruments: object, cash: object) -> None:
    if not isinstance(cash, Mapping):
        raise UsageError(f"cash is {cash!r}, and says no currency", remedy='write it as cash={"USD": 100_000}')
    entries = [instruments] if isinstance(instruments, Mapping) else instruments
    if not isinstance(entries, list | tuple) or not all(isinstance(entry, Mapping) for entry in entries):
        raise UsageError(
            f"instruments is {instruments!r}, not a mapping or a list of them",
            remedy='for example instruments={"symbol": "BTCUSDT", "tick": "0.01", "lot": "0.001", "quote": "USDT"}',
        )


def _plan_of_run_file(run: RunConfig | str | Path, feed: FeedLike | None) -> Plan:
    from replay.opening import Plan

    if isinstance(run, RunConfig):
        if feed is not None:
            raise UsageError("a configuration has its own feeds", remedy="load it with feed=...")
        return Plan(run)
    if feed is None or isinstance(feed, str | os.PathLike):
        return Plan(load(run, feed=None if feed is None else os.fspath(feed)))
    from replay.feeds.memory import IN_MEMORY

    config = load(run, feed=IN_MEMORY)
    return Plan(config, _feeds(_listed(feed), config))


def _listed(feed: FeedLike) -> list[FeedLike]:
    """Give several feeds as a list; a list of ticks is one feed."""
    from replay.feeds.ticks import is_tick

    if not isinstance(feed, list | tuple):
        return [feed]
    if not feed:
        raise UsageError("the feed is an empty list: it has no ticks", remedy="give at least one tick, or a path")
    is_several = bool(feed) and not any(is_tick(one) for one in feed)
    return list(feed) if is_several else [feed]


def _strategy_entry(strategy: type[Strategy] | Strategy, params: Mapping[str, Any]) -> dict[str, Any]:
    kind = strategy if isinstance(strategy, type) else type(strategy)
    if not issubclass(kind, Strategy):
        raise UsageError(f"{kind.__name__} is no strategy", remedy="derive it from replay.Strategy")
    if not isinstance(strategy, type):
        params = {name: getattr(strategy, name) for name in kind.parameters()}
    plain = {name: _plain(value) for name, value in params.items()}
    return {"class": f"{_module(kind)}:{kind.__name__}", "name": kind.__name__, "params": plain}


def _module(kind: type[Strategy]) -> str:
    """Name where a class comes from; a script by its file, so that a session can be verified later."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    if kind.__module__ == "__main__" and file is not None and file.endswith(".py"):
        return str(Path(file).resolve())
    return kind.__module__


def _instance(strategy: type[Strategy] | Strategy, params: Mapping[str, Any]) -> Strategy:
    if not isinstance(strategy, type):
        if params:
            raise UsageError(
                "params are for a strategy class; an instance has its own",
                remedy=f"give the class: {type(strategy).__name__}, params={dict(params)!r}",
            )
        if was_in_run(strategy):
            raise UsageError(
                f"this instance of {type(strategy).__name__} was in a run before, and keeps what it saw there",
                remedy="make a new instance for each run, or give the class with params={..}",
            )
        check_types(type(strategy), {name: getattr(strategy, name) for name in type(strategy).parameters()})
        return strategy
    check_names(strategy, params)
    check_types(strategy, params)
    return make(strategy, params)


def _venues(
    instruments: Sequence[Mapping[str, Any]], fees: Mapping[str, Any] | None, latency: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    names = dict.fromkeys(str(entry.get("venue", "venue")) for entry in instruments)
    return [{"name": name, "fees": dict(fees or {}), "latency": dict(latency or {})} for name in names]


def _feed_entry(feed: FeedLike, options: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(feed, str | os.PathLike):
        return {"uri": os.fspath(feed), **options}
    from replay.feeds.memory import IN_MEMORY, is_memory_feed

    if is_memory_feed(feed):
        return {"uri": IN_MEMORY, **options}
    if not hasattr(feed, "uri"):
        raise UsageError(
            f"{type(feed).__name__} is no feed",
            remedy="give a path, a URI, a Feed, an array of records, a data frame, or an iterable of ticks",
        )
    return {"uri": str(feed.uri)}


def _feeds(feeds: Sequence[FeedLike], config: RunConfig) -> list[Feed] | None:
    """Make the feeds that a configuration cannot name; None where all of them are paths and URIs."""
    if all(isinstance(feed, str | os.PathLike) for feed in feeds):
        return None
    from replay.feeds.memory import is_memory_feed, memory_feed
    from replay.opening import open_feed

    made: list[Feed] = []
    for feed, spec in zip(feeds, config.feed, strict=True):
        if isinstance(feed, str | os.PathLike):
            made.append(open_feed(spec, config))
        elif is_memory_feed(feed):
            made.append(memory_feed(feed, spec, config))
        else:
            made.append(feed)
    return made


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Decimal) else value


def _path(value: str | Path | None) -> Path | None:
    if value is None:
        return None
    if not isinstance(value, str | os.PathLike):
        raise UsageError(f"{value!r} names no folder", remedy='write it as text or a Path, as in "runs/first"')
    return Path(value)
