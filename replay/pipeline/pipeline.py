"""The pipeline: feed → sequencer → journal → engine → outbox → sinks, one step and the two loops that drive it.

May not live here: the names of modes. It gets a feed, a pacer, perhaps a journal, and sinks, and treats all alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay import records
from replay.errors import HaltError, JournalError
from replay.measures import Measured
from replay.pipeline.beats import ClockBeats
from replay.pipeline.commands import CommandQueue, OperatorCommand, Receipt, Request, command_record
from replay.pipeline.histogram import BATCH_SECONDS, Histogram
from replay.pipeline.journal import Frame, Journal
from replay.pipeline.outbox import Outbox
from replay.pipeline.pacing import SLICE_ROWS, Pacer
from replay.pipeline.risk import COMMAND_OF_ACTION, RiskSwitches
from replay.pipeline.stop import Stop
from replay.pipeline.unobserved import Unobserved
from replay.records import RECORD_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replay._engine import Engine, Sequencer
    from replay.feeds.feed import Batch, DeadLetter, Feed
    from replay.feeds.warmup import Warmup

PENDING_BYTES_MAX = 32 << 20
"""How much of the journal may wait for a commit before the feed has to wait, too."""

INBOX_ROWS_MAX = 65_536
"""How many records of a live feed may wait; then the feed has to wait, too."""

WARMUP_DONE = b'"done"'
"""The cursor of a warm-up that is over."""

FULL_SECONDS = 0.02
"""How often the run looks whether a full sink has room again."""

FLUSH_EVERY_NS = 1_000_000_000

OBSERVED_ROWS = 32_768
"""How much of the tape is shown to the observer at once, where batches are smaller."""

ProgressCall = Callable[[int, int | None, int | None], None]
"""Called with records done, records in all (None: unknown) and tape time, now and then."""


class Observer(Protocol):
    """Looks at the tape as it goes by (the result's marks); never changes it."""

    def add_records(self, admitted: NDArray[Any]) -> None:
        """Look at admitted records."""

    def flush(self) -> None:
        """Bring what was seen to where others can read it."""


class DeadLetterBox(Protocol):
    """Takes what never reaches the tape, with its reason; counts it."""

    def add(self, letter: DeadLetter) -> None:
        """Keep one dead letter."""

    def quarantine(self, reason: str, record: NDArray[Any], row: int) -> None:
        """Keep a record that the sequencer did not admit."""

    def commit(self) -> None:
        """Make everything durable."""

    @property
    def size_bytes(self) -> int:
        """Length of the file so far; 0 without one."""


class SnapshotTaker(Protocol):
    """Takes snapshots of a session while it runs."""

    def poll(self) -> None:
        """Take or write one if it is time: all that was admitted has been run."""

    def take_last(self) -> None:
        """Take one before the run ends in order."""

    def write_last(self) -> None:
        """Write it: the journal is durable."""

    def close(self) -> None:
        """Let go of what was not written."""


class Window(NamedTuple):
    """The part of the tape that is taken, by receive time: first_ns..limit_ns; None: no bound."""

    first_ns: int | None = None
    limit_ns: int | None = None

    def cut(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Leave out the records outside."""
        if (self.first_ns is None and self.limit_ns is None) or not len(batch):
            return batch
        times_ns = batch["ts_recv"]
        lowest, highest = int(times_ns.min()), int(times_ns.max())
        if (self.first_ns is None or lowest >= self.first_ns) and (self.limit_ns is None or highest < self.limit_ns):
            return batch
        inside = np.ones(len(batch), dtype=np.bool_)
        if self.first_ns is not None:
            inside &= times_ns >= self.first_ns
        if self.limit_ns is not None:
            inside &= times_ns < self.limit_ns
        return batch[inside]

    def is_past(self, batch: NDArray[Any]) -> bool:
        """Say whether a whole batch lies after the window: no later one can lie inside."""
        return self.limit_ns is not None and len(batch) > 0 and int(batch["ts_recv"].min()) >= self.limit_ns


class FrameCursor(msgspec.Struct, frozen=True):
    """The cursor of a journal frame: where the feed goes on, and how long the dead letters were then."""

    feed: msgspec.Raw = msgspec.Raw(b"null")
    dead_letters: int = 0
    skip: int = 0
    """Records after `feed` that are on the tape already: those before a row that halted the run."""
    warmup: msgspec.Raw = msgspec.Raw(b"null")
    """Where the warm-up goes on; `skip` counts from there until it is over."""
    control: msgspec.Raw = msgspec.Raw(b"null")
    """Where the topic of commands goes on."""


@dataclass(slots=True)
class PipelineCounters:
    """What metrics and results read of the shell's own work."""

    batches: int = 0
    taken: int = 0
    """Records from the feed, inside the window."""
    outside: int = 0
    """Records left out by `from` and `until`."""
    recovered: int = 0
    """Records run again from the journal at the start."""
    beats: int = 0
    commands: int = 0
    """Commands put on the tape."""
    last_wall_ns: int = 0
    """Wall clock when the last batch came in."""
    batch_seconds: Histogram = field(default_factory=lambda: Histogram(BATCH_SECONDS))


class Pipeline:
    """One run of a strategy over a feed. Built by replay.modes; run once."""

    def __init__(
        self,
        *,
        feed: Feed,
        sequencer: Sequencer,
        engine: Engine,
        outbox: Outbox,
        dead_letters: DeadLetterBox,
        pacer: Pacer | None = None,
        journal: Journal | None = None,
        observer: Observer | None = None,
        window: Window | None = None,
        beats: ClockBeats | None = None,
        cursor: bytes | None = None,
        skip: int = 0,
        warmup: Warmup | None = None,
        stop: Stop | None = None,
        progress: ProgressCall | None = None,
        total: int | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        commands: CommandQueue | None = None,
        risk: RiskSwitches | None = None,
    ) -> None:
        self.feed = feed
        self.sequencer = sequencer
        self.engine = engine
        self.outbox = outbox
        self.dead_letters = dead_letters
        self.pacer = pacer
        self.journal = journal
        self.observer = observer
        self.window = window or Window()
        self.beats = beats
        self.cursor = cursor
        self.skip = skip
        self.warmup = warmup
        self.warmup_cursor: bytes | None = None
        """Where the warm-up goes on; None before its first batch, and where there is none."""
        self.stop = stop or Stop()
        self.counters = PipelineCounters()
        self.extra_measured: list[Measured] = []
        """What else has measures: whoever joins a run (risk, control, snapshots) appends itself."""
        self.is_recovering = False
        """While a journal is run again, the sinks see nothing: whoever runs it releases what its digests prove."""
        self.is_interrupted = False
        """Whether the run ended before its feed did."""
        self.commands = commands or CommandQueue()
        self.control_cursor: bytes | None = None
        """Where the topic of commands goes on."""
        self.risk = risk
        self.ends_on_stop = True
        """Whether a stop on the tape ends the run; a re-run of a journal goes on to what came after it."""
        self.stopped_by: str | None = None
        """Who stopped the run by a command: the operator, or a risk switch."""
        self.snapshots: SnapshotTaker | None = None
        self.tape_first: Iterable[Frame] = ()
        """Frames of another session's journal that are taken before the feed."""
        self._progress = progress
        self._total = total
        self._wall_ns = wall_ns
        self._arrived_ns = 0
        """When the batch under way came in, or was due, by time.perf_counter_ns; 0: no latency is measured."""
        self._halt: HaltError | None = None
        self._skip_left = 0
        self.dead_letter_bytes = 0
        """How long the dead letters were at the end of a journal that was run again."""
        self._journaled_cursor: bytes | None = None
        self._flush_at_ns = 0
        self._unobserved = Unobserved()
        self._source_ended = False
        self._is_warming = False

    @property
    def is_paused(self) -> bool:
        """Whether new orders of strategies are refused, by an operator or a risk switch."""
        return self.engine.trading_state == "paused"

    # -- the step that both loops share

    def admit(self, batch: NDArray[Any], dead: Sequence[DeadLetter], cursor: bytes | None) -> NDArray[np.uint8]:
        """Let the sequencer decide what of a batch is on the tape, journal that, and give its bytes to run."""
        admitted: Any = b""
        quarantined: list[tuple[int, str]] = []
        try:
            if len(batch):
                admitted, quarantined = self.sequencer.admit(records.as_bytes(batch).data)
        except HaltError as halt:
            # What came before the row that halts is on the tape, or the run would depend on the batch size.
            self._halt = halt
            admitted, quarantined = getattr(halt, "admitted", b""), getattr(halt, "quarantined", [])
            self.skip += getattr(halt, "row", 0)
        else:
            if cursor is not None:
                self.skip = self._skip_left
                if self._is_warming:
                    self.warmup_cursor = cursor
                else:
                    self.cursor = cursor
            for letter in dead:
                self.dead_letters.add(letter)
        for row, reason in quarantined:
            self.dead_letters.quarantine(reason, batch[row : row + 1], row)
        array = np.frombuffer(admitted, dtype=np.uint8)
        if self.journal is not None:
            self.dead_letters.commit()  # before the frame that knows of them: a power cut may keep that one first
            frame_cursor = self.frame_cursor()
            if len(array) or frame_cursor != self._journaled_cursor:
                self.journal.append(self.engine.seq, array, frame_cursor, self.engine.digest())
                self._journaled_cursor = frame_cursor
        return array

    def run_rows(self, admitted: NDArray[np.uint8], first: int = 0, limit: int | None = None) -> None:
        """Run admitted records, or first..limit of them, through the engine; what it decided waits in the outbox."""
        limit = len(admitted) // RECORD_BYTES if limit is None else limit
        started_ns = time.perf_counter_ns()
        try:
            self.engine.run(admitted.data[first * RECORD_BYTES : limit * RECORD_BYTES])
        finally:
            self.collect()
            self.counters.batches += 1
            self.counters.batch_seconds.observe((time.perf_counter_ns() - started_ns) / 1e9)
            self._look_at_trading()
        if self.observer is not None:
            self._unobserved.add(admitted, first, limit)
            if self._unobserved.rows >= OBSERVED_ROWS:
                self.observe()

    def observe(self) -> None:
        """Show the observer what went by since the last time: many small batches as one."""
        if self.observer is not None and self._unobserved.rows:
            for piece in self._unobserved.take():
                self.observer.add_records(piece)

    def collect(self) -> None:
        """Take what the engine decided; without a journal the sinks see it at once."""
        position = 0 if self.journal is None else self.journal.appended
        self.outbox.collect(self.engine.take_events(), self.engine.take_equity(), position, self._arrived_ns)
        if self.journal is None and not self.is_recovering:
            self.outbox.release(0)

    def frame_cursor(self) -> bytes:
        """Describe where to go on after what was admitted so far."""
        feed = msgspec.Raw(self.cursor if self.cursor is not None else b"null")
        warmup = msgspec.Raw(self.warmup_cursor if self.warmup_cursor is not None else b"null")
        control = msgspec.Raw(self.control_cursor if self.control_cursor is not None else b"null")
        return msgspec.json.encode(FrameCursor(feed, self.dead_letters.size_bytes, self.skip, warmup, control))

    def go_on_from(self, cursor: FrameCursor) -> None:
        """Take up the feed where a journal ended."""
        feed = bytes(cursor.feed)
        self.cursor = None if feed == b"null" else feed
        warmup = bytes(cursor.warmup)
        self.warmup_cursor = None if warmup == b"null" else warmup
        control = bytes(cursor.control)
        self.control_cursor = None if control == b"null" else control
        self.skip = cursor.skip
        self.dead_letter_bytes = cursor.dead_letters

    def raise_halt(self) -> None:
        """Raise the halt that a batch ended with, once what came before it has been run."""
        if self._halt is not None:
            raise self._halt

    def take_frame(self, frame: Frame) -> None:
        """Take a frame of another session's journal as if its feed had given it: journaled, run, with its cursor."""
        self.go_on_from(msgspec.json.decode(frame.cursor, type=FrameCursor))
        admitted = self.admit(frame.records, [], None)
        if len(admitted):
            self.run_rows(admitted)
        self.raise_halt()

    def run_frame(self, frame: Frame) -> None:
        """Run a frame of the journal again: the same records, the same decisions."""
        data = records.as_bytes(frame.records)
        if not len(data):
            return
        admitted, quarantined = self.sequencer.admit(data.data)
        if quarantined or memoryview(admitted).nbytes != len(data):
            raise JournalError(
                f"the sequencer no longer admits records that the frame at byte {frame.offset} holds",
                place=str(frame.path),
                remedy="start the session with the version of replay that wrote it",
            )
        self.run_rows(data)
        self.counters.recovered += len(data) // RECORD_BYTES

    # -- loops

    def run(self) -> None:
        """Run a stored feed to its end, or until a stop is asked for. Needs no event loop."""
        with self._ending():
            for batch in self._warmup_batches():
                self._run_batch(batch)
            for batch in self.feed.batches(self.cursor):
                if self.stop.requested:
                    return
                if self._ends_before(batch):
                    break
                self._run_batch(batch)
            self._source_ended = True

    def _run_batch(self, batch: Batch) -> None:
        admitted = self._take(batch)
        if len(admitted):
            self.run_rows(admitted)
        self.raise_halt()
        if self.journal is not None and self.journal.commit_due():
            self.outbox.release(self.journal.commit())
        self._report()

    def _warmup_batches(self) -> Iterator[Batch]:
        """Give what comes before the feed; while it does, cursors are those of the warm-up."""
        if self.warmup is None or self.warmup_cursor == WARMUP_DONE:
            return
        self._is_warming = True
        for batch in self.warmup.batches(self.warmup_cursor):
            if self.stop.requested:
                return
            yield batch
        self._is_warming = False
        self.counters.outside += self.warmup.outside
        self.warmup_cursor, self.skip = WARMUP_DONE, 0

    async def run_async(self) -> None:
        """Run any feed on the event loop: paced, with commits beside it, and with clock beats where the feed stamps."""
        with self._ending():
            if self.risk is not None:
                self.risk.begin()
            async with _Committer(self) as committer:
                await self._run_tape(committer)
                for batch in self._warmup_batches():
                    await self._pace(self._take(batch), committer)
                    await asyncio.sleep(0)
                if self.feed.live:
                    await self._run_live(committer)
                else:
                    await self._run_stored(committer)

    async def _run_tape(self, committer: _Committer) -> None:
        for frame in self.tape_first:
            if self.stop.requested:
                return
            self.take_frame(frame)
            await committer.poll()
            self._poll_snapshots()
            self._report()
            await asyncio.sleep(0)

    async def _run_stored(self, committer: _Committer) -> None:
        for batch in self.feed.batches(self.cursor):
            if self._ends_before(batch):
                break
            if not self.stop.requested:
                self._watch()
                self._obey()
                await self._pace(self._take(batch), committer)
                self._poll_snapshots()
                await asyncio.sleep(0)
            if self.stop.requested:
                return
        self._source_ended = True

    async def _run_live(self, committer: _Committer) -> None:
        async with _Inbox(self.feed.batches_async(self.cursor), self.stop) as inbox:
            self.commands.bind(asyncio.get_running_loop(), inbox.ready)
            committer.on_commit = inbox.ready.set
            while not self.stop.requested:
                await inbox.wait(self._idle_seconds(is_committing=committer.is_committing))
                batch = inbox.take()
                self._obey()
                if batch is not None:
                    if self.risk is not None and len(batch.records):
                        self.risk.heard()
                    if self._ends_before(batch):
                        break
                    if self.beats is not None:
                        self.beats.heard(batch.records, self._wall_ns())
                    await self._pace(self._take(batch, inbox.arrived_ns), committer)
                elif inbox.has_ended:
                    break
                self._beat()
                self._watch()
                await committer.poll()
                self._poll_snapshots()
                self._report()
            self._source_ended = not self.stop.requested

    async def _pace(self, admitted: NDArray[np.uint8], committer: _Committer) -> None:
        rows = len(admitted) // RECORD_BYTES
        done = 0
        pacer = None if self._is_warming else self.pacer
        if rows and pacer is not None:
            times_ns = np.ascontiguousarray(records.from_bytes(admitted)["ts_recv"])
            async with contextlib.aclosing(pacer.slices(times_ns)) as slices:
                async for first, limit in slices:
                    assert first == done, "a pacer gives every row, in order"
                    self._arrived_ns = time.perf_counter_ns()  # its time has come now, however long it was here
                    await self._run_slice(admitted, first, limit, committer)
                    done = limit
                    if self.stop.requested:
                        break
        while done < rows and (pacer is None or self.journal is not None):
            # Flat out; also what a stop left over: a frame of the journal is run whole.
            limit = min(done + SLICE_ROWS, rows)
            await self._run_slice(admitted, done, limit, committer)
            done = limit
            if done < rows:
                await asyncio.sleep(0)
        self.raise_halt()

    async def _run_slice(self, admitted: NDArray[np.uint8], first: int, limit: int, committer: _Committer) -> None:
        self.run_rows(admitted, first, limit)
        if self.journal is None:
            self._obey()  # with a journal the rest of the batch is on the tape already, before any command
        await committer.poll()
        self._report()

    def _take(self, batch: Batch, arrived_ns: int = 0) -> NDArray[np.uint8]:
        inside = batch.records if self._is_warming else self.window.cut(batch.records)
        self._skip_left = max(0, self.skip - len(inside))
        inside = inside[self.skip :]
        self.counters.taken += len(inside)
        self.counters.outside += len(batch.records) - len(inside)
        self.counters.last_wall_ns = self._wall_ns()
        self._arrived_ns = arrived_ns or time.perf_counter_ns()
        return self.admit(inside, batch.dead, batch.cursor)

    def _ends_before(self, batch: Batch) -> bool:
        return self.window.is_past(batch.records)

    def _poll_snapshots(self) -> None:
        if self.snapshots is not None:
            self.snapshots.poll()

    def _beat(self) -> None:
        """Put the Clock records on the tape that are due."""
        if self.beats is None:
            return
        made = self.beats.due(self._wall_ns(), self.engine.next_timer_ns())
        if made is not None:
            self.counters.beats += len(made)
            self._arrived_ns = time.perf_counter_ns()
            admitted = self.admit(made, [], None)
            if len(admitted):
                self.run_rows(admitted)

    # -- commands

    def _obey(self) -> None:
        """Put the commands that wait on the tape, each as a record of its own."""
        requests = self.commands.take()
        for place, request in enumerate(requests):
            if request.command is not None and not self._has_time():
                if request.command is not OperatorCommand.STOP:
                    self.commands.put_back(requests[place:])  # a command has no time before the first record has one
                    return
                self._end_by("operator")
                self.commands.taken(0, request, Receipt(None, self.engine.trading_state))
                continue
            self._carry_out(request)
        if self.journal is None:
            self.commands.settle(0)

    def _has_time(self) -> bool:
        return self.beats is not None or self.engine.seq > 0

    def _carry_out(self, request: Request) -> None:
        letters = [] if request.letter is None else [request.letter]
        if request.cursor is not None:
            self.control_cursor = request.cursor
        made = records.empty(0)
        if request.command is not None:
            now_ns = self.engine.now_ns if self.engine.seq else self._wall_ns()
            # As beats are stamped where the feed stamps; elsewhere the tape's own time, which nothing goes back from.
            time_ns = now_ns if self.beats is None else max(now_ns, self._wall_ns())
            made = command_record(request.command, request.cause, time_ns)
        admitted = self.admit(made, letters, None)
        seq = self.engine.seq if len(admitted) else None
        if len(admitted):
            self.counters.commands += 1
            self.run_rows(admitted)
        position = 0 if self.journal is None else self.journal.appended
        self.commands.taken(position, request, Receipt(seq, self.engine.trading_state))

    def _watch(self) -> None:
        """Let the risk switches look at clocks, feed and disk; what they want done becomes a command."""
        if self.risk is None:
            return
        for trip in self.risk.look():
            command = COMMAND_OF_ACTION.get(trip.action)
            if command is not None:
                self.commands.submit(command, trip.cause)

    def _look_at_trading(self) -> None:
        """See what the records have made of trading: a stop ends the run, a switch that tripped is told."""
        if self.is_recovering:
            return
        if self.risk is not None:
            self.risk.look_at_engine(self.engine.trips, self.engine.trading_state, self.engine.trading)
        if self.ends_on_stop and self.stopped_by is None and self.engine.trading_state == "stopped":
            self._end_by(str(self.engine.trading()["cause"]))

    def _end_by(self, cause: str) -> None:
        self.stopped_by = cause
        self.stop.request()

    def _idle_seconds(self, *, is_committing: bool) -> float | None:
        """Say how long the live loop may sleep when no records come; the end of a commit wakes it."""
        waits: list[float] = []
        if self.beats is not None:
            wall_ns = self._wall_ns()
            waits.append((self.beats.next_ns(wall_ns, self.engine.next_timer_ns()) - wall_ns) / 1e9)
        commit_ns = None if self.journal is None or is_committing else self.journal.next_commit_ns()
        if commit_ns is not None:
            waits.append(commit_ns / 1e9)
        look_s = None if self.risk is None else self.risk.next_seconds()
        if look_s is not None:
            waits.append(look_s)
        return max(0.0, min(waits)) if waits else None

    def _report(self) -> None:
        now_ns = time.monotonic_ns()
        if self.observer is not None and self.journal is not None and now_ns >= self._flush_at_ns:
            self.observe()
            self._flush_at_ns = now_ns + FLUSH_EVERY_NS
            self.observer.flush()
        if self._progress is not None:
            self._progress(self.engine.seq, self._total, self.engine.now_ns if self.engine.seq else None)

    # -- the end

    @contextlib.contextmanager
    def _ending(self) -> Iterator[None]:
        """End in order, whatever happens: what was decided is journaled, durable and shown, then errors go on."""
        try:
            yield
            self.is_interrupted = not self._source_ended and self.stopped_by is None
            if self.snapshots is not None:
                self.snapshots.take_last()
            self.engine.finish()
            self.collect()
        except JournalError:
            self._keep_durable()
            raise
        except BaseException:
            self.is_interrupted = True
            self._commit_last(closes=False)
            if self.snapshots is not None:
                self.snapshots.write_last()  # one that was taken before stands on what is durable now
            raise
        else:
            self._commit_last(closes=True)
            if self.snapshots is not None:
                self.snapshots.write_last()
        finally:
            self._close_snapshots()
            self.commands.settle(0 if self.journal is None else self.journal.durable)
            self.commands.end("the run has ended")

    def _close_snapshots(self) -> None:
        if self.snapshots is not None:
            self.snapshots.close()

    def _commit_last(self, *, closes: bool) -> None:
        self.observe()
        if self.journal is None:
            self.outbox.release(0)
            return
        if closes:
            self.journal.close(self.frame_cursor(), self.engine.digest())
        else:
            self.journal.commit()
            self.journal.abandon()
        self.outbox.release(self.journal.durable)

    def _keep_durable(self) -> None:
        """After an error of the disk: show what is durable by now, and let go."""
        if self.journal is not None:
            self.journal.abandon()
            with contextlib.suppress(JournalError):  # the first error is the one to tell
                self.outbox.release(self.journal.durable)


class _Committer:
    """Commits the journal on a thread of its own, so that records go on being taken while the disk works."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._journal = pipeline.journal
        self._running: asyncio.Future[int] | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._error: Exception | None = None
        self.on_commit: Callable[[], object] = lambda: None
        """Called when a commit has ended: the loop that sleeps meanwhile has to ask anew how long it may."""

    @property
    def is_committing(self) -> bool:
        """Whether the disk is at work."""
        return self._running is not None

    async def __aenter__(self) -> Self:
        if self._journal is not None:
            self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="replay-commit")
        return self

    async def poll(self) -> None:
        """Show what has become durable, start the next commit if one is due, wait where too much is pending."""
        self._commit()
        journal = self._journal
        is_much = journal is not None and journal.appended - journal.durable > PENDING_BYTES_MAX
        if is_much and self._running is not None:
            await asyncio.wait({self._running})
            self._finish()
        outbox = self._pipeline.outbox
        while outbox.is_full and not self._pipeline.stop.requested:
            await outbox.wait(FULL_SECONDS)  # a full sink: nothing more is decided, and what was becomes durable
            self._commit()

    def _commit(self) -> None:
        journal = self._journal
        if journal is None:
            return
        self._finish()
        if self._running is None and journal.commit_due():
            self._running = asyncio.get_running_loop().run_in_executor(self._executor, journal.commit)
            self._running.add_done_callback(lambda _: self._show())

    def _show(self) -> None:
        """Release at once, also while the loop waits for records; an error is kept for `poll`."""
        try:
            self._finish()
        except Exception as error:  # noqa: BLE001 - raised by the next poll, in the task that runs the pipeline
            self._error = error
            self._pipeline.stop.request()
        self.on_commit()

    def _finish(self) -> None:
        if self._error is not None:
            raise self._error
        if self._running is not None and self._running.done():
            durable, self._running = self._running, None
            position = durable.result()
            self._pipeline.outbox.release(position)
            self._pipeline.commands.settle(position)

    async def __aexit__(self, *error: object) -> None:
        if self._running is not None:
            await asyncio.wait({self._running})
        if self._executor is not None:
            self._executor.shutdown(wait=True)
        if error[0] is None:
            self._finish()


class _Inbox:
    """Reads a live feed ahead; what came in while the last batch was run is taken as one."""

    def __init__(self, source: AsyncIterator[Batch], stop: Stop) -> None:
        self.has_ended = False
        self.arrived_ns = 0
        """When the oldest batch of what `take` gave last came in."""
        self._oldest_ns = 0
        self._source = source
        self._stop = stop
        self._batches: list[Batch] = []
        self._rows = 0
        self._error: BaseException | None = None
        self._ready: asyncio.Event
        self._space: asyncio.Event
        self._reading: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._ready = self._stop.event(asyncio.get_running_loop())
        self._space = asyncio.Event()
        self._reading = asyncio.create_task(self._read())
        return self

    @property
    def ready(self) -> asyncio.Event:
        """What `wait` waits for; whoever has something for the loop sets it."""
        return self._ready

    async def wait(self, seconds: float | None) -> None:
        """Wait for records, a stop, or so long."""
        if self._ready.is_set() or seconds == 0.0:
            await asyncio.sleep(0)
            return
        timer = None
        if seconds is not None:
            timer = asyncio.get_running_loop().call_later(seconds, self._ready.set)
        try:
            await self._ready.wait()
        finally:
            if timer is not None:
                timer.cancel()

    def take(self) -> Batch | None:
        """Take all that has come in as one batch; raise what the feed raised, once its last batch is taken."""
        self._ready.clear()
        self._space.set()
        batches, self._batches, self._rows = self._batches, [], 0
        self.arrived_ns = self._oldest_ns
        if not batches:
            if self._error is not None:
                raise self._error
            return None
        if len(batches) == 1:
            return batches[0]
        joined = np.concatenate([batch.records.view(np.uint8) for batch in batches]).view(records.RECORD)
        dead = [letter for batch in batches for letter in batch.dead]
        return batches[-1]._replace(records=joined, dead=dead)

    async def _read(self) -> None:
        try:
            async for batch in self._source:
                if not self._batches:
                    self._oldest_ns = time.perf_counter_ns()
                self._batches.append(batch)
                self._rows += len(batch.records)
                self._ready.set()
                if self._rows >= INBOX_ROWS_MAX:
                    self._space.clear()
                    await self._space.wait()
        except Exception as error:  # noqa: BLE001 - raised by `take`, in the task that runs the pipeline
            self._error = error
        finally:
            self.has_ended = self._error is None
            self._ready.set()

    async def __aexit__(self, *error: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()
