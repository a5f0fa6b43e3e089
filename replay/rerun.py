"""Looking back: the journal of a session as a run of its own, the tape of a run again, any record of it by its number.

May not live here: comparing runs (verify), and writing into a session.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from replay.config import RunConfig
from replay.errors import HaltError, StrategyError, UsageError
from replay.feeds.deadletters import DeadLetterWriter
from replay.feeds.merge import merge
from replay.opening import engine_classes, open_feed, open_warmup, trading_start
from replay.pipeline.journal import JournalReader
from replay.pipeline.outbox import Outbox
from replay.pipeline.pipeline import Pipeline, Window
from replay.pipeline.sinks import EventLog
from replay.records import as_bytes, from_bytes
from replay.result.eventtext import Names
from replay.result.tape import TapeAgain
from replay.session import SETUP_FILE, JournalFeed, stored_config
from replay.setup import build, load_strategies

if TYPE_CHECKING:
    from replay.feeds.feed import Feed


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
    """Read the feeds of a run again up to the record with a tape seq; None where they end before, or are live."""
    try:
        tape = tape_of_run(config)
    except LiveAgain:
        return None
    first_seq = 0
    for rows in tape.pieces:
        if tape_seq < first_seq + len(rows):
            return rows[tape_seq - first_seq]
        first_seq += len(rows)
    return None


class LiveAgain(UsageError):
    """The feeds of a run were live: nobody can read them a second time."""


def tape_of_run(config: RunConfig, feeds: Sequence[Feed] | None = None) -> TapeAgain:
    """Open the feeds of a run again, with its warm-up and its window; `feeds` stand for those of the configuration.

    Raises LiveAgain for live feeds, and what opening them raises: ConfigError where a file has gone.
    """
    _, sequencer_class = engine_classes()
    opened = list(feeds) if feeds is not None else [open_feed(spec, config) for spec in config.feed]
    live = [feed for feed in opened if feed.live]
    if live:
        raise LiveAgain(f"the feed {live[0].uri} is live: it cannot be read again")
    merged = merge(opened)
    trading_start_ns = trading_start(config, merged, None)
    warmup = open_warmup(config, merged.header, trading_start_ns)
    setup = build(config, [feed.header for feed in opened], trading_start_ns=trading_start_ns)
    sequencer = sequencer_class(setup)
    window = Window(config.run.first_ns, config.run.limit_ns)
    before = () if warmup is None else warmup.batches()
    batches = itertools.chain(
        (batch.records for batch in before), (window.cut(batch.records) for batch in merged.batches())
    )
    return TapeAgain(setup, (from_bytes(sequencer.admit(as_bytes(records).data)[0]) for records in batches))


def tape_of_session(folder: Path) -> TapeAgain:
    """Read the journal of a session again: the records that it took, as they are on its tape."""
    frames = JournalReader(folder / "journal").frames()
    return TapeAgain((folder / SETUP_FILE).read_bytes(), (frame.records for frame in frames if len(frame.records)))
