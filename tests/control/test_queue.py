"""The queue of commands: what goes through it is a record among the others, and durable before its receipt."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from modes.market import SETTINGS, Busy, CutFeed, ScriptedFeed, market

import replay
from replay.config import from_mapping
from replay.control import open_topic
from replay.errors import ControlError
from replay.modes import paper_async, play_async
from replay.pipeline.commands import CommandCause, CommandQueue, OperatorCommand, command_record
from replay.pipeline.journal import JournalReader

WHOLE = market(3_000, 9)
TAPE = WHOLE[WHOLE["a"] > 0]


def _plan(feed: Any) -> Any:
    from replay.api import plan

    return plan(Busy, feed, metrics={"port": 0}, **SETTINGS)


async def test_a_played_tape_with_a_command_is_that_tape_with_its_record() -> None:
    queue = CommandQueue()
    receipt = queue.submit(OperatorCommand.PAUSE)
    assert len(queue) == 1
    result = await play_async(_plan(CutFeed(TAPE, (100,))), speed="max", commands=queue)
    seq = receipt.result(timeout=0).seq
    assert seq is not None
    assert 0 < seq < len(TAPE)
    record = command_record(OperatorCommand.PAUSE, CommandCause.OPERATOR, int(TAPE["ts_recv"][:seq].max()))
    with_command = np.concatenate([TAPE[:seq], record, TAPE[seq:]])
    again = replay.backtest(Busy, CutFeed(with_command, (77,)), **SETTINGS)
    assert again.digest == result.digest
    assert again.digest != replay.backtest(Busy, CutFeed(TAPE, (77,)), **SETTINGS).digest


async def test_a_receipt_comes_when_its_frame_is_durable_within_milliseconds_on_an_idle_feed(
    tmp_path: Path,
) -> None:
    queue = CommandQueue()
    feed = ScriptedFeed(TAPE[:2], [0.0, 60.0])
    running = asyncio.create_task(paper_async(_plan(feed), tmp_path / "s", commands=queue))
    waits_s: list[float] = []
    for number in range(20):
        started_s = time.perf_counter()
        command = OperatorCommand.RESUME if number % 2 else OperatorCommand.PAUSE
        receipt = await asyncio.wrap_future(queue.submit(command))
        waits_s.append(time.perf_counter() - started_s)
        kept = list(JournalReader(tmp_path / "s" / "journal").frames())
        assert receipt.seq is not None
        assert receipt.seq < kept[-1].limit_seq, "its frame is in the journal by then"
    await asyncio.wrap_future(queue.submit(OperatorCommand.STOP))
    result = await running
    assert result.interrupted is False
    print(f"from submit to durable: best {min(waits_s) * 1e3:.2f} ms, median {sorted(waits_s)[10] * 1e3:.2f} ms")
    assert min(waits_s) < 0.01
    with pytest.raises(ControlError, match="has ended"):
        queue.submit(OperatorCommand.PAUSE).result(timeout=0)


async def test_before_the_first_record_a_stop_needs_none_and_other_commands_wait(tmp_path: Path) -> None:
    queue = CommandQueue()
    feed = ScriptedFeed(TAPE[:1], [60.0])
    feed.receive_time = "keep"
    running = asyncio.create_task(paper_async(_plan(feed), tmp_path / "s", commands=queue))
    waiting = queue.submit(OperatorCommand.PAUSE)
    await asyncio.sleep(0.5)
    assert not waiting.done()
    queue.end("enough")  # as a run that ends does
    with pytest.raises(ControlError, match="enough"):
        waiting.result(timeout=0)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    queue = CommandQueue()
    running = asyncio.create_task(paper_async(_plan(feed), tmp_path / "s", commands=queue))
    receipt = await asyncio.wrap_future(queue.submit(OperatorCommand.STOP))
    assert receipt.seq is None
    assert (await running).interrupted is False


def test_a_queue_that_is_full_refuses() -> None:
    queue = CommandQueue()
    for _ in range(10_000):
        queue.submit(OperatorCommand.PAUSE)
    with pytest.raises(ControlError, match="10,000 commands wait"):
        queue.submit(OperatorCommand.PAUSE).result(timeout=0)


def test_files_of_the_control_topics_brokers_are_relative_to_the_run_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr("replay.adapters.registry.open_control", lambda _uri, kafka: seen.append(kafka))
    config = from_mapping(
        {
            "strategy": [{"class": "a.py:A", "name": "a"}],
            "feed": [{"uri": "sim:"}],
            "instrument": [{"symbol": "X", "tick": "1", "lot": "1", "quote": "USD"}],
            "account": {"currency": "USD", "cash": {"USD": "1"}},
            "control": {"topic": "kafka://localhost:9092/commands"},
            "kafka": {"security": "ssl", "ca_file": "certificates/ca.pem"},
        },
        base_dir=tmp_path,
    )
    open_topic(config)
    assert seen[0].ca_file == str(tmp_path / "certificates" / "ca.pem")
