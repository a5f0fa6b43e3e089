"""Looking back: the journal of a session as a run of its own, and any record of a tape by its number.

May not live here: comparing runs (verify), and writing into a session.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path
from typing import Any

from replay.config import RunConfig
from replay.errors import HaltError, StrategyError
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.merge import merge
from replay.opening import engine_classes, open_feed, open_warmup, trading_start
from replay.pipeline.journal import JournalReader
from replay.pipeline.outbox import Outbox
from replay.pipeline.pipeline import Pipeline, Window
from replay.pipeline.sinks import EventLog
from replay.records import as_bytes, from_bytes
from replay.result.eventtext import Names
from replay.session import SETUP_FILE, JournalFeed, stored_config
from replay.setup import build, load_strategies


def rerun_session(folder: Path, events: Path) -> Names:
    """Run the journal of a session as a backtest and write its event log to `events`.

    Where the session ended because its strategy raised, so does this; what was decided until then is there to compare.
    """
    engine_class, sequencer_class = engine_classes()
    config = stored_config(folder)
    setup = (folder / SETUP_FILE).read_bytes()
    engine = engine_class(setup, load_strategies(config))
    feed = JournalFeed(folder / "journal")
    outbox = Outbox([EventLog(events)])
    pipeline = Pipeline(
        feed=feed, sequencer=sequencer_class(setup), engine=engine, outbox=outbox, dead_letters=DeadLetterWriter(None)
    )
    pipeline.ends_on_stop = False  # what came after it is on the tape, too
    try:
        with contextlib.suppress(StrategyError, HaltError):
            pipeline.run()
    finally:
        outbox.close()
    return Names.of_setup(setup, engine.ledger_scales())


def record_of_session(folder: Path, tape_seq: int) -> Any:
    """Find a record in a session's journal by its tape seq; None where it is not there."""
    for frame in JournalReader(folder / "journal").frames():
        if frame.first_seq <= tape_seq < frame.limit_seq:
            return frame.records[tape_seq - frame.first_seq]
    return None


def record_of_run(config: RunConfig, tape_seq: int) -> Any:
    """Read the feeds of a run again up to the record with a tape seq; None where they end before."""
    _, sequencer_class = engine_classes()
    feeds = [open_feed(spec, config) for spec in config.feed]
    if any(feed.live for feed in feeds):
        return None
    merged = merge(feeds)
    trading_start_ns = trading_start(config, merged, None)
    warmup = open_warmup(config, merged.header, trading_start_ns)
    sequencer = sequencer_class(build(config, [feed.header for feed in feeds], trading_start_ns=trading_start_ns))
    window = Window(config.run.first_ns, config.run.limit_ns)
    first_seq = 0
    before = () if warmup is None else warmup.batches()
    for records in itertools.chain(
        (batch.records for batch in before), (window.cut(batch.records) for batch in merged.batches())
    ):
        admitted, _ = sequencer.admit(as_bytes(records).data)
        rows = from_bytes(admitted)
        if tape_seq < first_seq + len(rows):
            return rows[tape_seq - first_seq]
        first_seq += len(rows)
    return None
