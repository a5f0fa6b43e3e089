"""The worker: runs the sessions of those partitions of a topic that its group gives it, each in a folder of its own.

May not live here: how partitions are shared out (an adapter), and anything inside a session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from replay import logs
from replay.errors import ConfigError, NothingYet, SessionLocked
from replay.health import State
from replay.modes import PAPER_METRICS_PORT, paper_async
from replay.opening import Plan
from replay.pipeline.stop import Stop, stop_on_signals
from replay.serving import MetricsServer

if TYPE_CHECKING:
    from replay.config import FeedSpec, RunConfig
    from replay.health import Probed
    from replay.metrics import RunCollector
    from replay.result.result import Result

RETRY_S = 0.25
"""How often a shard is tried again that its last owner has not let go of, or that has no record yet."""

PLACE = "{partition}"
"""Stands in the URI of a sink for the number of the shard's partition."""

PARTITIONS = "partitions"
"""The option of the feed's URI that names the partitions to read."""


class Membership(Protocol):
    """One worker's place in a group."""

    def assignments(self) -> AsyncGenerator[frozenset[int], None]:
        """Give the partitions that are this worker's, each time they may have changed."""


@dataclass
class Shard:
    """One partition's session in this worker."""

    partition: int
    stop: Stop = field(default_factory=Stop)
    collector: RunCollector | None = None
    health: Probed | None = None
    task: asyncio.Task[None] | None = None
    result: Result | None = None
    error: Exception | None = None

    def joins(self, collector: RunCollector, health: Probed) -> None:
        """Take up the session's metrics and health."""
        self.collector, self.health = collector, health

    @property
    def state(self) -> str:
        """What its session is doing; `waiting` while the last owner holds it, or while it has no record yet."""
        if self.error is not None:
            return State.FAILED
        return "waiting" if self.health is None else self.health.state


class Worker:
    """Starts and stops the sessions of its partitions as the group says. The folder is shared by all workers.

    A session's lock keeps two workers out of one partition, whatever each believes: who comes second waits. A shard
    that fails stays failed here, with its error in the log, while the others go on; it is told at the end.
    """

    def __init__(
        self, config: RunConfig, group: str, folder: Path, *, stop: Stop | None = None, **options: Any
    ) -> None:
        """Take the run, the name of the group and the folder; `options` go to each session's journal.

        Raises ConfigError where the run has not exactly one feed, or its feed cannot be shared out.
        """
        if len(config.feed) != 1:
            raise ConfigError(
                f"the run has {len(config.feed)} feeds: a group shares out one topic",
                place="--group",
                remedy="name that topic as the only [[feed]]",
            )
        for index, sink in enumerate(config.sink):
            if PLACE not in sink.uri:
                raise ConfigError(
                    f"{sink.uri!r} is one topic, and each shard is a session that needs its own",
                    place=config.place("sink", index, "uri"),
                    remedy=f"write {PLACE} where the number of the partition is to stand: {sink.uri}-{PLACE}",
                )
        self.config = config
        self.group = group
        self.folder = folder
        self.stop = stop or Stop()
        self.shards: dict[int, Shard] = {}
        self.ended: list[Shard] = []
        """Shards that went to other workers, or were stopped."""
        self.port: int | None = None
        """The port that metrics are served on."""
        self._options = options
        self._membership = _membership(config.feed[0], config, group)
        self._log = logs.logger("worker")

    async def run(self) -> None:
        """Work until a stop is asked for; then every session ends in order and the worker leaves its group.

        Raises the error of the first shard that failed, once all have ended.
        """
        logs.configure(self.config.log.format, self.config.log.level)
        metrics = self.config.metrics
        port = PAPER_METRICS_PORT if metrics.port is None else metrics.port
        with stop_on_signals(self.stop):
            async with MetricsServer(WorkerCollector(self), WorkerHealth(self), host=metrics.host, port=port) as server:
                self.port = server.port
                self._log.info("worker started", group=self.group, folder=str(self.folder), metrics_port=server.port)
                try:
                    await self._work()
                finally:
                    await self._settle(frozenset())
                self._log.info("worker ended", group=self.group)
        for shard in self.ended:
            if shard.error is not None:
                raise shard.error

    async def _work(self) -> None:
        stopped = asyncio.ensure_future(self.stop.event(asyncio.get_running_loop()).wait())
        async with contextlib.aclosing(self._membership.assignments()) as assignments:
            try:
                while not self.stop.requested:
                    change = asyncio.ensure_future(anext(assignments))
                    await asyncio.wait({change, stopped}, return_when=asyncio.FIRST_COMPLETED)
                    if not change.done():
                        change.cancel()
                        await asyncio.gather(change, return_exceptions=True)
                        break
                    await self._settle(change.result())
                # Let go of every session before the group gives its partitions to others.
                await self._settle(frozenset())
            finally:
                stopped.cancel()

    async def _settle(self, mine: frozenset[int]) -> None:
        """Stop what is no longer this worker's, then start what is new."""
        lost = [shard for number, shard in self.shards.items() if number not in mine]
        for shard in lost:
            self._log.info("shard goes", partition=shard.partition)
            shard.stop.request()
        await asyncio.gather(*(shard.task for shard in lost if shard.task is not None))
        for shard in lost:
            self.ended.append(self.shards.pop(shard.partition))
        for number in sorted(mine - set(self.shards)):
            self._log.info("shard comes", partition=number)
            shard = self.shards[number] = Shard(number)
            shard.task = asyncio.create_task(self._run(shard))

    async def _run(self, shard: Shard) -> None:
        plan = Plan(self._config_of(shard.partition))
        folder = self.folder / f"shard-{shard.partition:04d}"
        is_told = False
        while not shard.stop.requested:
            try:
                # The folder is shared, and another machine may know it by another device: its lock is what counts.
                shard.result = await paper_async(plan, folder, stop=shard.stop, adopt=True, host=shard, **self._options)
            except (SessionLocked, NothingYet) as reason:
                if not is_told:  # for its last owner to let go, or for its first record
                    self._log.info("shard waits", partition=shard.partition, reason=reason.message)
                is_told = True
                await asyncio.sleep(RETRY_S)
                continue
            except Exception as error:  # noqa: BLE001 - told at the end; the other shards go on
                shard.error = error
                self._log.error("shard failed", partition=shard.partition, error=str(error))
            return

    def _config_of(self, partition: int) -> RunConfig:
        spec = self.config.feed[0]
        mark = "&" if "?" in spec.uri else "?"
        own = msgspec.structs.replace(spec, uri=f"{spec.uri}{mark}{PARTITIONS}={partition}")
        sinks = [
            msgspec.structs.replace(sink, uri=sink.uri.replace(PLACE, str(partition))) for sink in self.config.sink
        ]
        return msgspec.structs.replace(self.config, feed=[own], sink=sinks)


