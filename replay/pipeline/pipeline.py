"""The pipeline: feed → sequencer → journal → engine → outbox → sinks, one step and the two loops that drive it.

May not live here: the names of modes. It gets a feed, a pacer, perhaps a journal, and sinks, and treats all alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from replay import records
from replay.errors import HaltError, JournalError
from replay.measures import Measured
from replay.pipeline.beats import ClockBeats
from replay.pipeline.commands import CommandQueue, OperatorCommand, Receipt, Request, command_record
from replay.pipeline.committer import Committer
from replay.pipeline.histogram import BATCH_SECONDS, Histogram
from replay.pipeline.inbox import Inbox
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

WARMUP_DONE = b'"done"'
"""The cursor of a warm-up that is over."""

FLUSH_EVERY_NS = 1_000_000_000
"""How often all of what was seen is brought to where others can read it, a part at a time."""

OBSERVED_ROWS = 32_768
"""How much of the tape is shown to the observer at once, where batches are smaller."""

ProgressCall = Callable[[int, int | None, int | None], None]
"""Called with records done, records in all (None: unknown) and tape time, now and then."""


class Observer(Protocol):
    """Looks at the tape as it goes by (the result's marks); never changes it."""

    def add_records(self, admitted: NDArray[Any]) -> None:
        """Look at admitted records."""

    def flush_part(self) -> None:
        """Bring a part of what was seen to where others can read it; called again, the next part."""

    @property
    def parts(self) -> int:
        """How many parts there are."""


class DeadLetterBox(Protocol):
    """Takes what never reaches the tape, with its reason; counts it."""

    def add(self, letter: DeadLetter) -> None:
        """Keep one dead letter."""

    def quarantine(self, reason: str, record: NDArray[Any], row: int) -> None:
        """Keep a record that the sequencer did not admit."""

    def commit(self) -> None:
        """Make everything durable."""

    @property
    def counts(self) -> Mapping[str, int]:
        """How many of each reason."""

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
        self.total = total
        """Records that the tape has, where that is known."""
        self._wall_ns = wall_ns
        self._arrived_ns = 0
        """When the batch under way came in, or was due, by time.perf_counter_ns; 0: no latency is measured."""
        self._halt: HaltError | None = None
        self._skip_left = 0
        self.dead_letter_bytes = 0
        """How long the dead letters were at the end of a journal that was run again."""
        self._journaled_cursor: bytes | None = None
        self._flush_at_ns = 0
        self._flush_turn = 0
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

    def run_rows(self, admitted: NDArray[np.uint8]) -> None:
        """Run admitted records through the engine; what it decided waits in the outbox."""
        rows = len(admitted) // RECORD_BYTES
        self._decide(admitted, 0, rows)
        self._show(admitted, 0, rows)

    def _decide(self, admitted: NDArray[np.uint8], first: int, limit: int) -> None:
        with self._running():
            self.engine.run(admitted.data[first * RECORD_BYTES : limit * RECORD_BYTES])

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        """Whatever the engine is given: time it, and take what it decided, also where it raises."""
        started_ns = time.perf_counter_ns()
        try:
            yield
        finally:
            self.collect()
            self.counters.batches += 1
            self.counters.batch_seconds.observe((time.perf_counter_ns() - started_ns) / 1e9)
            self._look_at_trading()

    def _show(self, admitted: NDArray[np.uint8], first: int, limit: int) -> None:
        """Keep what was run for the observer; with enough of it, let it look."""
        if self.observer is not None and limit > first:
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
        engine = self.engine
        taken = engine.take_events(), engine.take_equity(), engine.take_excursions()
        self.outbox.collect(*taken, position, self._arrived_ns)
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

    def run_frames(self, frames: Sequence[Frame]) -> tuple[int, int]:
        """Run frames of the journal again: the same records, the same decisions, or not the digest that a frame names.

        Give how many were run, and the number of events before the last of them: so many are proved.
        """
        data = records.as_bytes(records.joined([frame.records for frame in frames]))
        if len(data):
            admitted, quarantined = self.sequencer.admit(data.data)
            if quarantined or memoryview(admitted).nbytes != len(data):
                raise JournalError(
                    f"the sequencer no longer admits records that stand in the journal from byte {frames[0].offset} on",
                    place=str(frames[0].path),
                    remedy="start the session with the version of replay that wrote it",
                )
        first_seq = frames[0].first_seq
        limits = [frame.limit_seq - first_seq for frame in frames]
        with self._running():
            count, proved = self.engine.run_proved(data.data, limits, [frame.digest_before for frame in frames])
        rows = limits[count - 1] if count else 0
        self._show(data, 0, rows)
        self.counters.recovered += rows
        return count, proved

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
                self.risk.go_on_from(self.engine.trips, self.engine.trading())
            async with Committer(self.journal, self.outbox, self.commands, self.stop) as committer:
                await self._run_tape(committer)
                for batch in self._warmup_batches():
                    await self._pace(self._take(batch), committer)
                    await asyncio.sleep(0)
                if self.feed.live:
                    await self._run_live(committer)
                else:
                    await self._run_stored(committer)

    async def _run_tape(self, committer: Committer) -> None:
        for frame in self.tape_first:
            if self.stop.requested:
                return
            self.take_frame(frame)
            await committer.poll()
            self._poll_snapshots()
            self._report()
            await asyncio.sleep(0)

    async def _run_stored(self, committer: Committer) -> None:
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

    async def _run_live(self, committer: Committer) -> None:
        async with Inbox(self.feed.batches_async(self.cursor), self.stop) as inbox:
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

    async def _pace(self, admitted: NDArray[np.uint8], committer: Committer) -> None:
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

    async def _run_slice(self, admitted: NDArray[np.uint8], first: int, limit: int, committer: Committer) -> None:
        self._decide(admitted, first, limit)
        await committer.poll()
        self._show(admitted, first, limit)  # whoever only looks on comes after the orders
        if self.journal is None:
            self._obey()  # with a journal the rest of the batch is on the tape already, before any command
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
        if self.observer is not None and self.journal is not None:
            now_ns = time.monotonic_ns()
            if now_ns >= self._flush_at_ns:
                turns = self.observer.parts + 1  # in the first one it looks at what went by
                self._flush_at_ns = now_ns + FLUSH_EVERY_NS // turns
                if self._flush_turn == 0:
                    self.observe()
                else:
                    self.observer.flush_part()
                self._flush_turn = (self._flush_turn + 1) % turns
        if self._progress is not None:
            self._progress(self.engine.seq, self.total, self.engine.now_ns if self.engine.seq else None)

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
