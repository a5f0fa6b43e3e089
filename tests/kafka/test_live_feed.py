"""Live topics of frames: where a feed begins, which instruments it gives, and what warms a session up before it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kafka.topics import RUN_INSTRUMENTS, feed_of, publish_tape, save
from modes.market import market
from numpy.typing import NDArray
from support.broker import Broker

import replay.opening
from replay.adapters.registry import open_feed
from replay.config import load
from replay.config.sections import FeedSpec
from replay.events import EVENT, EventKind
from replay.feeds.feed import Batch, Feed
from replay.modes import paper_async
from replay.pipeline.journal import JournalReader
from replay.pipeline.stop import Stop
from replay.records import Kind

pytestmark = pytest.mark.kafka

HEAD, ROWS = 1_000, 2_500
RUN = """
[run]
warmup = "{warmup}"
[metrics]
port = 0
[account]
currency = "USDT"
leverage = "10"
cash = {{ USDT = "1000000" }}
[[strategy]]
class = "modes.market:Busy"
[[instrument]]
symbol = "BTCUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"
[[instrument]]
symbol = "ETHUSDT"
tick = "0.01"
lot = "0.001"
quote = "USDT"
[[feed]]
uri = "{uri}"
"""


@pytest.fixture
def whole(tmp_path: Path) -> NDArray[Any]:
    records = market(2 * ROWS)
    records["ts_event"] = records["ts_recv"]
    records = records[records["a"] > 0][:ROWS]  # what the sequencer refuses is not on a tape
    save(tmp_path / "head.npy", records[:HEAD])
    save(tmp_path / "m.npy", records)
    return records


async def taken(feed: Feed, count: int, cursor: bytes | None = None) -> list[Batch]:
    batches: list[Batch] = []
    async with asyncio.timeout(20), contextlib.aclosing(feed.batches_async(cursor)) as source:  # type: ignore[type-var]
        async for batch in source:
            batches.append(batch)
            if sum(len(one.records) for one in batches) >= count:
                break
    return batches


def records_of(batches: list[Batch]) -> NDArray[Any]:
    return np.concatenate([batch.records for batch in batches])


@pytest.mark.parametrize("partitions", [1, 2])
def test_from_latest_begins_behind_what_is_there_and_goes_on_after_every_cursor(
    broker: Broker, topic: str, tmp_path: Path, whole: NDArray[Any], partitions: int
) -> None:
    uri = broker.uri(broker.create_topic(f"{topic}-{partitions}", partitions=partitions))
    publish_tape(tmp_path / "head.npy", uri)
    for text in ("", "?from=latest"):
        feed = feed_of(uri + text)
        assert feed.live
        if not text:
            publish_tape(tmp_path / "m.npy", uri)
            first = asyncio.run(taken(feed, ROWS - HEAD))
            assert records_of(first).tobytes() == whole[HEAD:].tobytes()
            cut = next(batch for batch in first if len(batch.records))
            if len(cut.records) < ROWS - HEAD:
                rest = asyncio.run(taken(feed, ROWS - HEAD - len(cut.records), cut.cursor))
                assert records_of([cut, *rest]).tobytes() == whole[HEAD:].tobytes()
        else:
            with pytest.raises(TimeoutError):
                asyncio.run(asyncio.wait_for(taken(feed, 1), 1.5))


def test_from_an_offset_and_from_a_time_begin_there(
    broker: Broker, topic: str, tmp_path: Path, whole: NDArray[Any]
) -> None:
    publish_tape(tmp_path / "head.npy", broker.uri(topic))
    held = broker.end_offsets(topic)[0]
    publish_tape(tmp_path / "m.npy", broker.uri(topic))
    by_offset = asyncio.run(taken(feed_of(f"{broker.uri(topic)}?from={held}"), ROWS - HEAD))
    assert records_of(by_offset).tobytes() == whole[HEAD:].tobytes()
    time_ns = int(whole["ts_recv"][HEAD + 77])
    by_time = asyncio.run(taken(feed_of(f"{broker.uri(topic)}?from={time_ns}"), ROWS - HEAD - 77))
    assert records_of(by_time).tobytes() == whole[HEAD + 77 :].tobytes()


@pytest.mark.parametrize("partitions", [1, 2])
@pytest.mark.parametrize("start", ["latest", "offset", "time"])
def test_a_run_that_names_some_of_the_instruments_gets_those_wherever_it_begins(
    broker: Broker, topic: str, tmp_path: Path, whole: NDArray[Any], partitions: int, start: str
) -> None:
    name = broker.create_topic(f"{topic}-{partitions}", partitions=partitions)
    publish_tape(tmp_path / "head.npy", broker.uri(name))
    held = broker.end_offsets(name)
    texts = {
        "latest": "latest",
        "offset": ",".join(f"{partition}:{offset}" for partition, offset in held.items()),
        "time": str(int(whole["ts_recv"][HEAD])),
    }
    spec = FeedSpec(uri=f"{broker.uri(name)}?from={texts[start]}")
    feed = None if start == "time" else open_feed(spec, RUN_INSTRUMENTS[1:], Path())
    publish_tape(tmp_path / "m.npy", broker.uri(name))
    feed = feed or open_feed(spec, RUN_INSTRUMENTS[1:], Path())
    wanted = whole[HEAD:][whole["instrument"][HEAD:] == 1].copy()
    wanted["instrument"] = 0
    got = asyncio.run(taken(feed, len(wanted)))
    assert records_of(got).tobytes() == wanted.tobytes()
    assert feed.counters()["ignored_not_named"] >= ROWS - HEAD - len(wanted)
    cut = next(batch for batch in got if len(batch.records))
    if len(cut.records) < len(wanted):
        rest = asyncio.run(taken(feed, len(wanted) - len(cut.records), cut.cursor))
        assert records_of([cut, *rest]).tobytes() == wanted.tobytes()


# -- warm-up


def run_until(config: Any, folder: Path, rows: int, during: Any = None) -> None:
    """Run a session until it has so many ticks on its tape."""
    stop = Stop()

    def progress(done: int, _total: int | None, _time_ns: int | None) -> None:
        if done >= rows:
            stop.request()

    async def run() -> None:
        working = asyncio.create_task(paper_async(config, folder, stop=stop, progress=progress))
        if during is not None:
            await asyncio.sleep(0.5)
            await asyncio.to_thread(during)
        async with asyncio.timeout(30):
            await working

    asyncio.run(run())


def ticks_of(folder: Path) -> NDArray[Any]:
    records = np.concatenate([frame.records for frame in JournalReader(folder / "journal").frames()])
    return records[np.isin(records["kind"], (Kind.QUOTE, Kind.TRADE))]


@pytest.mark.parametrize("partitions", [1, 2])
def test_a_warmup_from_the_topic_ends_where_the_live_feed_begins(
    broker: Broker,
    topic: str,
    tmp_path: Path,
    whole: NDArray[Any],
    partitions: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = broker.uri(broker.create_topic(f"{topic}-{partitions}", partitions=partitions))
    publish_tape(tmp_path / "head.npy", uri)
    more = save(tmp_path / "more.npy", whole[: HEAD + 600])
    opening = replay.opening.open_warmup

    def open_later(*arguments: Any) -> Any:
        publishing = threading.Thread(target=publish_tape, args=(more, uri))
        publishing.start()
        publishing.join()  # the feed is open, and the warm-up not yet
        return opening(*arguments)

    monkeypatch.setattr(replay.opening, "open_warmup", open_later)
    run = tmp_path / "run.toml"
    run.write_text(
        RUN.format(warmup="0s", uri=uri) + f'[[warmup]]\nuri = "{uri}?from=earliest&to=latest"\n', encoding="utf-8"
    )
    run_until(load(run), tmp_path / "s", ROWS, during=lambda: publish_tape(tmp_path / "m.npy", uri))
    assert ticks_of(tmp_path / "s").tobytes() == whole.tobytes(), "each tick once, none left out"


def test_a_live_feed_that_begins_at_an_offset_before_the_start_warms_up_and_trades_later(
    broker: Broker, topic: str, tmp_path: Path, whole: NDArray[Any]
) -> None:
    publish_tape(tmp_path / "m.npy", broker.uri(topic))
    run = tmp_path / "run.toml"
    run.write_text(RUN.format(warmup="1ms", uri=f"{broker.uri(topic)}?from=1"))
    run_until(load(run), tmp_path / "s", ROWS)
    assert ticks_of(tmp_path / "s").tobytes() == whole.tobytes()
    events = np.frombuffer((tmp_path / "s" / "events" / "events.bin").read_bytes(), dtype=EVENT)
    assert (events["kind"] == EventKind.REJECTED).any()
    assert not (events["kind"] == EventKind.NEW).any(), "what lies before the start is for warming up only"
