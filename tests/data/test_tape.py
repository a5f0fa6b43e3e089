"""Tapes: what is written is read back, in little memory, and what is no whole tape is a clear error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from replay.errors import ConfigError, DataError
from replay.feeds.feed import StoredFeed
from replay.feeds.tape import TapeHeader, TapeInstrument, TapeWriter, load, save, sidecar_path
from replay.records import RECORD, BarPrice, Kind

from .feeds import START_NS, instrument, opened, read_all, trades, write

HEADER = TapeHeader(
    one_time=False,
    instruments=[
        TapeInstrument(symbol="BTCUSDT", price_decimals=2, size_decimals=3, venue="sim"),
        TapeInstrument(symbol="ETHUSDT", price_decimals=2, size_decimals=3),
    ],
)


def test_a_tape_written_in_chunks_is_an_ordinary_npy_file(tmp_path: Path) -> None:
    records = trades(range(START_NS, START_NS + 1000))
    path = tmp_path / "t.npy"
    with TapeWriter(path, HEADER) as writer:
        for first in range(0, 1000, 77):
            writer.append(records[first : first + 77])
    assert np.array_equal(np.load(path), records)
    assert np.array_equal(load(path).records, records)
    assert (path.stat().st_size - 1000 * 64) % 64 == 0, "records start on a cache line"


def test_the_sidecar_says_what_the_records_are(tmp_path: Path) -> None:
    records = trades([START_NS, START_NS + 9, START_NS + 5])
    header = save(tmp_path / "t.npy", records, HEADER)
    assert (header.rows, header.first_ns, header.last_ns, header.one_time) == (3, START_NS, START_NS + 9, True)
    assert [entry.kinds for entry in header.instruments] == [["trade"], []]
    records["ts_recv"][1] += 1
    assert not save(tmp_path / "t.npy", records, HEADER).one_time
    assert sidecar_path("a/b.npy") == Path("a/b.tape.json")
    empty = save(tmp_path / "e.npy", records[:0], HEADER)
    assert (empty.rows, empty.first_ns, len(load(tmp_path / "e.npy").records)) == (0, None, 0)


def test_the_sidecar_says_of_which_price_the_bars_are(tmp_path: Path) -> None:
    records = trades(range(1, 9))
    assert "bar_price" not in str(msgspec.to_builtins(save(tmp_path / "t.npy", records, HEADER))), "no bars, no price"
    records["kind"][2:] = Kind.BAR
    records["side"][2:] = BarPrice.ASK
    records["instrument"][6:] = 1
    records["side"][7] = BarPrice.MID
    with TapeWriter(tmp_path / "b.npy", HEADER) as writer:
        for first in range(8):
            writer.append(records[first : first + 1])
    header = load(tmp_path / "b.npy").header
    assert [entry.bar_price for entry in header.instruments] == ["ask", "mid"], "of several the first of the rule"


def test_a_tape_that_is_not_finished_leaves_the_old_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.npy"
    save(path, trades([1, 2]), HEADER)
    with pytest.raises(ZeroDivisionError), TapeWriter(path, HEADER) as writer:
        writer.append(trades([3]))
        raise ZeroDivisionError
    assert len(load(path).records) == 2
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["t.npy", "t.tape.json"]


def test_a_record_of_an_unlisted_instrument_is_refused(tmp_path: Path) -> None:
    records = trades([1])
    records["instrument"] = 2
    with (
        pytest.raises(DataError, match="names instrument 2, and the header lists 2"),
        TapeWriter(tmp_path / "t.npy", HEADER) as writer,
    ):
        writer.append(records)


def test_a_cut_tape_says_how_much_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "t.npy"
    save(path, trades(range(10)), HEADER)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"says that it has 10 records, and holds 8\.4") as caught:
        load(path)
    assert caught.value.reason == "truncated"


def test_what_is_no_tape_is_named(tmp_path: Path) -> None:
    np.save(tmp_path / "floats.npy", np.zeros(3))
    with pytest.raises(DataError, match="holds float64, not the records of a tape"):
        load(tmp_path / "floats.npy")
    np.save(tmp_path / "table.npy", np.zeros((2, 2), dtype=RECORD))
    with pytest.raises(DataError, match="has the shape"):
        load(tmp_path / "table.npy")
    with pytest.raises(DataError, match=r"is not a \.npy file"):
        load(write(tmp_path / "text.npy", "time,price\n"))
    with pytest.raises(DataError, match="is empty"):
        load(write(tmp_path / "empty.npy", b""))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not the records of a tape"):
        load(tmp_path / "objects.npy")
    with pytest.raises(ConfigError, match="there is no such file"):
        load(tmp_path / "absent.npy")
    with pytest.raises(ConfigError, match="there is no folder"):
        load(tmp_path / "nowhere" / "absent.npy")


def test_a_sidecar_that_is_missing_broken_or_anothers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.npy"
    save(path, trades([1, 2]), HEADER)
    sidecar = sidecar_path(path)
    good = sidecar.read_text()
    for text, message in (
        (good.replace('"rows": 2', '"rows": 3'), "its sidecar says 3"),
        (good.replace('"version": 1', '"version": 2'), "is not a tape's sidecar"),
        ("{", "is not a tape's sidecar"),
        (good.replace('"one_time"', '"one_tine"'), "is not a tape's sidecar"),
    ):
        sidecar.write_text(text)
        with pytest.raises(DataError, match=message):
            load(path)
    sidecar.unlink()
    with pytest.raises(DataError, match=r"has no sidecar t\.tape\.json"):
        load(path)


def test_instruments_get_the_runs_numbers_and_others_are_dropped_and_counted(tmp_path: Path) -> None:
    records = trades(range(6))
    records["instrument"] = [0, 1, 1, 0, 1, 0]
    records["kind"][3] = Kind.CLOCK
    save(tmp_path / "t.npy", records, HEADER)
    feed = opened(tmp_path / "t.npy", [instrument("SOLUSDT"), instrument("ETHUSDT")])
    mine, _ = read_all(feed)
    assert mine["c"].tolist() == [1, 2, 3, 4], "a Clock has no instrument: it stays"
    assert mine["instrument"].tolist() == [1, 1, 0, 1]
    assert feed.counters()["ignored_not_named"] == 2


def test_an_index_that_the_tape_does_not_list_reaches_the_sequencer_as_unknown(tmp_path: Path) -> None:
    records = trades(range(3))
    save(tmp_path / "t.npy", records, HEADER)
    raw = np.load(tmp_path / "t.npy", mmap_mode="r+")
    raw["instrument"][1] = 77
    raw.flush()
    mine, _ = read_all(opened(tmp_path / "t.npy", [instrument("ETHUSDT"), instrument("BTCUSDT")]))
    assert mine["instrument"].tolist() == [1, 2**32 - 1, 1]


def test_a_symbol_takes_one_instrument_of_a_tape(tmp_path: Path) -> None:
    records = trades(range(4))
    records["instrument"] = [0, 1, 0, 1]
    save(tmp_path / "t.npy", records, HEADER)
    instruments = [instrument("BTCUSDT"), instrument("ETHUSDT")]
    mine, _ = read_all(opened(tmp_path / "t.npy", instruments, symbol="ETHUSDT"))
    assert mine["c"].tolist() == [1, 3]
    with pytest.raises(ConfigError, match="has no instrument 'SOLUSDT'"):
        opened(tmp_path / "t.npy", instruments, symbol="SOLUSDT")


def test_going_on_from_any_cursor_gives_exactly_what_follows(tmp_path: Path) -> None:
    records = trades(range(40_000))
    save(tmp_path / "t.npy", records, HEADER)
    feed = opened(tmp_path / "t.npy")
    assert isinstance(feed, StoredFeed)
    for batch in feed.batches():
        rest, _ = read_all(feed, batch.cursor)
        taken = int(batch.records["c"][-1]) + 1
        assert np.array_equal(rest, records[taken:])
    with pytest.raises(DataError, match="was read up to record 50000"):
        read_all(feed, b'{"row":50000}')


def test_batches_of_a_tape_whose_numbers_agree_are_not_copied(tmp_path: Path) -> None:
    save(tmp_path / "t.npy", trades(range(10)), HEADER)
    batch = next(opened(tmp_path / "t.npy", [instrument("BTCUSDT"), instrument("ETHUSDT")]).batches())
    assert not batch.records.flags.owndata
    assert not batch.records.flags.writeable


@pytest.mark.slow
def test_twenty_million_records_stream_within_150_megabytes(tmp_path: Path) -> None:
    path = tmp_path / "long.npy"
    chunk = trades(range(1_000_000))
    with TapeWriter(path, HEADER) as writer:
        for _ in range(20):
            writer.append(chunk)
    del chunk
    program = f"""
import resource
from pathlib import Path
from replay.adapters import open_feed
from replay.config import DecimalText, FeedSpec, Instrument
from replay.feeds.merge import merge
import replay.adapters.tape
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
one = Instrument(symbol="BTCUSDT", tick=DecimalText("0.01"), lot=DecimalText("0.001"), quote="USDT")
feed = merge([open_feed(FeedSpec(uri={str(path)!r}), [one], Path())])
total = 0
for batch in feed.batches():
    total += int(batch.records["a"].sum())
assert total == 20_000_000 * 100, total
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path.unlink()  # pytest keeps the folders of the last runs
    grown_bytes = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert grown_bytes <= 150 << 20