class WorkerCollector(Collector):
    """The metrics of all shards, each series with the label `shard`; and how many shards do what."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def describe(self) -> list[Metric]:
        """Say nothing in advance, so that registering does not read the engines."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Give every family once, with the series of all shards."""
        families: dict[str, Metric] = {}
        states: dict[str, int] = {}
        for number, shard in sorted(self._worker.shards.items()):
            states[shard.state] = states.get(shard.state, 0) + 1
            if shard.collector is None:
                continue
            for family in shard.collector.collect():
                known = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
                known.samples += [
                    sample._replace(labels={**sample.labels, "shard": str(number)}) for sample in family.samples
                ]
        yield from families.values()
        shards = GaugeMetricFamily("replay_worker_shards", "Shards of this worker by what they do.", labels=["state"])
        for state in (*State, "waiting"):
            shards.add_metric([state], states.get(state, 0))
        yield shards


class WorkerHealth:
    """Judges a worker for probes: ready when each of its shards is."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    @property
    def state(self) -> str:
        """What the worker is doing: the least of what its shards do."""
        states = {shard.state for shard in self._worker.shards.values()}
        for state in (State.FAILED, "waiting", State.STARTING, State.RECOVERING, State.STOPPED, State.PAUSED):
            if state in states:
                return str(state)
        return State.RUNNING

    @property
    def run(self) -> str:
        """Name of its group."""
        return self._worker.group

    def is_live(self) -> bool:
        """Say that the loop turns; a failed shard would fail anywhere else, too."""
        return True

    def not_ready(self) -> list[str]:
        """Give the reasons of every shard that is not ready."""
        reasons: list[str] = []
        for number, shard in sorted(self._worker.shards.items()):
            if shard.error is not None:
                reasons.append(f"shard {number}: failed: {shard.error}")
            elif shard.health is None:
                reasons.append(f"shard {number}: waits for its last owner, or for a record")
            else:
                reasons += [f"shard {number}: {reason}" for reason in shard.health.not_ready()]
        return reasons


def _membership(spec: FeedSpec, config: RunConfig, group: str) -> Membership:
    if spec.kafka is None:
        spec = msgspec.structs.replace(spec, kafka=config.kafka)
    found: Membership = import_module("replay.adapters.registry").open_group(spec, group)
    return found
