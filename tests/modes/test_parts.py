"""The parts of the shell by themselves: outbox, sinks, beats, pacing, stop."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from replay import records
from replay.errors import UsageError
from replay.events import EQUITY, EVENT, EventKind
from replay.pipeline.beats import ALL_VENUES, ClockBeats
from replay.pipeline.outbox import Effects, Outbox
from replay.pipeline.pacing import SPEED_STEPS, PlayControls, ReleaseErrors, TapePacer, check_speed
from replay.pipeline.sinks import Collector, EventLog, is_torn_end
from replay.pipeline.stop import Stop, stop_on_signals
from replay.records import Kind

SECOND_NS = 1_000_000_000


def some_events(count: int, first: int = 0, kind: EventKind = EventKind.NEW) -> bytes:
    made = np.zeros(count, dtype=EVENT)
    made["order_id"] = np.arange(first, first + count)
    made["kind"] = kind
    return made.tobytes()


def test_effects_wait_for_their_frame_and_come_in_order() -> None:
    seen = Collector()
    outbox = Outbox([seen])
    outbox.collect(some_events(2), b"", b"", 100)
    fills, excursions = some_events(3, 2, EventKind.FILL), np.arange(6).tobytes()
    outbox.collect(fills, np.zeros(1, dtype=EQUITY).tobytes(), excursions, 200)
    outbox.collect(b"", b"", b"", 250)
    outbox.release(99)
    assert len(seen.events) == 0
    assert outbox.pending_events == 5
    outbox.release(100)
    assert seen.events["order_id"].tolist() == [0, 1]
    outbox.release(300)
    assert seen.events["order_id"].tolist() == [0, 1, 2, 3, 4]
    assert len(seen.equity) == 1
    assert (outbox.fills, outbox.pending_events, outbox.pending_bytes) == (3, 0, 0)


def test_callbacks_get_arrays() -> None:
    seen: list[int] = []
    outbox = Outbox([Collector(lambda events: seen.extend(events["order_id"].tolist()))])
    outbox.collect(some_events(3), b"", b"", 0)
    outbox.release(0)
    assert seen == [0, 1, 2]


def test_every_sink_is_closed_also_after_one_that_fails() -> None:
    closed: list[str] = []

    class Closing:
        name = "closing"

        def __init__(self, fails: bool) -> None:
            self.fails = fails

        def write(self, effects: Effects) -> None: ...

        def close(self) -> None:
            closed.append("closed")
            if self.fails:
                raise UsageError("no")

    with pytest.raises(UsageError):
        Outbox([Closing(True), Closing(False)]).close()
    assert len(closed) == 2


@given(held=st.integers(0, 20), partial=st.integers(0, 127), cuts=st.lists(st.integers(1, 7), max_size=8))
def test_an_event_log_that_is_partly_there_becomes_whole(held: int, partial: int, cuts: list[int]) -> None:
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"event-log-{os.getpid()}.bin"
    total = max(sum(cuts), 1)
    whole = some_events(total)
    path.write_bytes(whole[: min(held * 128 + partial, len(whole))])
    log = EventLog(path, keep=True)
    position = 0
    for count in cuts or [1]:
        log.write(Effects(position, whole[position * 128 : (position + count) * 128], b""))
        position += count
    log.close()
    assert path.read_bytes() == whole
    assert log.rewritten_from is None
    path.unlink()


def test_an_event_log_that_differs_is_rewritten_from_there(tmp_path: Path) -> None:
    path = tmp_path / "events.bin"
    whole = some_events(10)
    other = bytearray(whole)
    other[5 * 128 + 20] ^= 1
    path.write_bytes(other)
    log = EventLog(path, keep=True)
    log.write(Effects(0, whole[: 3 * 128], b""))
    log.write(Effects(3, whole[3 * 128 :], b""))
    log.close()
    assert path.read_bytes() == whole
    assert log.rewritten_from == 5


def test_an_event_log_whose_end_never_reached_the_disk_is_torn_and_one_with_other_events_is_not() -> None:
    whole = some_events(10)
    for first in (0, 128, 3 * 128 + 64, 9 * 128 + 1):
        for size in (64, 128, 512):
            torn = bytearray(whole)
            torn[first : first + size] = bytes(len(torn[first : first + size]))
            assert is_torn_end(bytes(torn), whole) == (bytes(torn) != whole), (first, size)
    assert not is_torn_end(whole, whole), "nothing differs"
    assert not is_torn_end(whole + bytes(128), whole), "more than the journal gives"
    other = bytearray(whole)
    other[5 * 128 + 12] ^= 0x0F
    assert not is_torn_end(bytes(other), whole), "another kind"
    free = np.frombuffer(bytearray(whole), dtype=EVENT)
    free["quantity"] = 0
    now = np.frombuffer(bytearray(whole), dtype=EVENT)
    now["quantity"], now["last_size"] = 5, 7
    free["last_size"] = 7
    assert not is_torn_end(free.tobytes(), now.tobytes()), "an event of another size, whole up to its end"


def ticks(*instruments: int) -> np.ndarray:
    made = records.empty(len(instruments))
    made["kind"] = Kind.QUOTE
    made["instrument"] = instruments
    return made


def test_a_venue_that_is_silent_for_100_ms_gets_a_beat_quiet_behind_the_wall_clock() -> None:
    beats = ClockBeats([0, 1, 1], [SECOND_NS, 2 * SECOND_NS])
    start = 50 * SECOND_NS
    beats.heard(ticks(0, 1), start)
    assert beats.due(start + 99_000_000, None) is None
    beats.heard(ticks(2), start + 60_000_000)
    made = beats.due(start + 100_000_000, None)
    assert made is not None
    assert made[["ts_event", "ts_recv", "a"]].tolist() == [(start - 900_000_000, start + 100_000_000, 0)]
    assert set(made["kind"].tolist()) == {Kind.CLOCK}
    assert beats.due(start + 101_000_000, None) is None
    assert beats.next_ns(start + 101_000_000, None) == start + 160_000_000
    again = beats.due(start + 200_000_000, None)
    assert again is not None
    assert again["a"].tolist() == [0, 1]


def test_a_due_timer_gets_one_beat_a_nanosecond_after_it() -> None:
    beats = ClockBeats([0], [SECOND_NS])
    start = 50 * SECOND_NS
    beats.heard(ticks(0), start)
    assert beats.next_ns(start, start + 5) == start + 6
    assert beats.due(start + 5, start + 5) is None
    made = beats.due(start + 6, start + 5)
    assert made is not None
    assert made[["ts_recv", "a"]].tolist() == [(start + 6, ALL_VENUES)]
    assert beats.due(start + 7, start + 5) is None, "a timer that does not move on gets no second beat"


@pytest.mark.parametrize(("text", "speed"), [("1", 1.0), ("10x", 10.0), ("max", "max"), ("0.1", 0.1), (1000, 1000.0)])
def test_speeds_go_from_a_tenth_to_a_thousand_and_max(text: str | float, speed: object) -> None:
    assert check_speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0.05", "2000", "-1", "nan", 0])
def test_other_speeds_are_refused_with_the_choices(text: str | float) -> None:
    with pytest.raises(UsageError, match=r"0\.1 to 1000"):
        check_speed(text)


def test_faster_and_slower_go_through_the_steps() -> None:
    controls = PlayControls(1.0)
    seen = [controls.faster() for _ in range(len(SPEED_STEPS))]
    assert seen[:3] == [2.0, 5.0, 10.0]
    assert seen[-1] == "max"
    assert controls.slower() == 1000.0
    assert [controls.slower() for _ in range(20)][-1] == 0.1


def release(times_ns: list[int], controls: PlayControls) -> tuple[list[tuple[int, int]], TapePacer, float]:
    pacer = TapePacer(controls, lambda: 0)

    async def collect() -> list[tuple[int, int]]:
        return [slice_ async for slice_ in pacer.slices(np.array(times_ns, dtype=np.int64))]

    started = time.perf_counter()
    return asyncio.run(collect()), pacer, time.perf_counter() - started


def test_every_record_is_released_once_in_order_whatever_its_time() -> None:
    slices, _, _ = release([5, 3, 3, 900_000_000, 1, 1_800_000_000], PlayControls(1000.0))
    assert [first for first, _ in slices[1:]] == [limit for _, limit in slices[:-1]]
    assert (slices[0][0], slices[-1][1]) == (0, 6)


@pytest.mark.timing
def test_tape_time_passes_at_the_speed_that_is_set() -> None:
    _, pacer, seconds = release([row * 20_000_000 for row in range(51)], PlayControls(10.0))
    assert 0.1 <= seconds < 0.2
    median = pacer.errors.quantile(0.5)
    assert median is not None
    assert median < 0.001


def test_release_errors_forget_evenly_when_there_are_too_many() -> None:
    errors = ReleaseErrors()
    for number in range(200_000):
        errors.add(number)
    assert errors.count == 200_000
    assert errors.quantile(0.5) == pytest.approx(100_000 / 1e9, rel=0.01)


def test_the_first_signal_asks_and_the_second_interrupts() -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = Stop()
    with stop_on_signals(stop):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
    assert signal.getsignal(signal.SIGINT) is before


async def test_a_stop_wakes_whoever_waits_on_a_loop() -> None:
    stop = Stop()
    event = stop.event(asyncio.get_running_loop())
    asyncio.get_running_loop().call_later(0.01, stop.request)
    await asyncio.wait_for(event.wait(), 1.0)
