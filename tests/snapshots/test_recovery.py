"""Law 10 through the shell: cut anywhere, a snapshot and the journal after it give what an undisturbed run gives."""

from __future__ import annotations

import hashlib
import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import replay
from replay import Strategy
from replay.errors import JournalError
from replay.pipeline.journal import JournalReader, segment_paths
from replay.pipeline.snapshot_file import (
    VERSION,
    SnapshotUnusable,
    decode_snapshot,
    encode_snapshot,
    read_snapshot,
    snapshot_paths,
)
from replay.result.projections import SCHEMAS
from replay.result.result import Result
from replay.verify import verify

from .sessions import (
    NEVER,
    OFTEN,
    ROWS,
    SETTINGS,
    CrashingFeed,
    CutFeed,
    Own,
    Rich,
    Unkept,
    crash,
    run,
    tape,
    undisturbed,
)

Capture = pytest.CaptureFixture[str]


def contents(folder: Path) -> dict[str, bytes]:
    """Read every file of a session but the lock, whose text names the process."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def without_times(result: Result) -> dict[str, Any]:
    """Leave out how long it took, and what this start alone took from its feed."""
    document = {**result.document, "timings": None, "counts": dict(result.counts)}
    del document["counts"]["feed"]
    counters = result.counts["sequencer"]  # the tape does not hold what was raised or left out
    document["counts"]["sequencer"] = {name: counters[name] for name in ("admitted", "late", "crossed")}
    return document


def same_results(left: Result, right: Result) -> None:
    """Compare everything that two results say but how long it took."""
    assert left.digest == right.digest
    assert without_times(left) == without_times(right)
    for name in SCHEMAS:
        assert left.table(name).to_dict() == right.table(name).to_dict(), name


def started_from(capture: Capture) -> list[str]:
    """What each start since the last call said of its snapshot."""
    lines = [line for line in capture.readouterr().err.splitlines() if "session started" in line]
    return [line.rpartition("snapshot=")[2].split()[0] for line in lines]


@pytest.mark.parametrize("seed", range(6))
def test_cut_anywhere_again_and_again_the_digest_is_that_of_an_undisturbed_run(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    folder = tmp_path / "s"
    options = {"snapshot_records": dice.randrange(1, 400), "snapshot_every": "0s", "segment_bytes": 1 << 13}
    sizes = [dice.randrange(1, 80) for _ in range(31)]
    for _ in range(12):
        if not crash(folder, CrashingFeed(tape(seed), sizes, dice.randrange(1, 12)), options=options):
            break
    result = run(folder, CutFeed(tape(seed), sizes), options=options)
    expected = undisturbed(seed)
    assert result.digest == expected.digest
    assert hashlib.sha256((folder / "events" / "events.bin").read_bytes()).hexdigest() == expected.digest
    assert result.equity.to_dict() == expected.equity.to_dict()
    assert result.trades.to_dict() == expected.trades.to_dict()
    assert None not in result.trades.to_dict()["mae"]
    assert verify(folder).equal


def test_a_start_at_a_snapshot_runs_only_the_frames_after_it(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(1), [50], 20))
    newest = read_snapshot(snapshot_paths(folder / "snapshots")[0])
    assert started_from(capsys) == ["None"]
    run(folder, CutFeed(tape(1), [50]))
    assert started_from(capsys) == [str(newest.facts.seq)]
    assert 0 < newest.facts.seq <= 1_000


@pytest.mark.parametrize("strategy", [Rich, Own])
def test_a_result_from_a_snapshot_is_that_from_the_journal_s_start(
    tmp_path: Path, strategy: type[Strategy], capsys: Capture
) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(2), [37, 5, 90], 25), strategy)
    assert len(snapshot_paths(folder / "snapshots")) == 2
    other = tmp_path / "t"
    shutil.copytree(folder, other)
    shutil.rmtree(other / "snapshots")
    shutil.rmtree(other / "events")
    assert started_from(capsys) == ["None"]
    by_snapshot = run(folder, CutFeed(tape(2), [37, 5, 90]), strategy)
    from_start = run(other, CutFeed(tape(2), [37, 5, 90]), strategy, adopt=True)
    assert [text == "None" for text in started_from(capsys)] == [False, True]
    same_results(by_snapshot, from_start)
    for name in ("events.bin", "equity.bin", "excursions.bin", "marks.bin"):
        assert (folder / "events" / name).read_bytes() == (other / "events" / name).read_bytes()


def test_a_session_that_ended_in_order_starts_at_its_end_and_gives_the_same_again(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "s"
    first = run(folder, CutFeed(tape(3), [100]))
    again = run(folder, CutFeed(tape(3), [100]))
    assert started_from(capsys) == ["None", str(first.counts["records"])]
    same_results(first, again)


def test_the_last_two_snapshots_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    run(folder, CutFeed(tape(1), [50]))
    found = snapshot_paths(folder / "snapshots")
    assert len(found) == 2
    assert sorted(path.name for path in (folder / "snapshots").iterdir()) == sorted(path.name for path in found)
    assert read_snapshot(found[0]).facts.seq > read_snapshot(found[1]).facts.seq


def test_without_a_reason_no_snapshot_is_taken(tmp_path: Path) -> None:
    run(tmp_path / "s", CutFeed(tape(1), [50]), options=NEVER)
    assert snapshot_paths(tmp_path / "s" / "snapshots") == []


# -- what cannot be used


def damage(path: Path, change: Callable[[bytearray], None]) -> None:
    data = bytearray(path.read_bytes())
    change(data)
    path.write_bytes(data)


def test_a_corrupt_snapshot_falls_back_to_the_one_before_and_then_to_the_journal(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(4), [50], 30))
    newest, before = snapshot_paths(folder / "snapshots")
    seq = read_snapshot(before).facts.seq
    whole = tmp_path / "whole"
    shutil.copytree(folder, whole)
    capsys.readouterr()

    for broken, expected in (([newest], str(seq)), ([newest, before], "None")):
        trial = tmp_path / f"trial{len(broken)}"
        shutil.copytree(whole, trial)
        for path in broken:
            damage(
                trial / "snapshots" / path.name, lambda data: data.__setitem__(len(data) // 2, data[len(data) // 2] ^ 1)
            )
        result = run(trial, CutFeed(tape(4), [50]), adopt=True)
        output = capsys.readouterr().err
        assert f"snapshot={expected}" in output
        assert output.count("does not match its SHA-256") == len(broken)
        assert result.digest == undisturbed(4).digest


def test_a_cut_snapshot_in_every_region_falls_back(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(5), [50], 12))
    path = snapshot_paths(folder / "snapshots")[0]
    whole = path.read_bytes()
    for length in (0, 1, 63, 64, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(SnapshotUnusable):
            read_snapshot(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(SnapshotUnusable):
        read_snapshot(path)
    assert run(folder, CutFeed(tape(5), [50])).digest == undisturbed(5).digest
    assert "is not used" in capsys.readouterr().err


def test_every_single_bit_of_a_snapshot_is_proved() -> None:
    facts = {
        "session": "s", "setup_digest": "0" * 64, "build": "b", "python": "3", "strategies": {"a": ["0", "A"]},
        "created_ns": 1, "epoch": 1, "segment": 0, "offset": 128, "seq": 5, "digest": "0" * 64, "events": 0, "fills": 0,
        "cursor": "{}", "parts": {}, **{name: {"rows": 0, "checksum": 0} for name in ("equity", "excursions", "marks")},
    }  # fmt: skip
    from replay.pipeline.snapshot_file import Facts

    data = encode_snapshot(msgspec.convert(facts, Facts), {"engine": b"\1\2\3", "sequencer": b"", "marks": b"\xff"})
    assert decode_snapshot(data, Path("x")).parts == {"engine": b"\1\2\3", "sequencer": b"", "marks": b"\xff"}
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SnapshotUnusable):
            decode_snapshot(bytes(flipped), Path("x"))


def rewrite(path: Path, **changes: Any) -> None:
    snapshot = read_snapshot(path)
    path.write_bytes(encode_snapshot(msgspec.structs.replace(snapshot.facts, **changes), snapshot.parts))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session": "another"}, "belongs to another session"),
        ({"setup_digest": "1" * 64}, "another setup"),
        ({"build": "0000"}, "another build of the engine"),
        ({"strategies": {"Rich": ("0" * 64, "Rich")}}, "the source of strategy 'Rich' has changed"),
        ({"offset": 1 << 40}, "the journal does not reach it"),
        ({"segment": 9}, "the journal does not reach it"),
        ({"digest": "2" * 64}, "events.bin does not hold"),
        ({"events": 10**9}, "events.bin does not hold"),
    ],
)
def test_a_foreign_snapshot_is_not_used_and_says_why(
    tmp_path: Path, capsys: Capture, changes: dict[str, Any], reason: str
) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(6), [50], 12))
    found = snapshot_paths(folder / "snapshots")
    assert found
    for path in found:
        rewrite(path, **changes)
    assert run(folder, CutFeed(tape(6), [50])).digest == undisturbed(6).digest
    output = capsys.readouterr().err
    assert output.count(reason) == len(found)
    assert "snapshot=None" in output


def set_version(data: bytearray, version: int) -> None:
    data[8:12] = struct.pack("<I", version)
    data[60:64] = struct.pack("<I", zlib.crc32(data[:60]))


def test_a_snapshot_of_a_newer_version_is_a_note_and_no_error(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(6), [50], 12))
    for path in snapshot_paths(folder / "snapshots"):
        damage(path, lambda data: set_version(data, VERSION + 1))
    assert run(folder, CutFeed(tape(6), [50])).digest == undisturbed(6).digest
    assert f"it has format version {VERSION + 1}, this program reads {VERSION}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["events.bin", "equity.bin", "excursions.bin", "marks.bin"])
def test_a_file_beside_the_journal_that_does_not_hold_what_a_snapshot_stands_on_is_made_again(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "s"
    first = run(folder, CutFeed(tape(7), [50]))
    path = folder / "events" / name
    whole = path.read_bytes()
    damage(path, lambda data: data.__setitem__(40, data[40] ^ 1))
    again = run(folder, CutFeed(tape(7), [50]))
    assert path.read_bytes() == whole
    same_results(first, again)
    path.write_bytes(whole[: len(whole) // 3])
    run(folder, CutFeed(tape(7), [50]))
    assert path.read_bytes() == whole


def test_a_session_from_before_excursions_were_kept_is_recovered_from_its_journal_with_them(
    tmp_path: Path, capsys: Capture
) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(7), [50], 20))
    (folder / "events" / "excursions.bin").unlink()
    for path in snapshot_paths(folder / "snapshots"):
        damage(path, lambda data: set_version(data, 1))
    result = run(folder, CutFeed(tape(7), [50]))
    output = capsys.readouterr().err
    assert f"it has format version 1, this program reads {VERSION}" in output and "snapshot=None" in output
    expected = undisturbed(7)
    assert result.digest == expected.digest and result.trades.to_dict() == expected.trades.to_dict()
    assert None not in result.trades.to_dict()["mae"]
    assert (folder / "events" / "excursions.bin").stat().st_size == 16 * len(result.fills)


def test_a_snapshot_that_leads_elsewhere_than_the_journal_is_given_up(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(8), [50], 20))
    assert crash(folder, CrashingFeed(tape(8), [50], 5), options=NEVER)  # so that frames follow every snapshot
    for path in snapshot_paths(folder / "snapshots"):
        snapshot = read_snapshot(path)
        parts = dict(snapshot.parts)
        state = msgspec.msgpack.decode(parts["strategy Rich"])
        pairs = state[1][2][3][2]  # the attributes
        pairs[pairs.index("seen") + 1] += 1
        parts["strategy Rich"] = msgspec.msgpack.encode(state)
        path.write_bytes(encode_snapshot(snapshot.facts, parts))
    assert run(folder, CutFeed(tape(8), [50])).digest == undisturbed(8).digest
    output = capsys.readouterr().err
    assert "a snapshot does not lead to what the journal proves" in output
    assert "snapshot=None" in output


# -- strategies


def test_what_a_snapshot_cannot_hold_is_named_at_the_start_with_the_remedy(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(9), [50], 12), Unkept)
    output = capsys.readouterr().err
    assert "no snapshots are taken" in output
    assert "self.model is a object; self.cache['x'][1] is a object" in output
    assert "its own snapshot() and restore()" in output
    assert snapshot_paths(folder / "snapshots") == []
    assert run(folder, CutFeed(tape(9), [50]), Unkept).digest == undisturbed(9, Unkept).digest


class Later(Rich):
    """Is fine at first, and keeps a thing that no snapshot can hold later."""

    def on_timer(self, name: str) -> None:
        super().on_timer(name)
        if self.seen > 500:
            self.thing = object()


def test_what_comes_later_turns_snapshots_off_and_the_session_goes_on(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "s"
    result = run(folder, CutFeed(tape(9), [50]), Later)
    assert result.digest == undisturbed(9, Later).digest
    assert "self.thing is a object" in capsys.readouterr().err
    assert run(folder, CutFeed(tape(9), [50]), Later).digest == result.digest


class Raising(Rich):
    def restore(self, state: Any) -> None:
        raise RuntimeError("the strategy's own mistake")


def test_a_restore_that_raises_leaves_the_journal_s_start(tmp_path: Path, capsys: Capture) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(9), [50], 12), Raising)
    assert run(folder, CutFeed(tape(9), [50]), Raising).digest == undisturbed(9, Raising).digest
    assert "RuntimeError: the strategy's own mistake" in capsys.readouterr().err


# -- refusals


@pytest.mark.parametrize("is_older", [False, True], ids=["", "from before excursions were kept"])
def test_a_refused_start_leaves_every_file_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_older: bool
) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(1), [50], 30))
    if is_older:
        (folder / "events" / "excursions.bin").unlink()
    damage(folder / "events" / "events.bin", lambda data: data.__delitem__(slice(128 * 20, None)))
    with open(segment_paths(folder / "journal")[-1], "ab") as file:
        file.write(b"FRME torn")
    before = contents(folder)
    monkeypatch.setattr(Rich, "on_fill", lambda self, fill: self.buy("BTCUSDT", 0.001))
    monkeypatch.setattr("replay.opening.strategy_hashes", lambda config, strategies: {"Rich": "1" * 64})
    with pytest.raises(JournalError, match="running the journal again gives other events") as refused:
        run(folder, CutFeed(tape(1), [50]))
    assert "--fork" in str(refused.value)
    assert contents(folder) == before


def test_a_journal_of_a_newer_version_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    import struct
    import zlib

    folder = tmp_path / "s"
    run(folder, CutFeed(tape(1), [50]))

    def newer(data: bytearray) -> None:
        data[8:12] = struct.pack("<I", 3)
        data[60:64] = struct.pack("<I", zlib.crc32(data[:60]))

    damage(segment_paths(folder / "journal")[-1], newer)
    before = contents(folder)
    with pytest.raises(JournalError, match="format version 3, this program reads 2"):
        run(folder, CutFeed(tape(1), [50]))
    assert contents(folder) == before


def test_a_changed_source_is_run_from_the_journal_s_start_and_its_digest_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    folder = tmp_path / "s"
    assert crash(folder, CrashingFeed(tape(1), [50], 20))
    old = JournalReader(folder / "journal")
    list(old.frames())
    monkeypatch.setattr("replay.opening.strategy_hashes", lambda config, strategies: {"Rich": "1" * 64})
    assert run(folder, CutFeed(tape(1), [50])).digest == undisturbed(1).digest
    output = capsys.readouterr().err
    assert "the source of strategy 'Rich' has changed since it was taken" in output
    assert "the last segment was written with other strategy sources" in output
    new = JournalReader(folder / "journal")
    list(new.frames())
    assert new.sources_digest != old.sources_digest


# -- what if


def test_the_tape_of_a_session_is_a_stored_feed_and_gives_its_event_log(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    session = run(folder, CutFeed(tape(2), [50]))
    assert replay.backtest(Rich, f"session:{folder}", **SETTINGS).digest == session.digest
    what_if = replay.backtest(Rich, f"session:{folder}", params={"window": 3}, **SETTINGS)
    assert what_if.counts["records"] == session.counts["records"]


@pytest.mark.parametrize("at", [None, 700, "time"])
def test_a_fork_takes_the_recorded_tape_and_goes_on_from_there(tmp_path: Path, at: int | str | None) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    assert crash(old, CrashingFeed(tape(3), [50], 20))
    before = contents(old)
    if at == "time":
        from replay.units import format_time

        at = format_time(int(tape(3)["ts_recv"][612]))
    result = run(new, CutFeed(tape(3), [50]), fork=old, at=at)
    assert contents(old) == before
    assert result.digest == undisturbed(3).digest
    assert verify(new).equal
    assert run(new, CutFeed(tape(3), [50])).digest == result.digest
    other = run(tmp_path / "other", CutFeed(tape(3), [50]), fork=old, at=at, params={"window": 3})
    expected = replay.backtest(Rich, CutFeed(tape(3), [ROWS]), params={"window": 3}, **SETTINGS)
    assert other.digest == expected.digest != result.digest


def test_a_fork_that_was_killed_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from replay.pipeline.pipeline import Pipeline

    old, new = tmp_path / "old", tmp_path / "new"
    assert crash(old, CrashingFeed(tape(3), [50], 30))
    take = Pipeline.take_frame
    taken: list[int] = []

    def failing(self: Pipeline, frame: Any) -> None:
        if len(taken) == 9:
            from .sessions import Crash

            raise Crash
        taken.append(frame.first_seq)
        take(self, frame)

    monkeypatch.setattr(Pipeline, "take_frame", failing)
    from .sessions import Crash

    with pytest.raises(Crash):
        run(new, CutFeed(tape(3), [50]), fork=old)
    monkeypatch.undo()
    assert run(new, CutFeed(tape(3), [50]), fork=old).digest == undisturbed(3).digest


def test_a_fork_into_another_session_or_of_other_instruments_is_refused(tmp_path: Path) -> None:
    from replay.errors import ConfigError, UsageError

    old, new = tmp_path / "old", tmp_path / "new"
    run(old, CutFeed(tape(3), [50]))
    with pytest.raises(UsageError, match="into its own folder"):
        run(old, CutFeed(tape(3), [50]), fork=old)
    swapped = {**SETTINGS, "instruments": SETTINGS["instruments"][::-1]}
    with pytest.raises(ConfigError, match="the tape of the session has other instruments"):
        run(new, CutFeed(tape(3), [50]), fork=old, **swapped)
    run(tmp_path / "third", CutFeed(tape(3), [50]))
    with pytest.raises(UsageError, match="no fork of"):
        run(tmp_path / "third", CutFeed(tape(3), [50]), fork=old)
    with pytest.raises(UsageError, match="nothing to fork"):
        run(tmp_path / "fourth", CutFeed(tape(3), [50]), fork=old, at=3)
    assert OFTEN["snapshot_records"] == 150
