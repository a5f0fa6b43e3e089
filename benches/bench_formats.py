"""Formats of data files to records, beside pyarrow's reading of the same file into a table, on one thread.

May not live here: checks of what the rows become (tests/formats).

    .venv/bin/python benches/bench_formats.py [--rounds 5] [--rows 500000]

A record is checked, scaled to integers and put into one order; pyarrow's table is none of that. So the ratio says what
the rest costs. Real files are of REPLAY_TEST_DATA (../shared/data); a format whose file is absent is left out.
"""

from __future__ import annotations

import argparse
import gzip
import io
import os
import random
import statistics
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from replay.adapters import registry
from replay.adapters.formats.feed import request_of
from replay.config import FeedSpec
from replay.feeds.format import Scale, WritableFormat
from replay.feeds.tape import TapeHeader, TapeInstrument
from replay.records import Kind, empty

DATA = Path(os.environ.get("REPLAY_TEST_DATA") or Path(__file__).parents[2] / "shared" / "data")


def records_of(name: str, path: Path, symbol: str, decimals: tuple[int, int]) -> int:
    """Read a file to records; give their number."""
    found = registry.format_named(name)
    request = request_of(found, FeedSpec(uri=str(path), format=name), Path())
    scales = {symbol: Scale(0, *decimals)}
    return sum(len(piece.records) for piece in found.read(request, scales))


def table_of(data: bytes, names: list[str], exact: list[str]) -> int:
    """Read CSV with pyarrow, numbers exactly; give the number of rows."""
    options = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(exact, pa.decimal128(18, 9)))
    read = pyarrow.csv.ReadOptions(use_threads=False, column_names=names)
    return int(pyarrow.csv.read_csv(io.BytesIO(data), read_options=read, convert_options=options).num_rows)


def zipped(path: Path, names: list[str], exact: list[str]) -> int:
    """Inflate a zip's first table and read it with pyarrow."""
    with zipfile.ZipFile(path) as archive:
        return table_of(archive.read(archive.namelist()[0]), names, exact)


def gzipped(paths: list[Path], columns: list[list[str]], exact: list[list[str]]) -> int:
    """Inflate files and read them with pyarrow."""
    parts = zip(paths, columns, exact, strict=True)
    return sum(table_of(gzip.decompress(path.read_bytes()), names, numbers) for path, names, numbers in parts)


def tardis(path: Path, rows: int) -> None:
    """Write trades as Tardis does."""
    dice = random.Random(3)
    lines = ["exchange,symbol,timestamp,local_timestamp,id,side,price,amount"]
    time_us, price = 1_700_000_000_000_000, 420_000
    for number in range(rows):
        time_us += dice.randrange(1, 90_000)
        price += dice.randrange(-5, 6)
        amount = dice.randrange(1, 10**6) / 1000
        side = ("buy", "sell")[number & 1]
        lines.append(f"x,BTCUSDT,{time_us},{time_us + 900},{number},{side},{price / 10:.1f},{amount:.3f}")
    path.write_text("\n".join(lines) + "\n")


def quotes(rows: int) -> np.ndarray[Any, Any]:
    """Make quotes that walk."""
    dice = np.random.default_rng(4)
    records = empty(rows)
    records["ts_event"] = 1_700_000_000_000_000_000 + np.cumsum(dice.integers(1, 10**8, rows))
    records["ts_recv"] = records["ts_event"] + dice.integers(10**5, 10**6, rows)
    records["a"] = 4_200_000 + np.cumsum(dice.integers(-5, 6, rows))
    records["b"] = records["a"] + dice.integers(1, 9, rows)
    records["c"], records["d"] = dice.integers(1, 10**5, rows), dice.integers(1, 10**5, rows)
    records["kind"] = Kind.QUOTE
    return records


def written(path: Path, records: np.ndarray[Any, Any], header: TapeHeader) -> int:
    """Write records as Parquet."""
    found = registry.format_named("parquet")
    assert isinstance(found, WritableFormat)
    writer = found.writer(path, header)
    for first in range(0, len(records), 1 << 14):
        writer.append(records[first : first + (1 << 14)])
    writer.close()
    return len(records)


def contenders(folder: Path, rows: int) -> dict[str, tuple[Callable[[], Any], Callable[[], Any]]]:
    """Make the files, and give ours and pyarrow's reading of each."""
    found: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {}
    tardis(folder / "t.csv", rows)
    names = (folder / "t.csv").read_text()[:200].splitlines()[0].split(",")
    data = (folder / "t.csv").read_bytes().partition(b"\n")[2]
    found["tardis trades"] = (
        partial(records_of, "tardis", folder / "t.csv", "BTCUSDT", (1, 3)),
        partial(table_of, data, names, ["price", "amount"]),
    )
    header = TapeHeader(
        one_time=False,
        instruments=[TapeInstrument(symbol="X", price_decimals=2, size_decimals=3, kinds=["quote"])],
    )
    records = quotes(rows)
    written(folder / "q.parquet", records, header)
    table = pyarrow.parquet.read_table(folder / "q.parquet")
    found["parquet tape, read"] = (
        partial(records_of, "parquet", folder / "q.parquet", "X", (2, 3)),
        lambda: pyarrow.parquet.read_table(folder / "q.parquet", use_threads=False),
    )
    found["parquet tape, write"] = (
        partial(written, folder / "w.parquet", records, header),
        partial(pyarrow.parquet.write_table, table, folder / "p.parquet", compression="zstd", compression_level=3),
    )
    floats = dict.fromkeys(("open", "high", "low", "close"), records["a"] / 100)
    candles = pa.table({"date": pa.array(records["ts_event"]).cast(pa.timestamp("ns", "UTC")), **floats})
    candles = candles.append_column("volume", pa.array(records["c"] / 1000))
    pyarrow.feather.write_feather(candles, folder / "A_B-1m.feather")
    found["feather candles"] = (
        partial(records_of, "feather", folder / "A_B-1m.feather", "A/B", (2, 3)),
        lambda: pyarrow.feather.read_table(folder / "A_B-1m.feather", use_threads=False),
    )
    spy = DATA / "lean-equity-tick/equity/usa/tick/spy/20131008_trade.zip"
    if spy.exists():
        columns = ["time", "price", "size", "exchange", "condition", "suspicious"]
        found["lean trade ticks"] = (
            partial(records_of, "lean", spy, "SPY", (4, 0)),
            partial(zipped, spy, columns, ["price"]),
        )
    messages = DATA / "lobster/first_hour_L1book_AAPL_2012-06-21_message_50.csv.gz"
    if messages.exists():
        book = messages.with_name(messages.name.replace("message", "orderbook"))
        pair = [list("tyospd"), list("abcd")]
        found["lobster messages and book"] = (
            partial(records_of, "lobster", messages, "AAPL", (4, 0)),
            partial(gzipped, [messages, book], pair, [[], []]),
        )
    return found


def main() -> int:
    """Measure all in turn; the ratio is of CPU time, the best of the paired rounds and their median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=500_000)
    arguments = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        for what, (ours, theirs) in contenders(Path(name), arguments.rows).items():
            times = harness.interleaved({"ours": ours, "pyarrow": theirs}, arguments.rounds)
            ratios = [mine / other for mine, other in zip(times["ours"], times["pyarrow"], strict=True)]
            best = min(times["ours"]) / min(times["pyarrow"])
            median = statistics.median(ratios)
            results.append({"what": what, "best_ratio": round(best, 2), "median_ratio": round(median, 2)})
    for result in results:
        print(f"{result['what']:28} {result['best_ratio']:6.2f} x pyarrow's time (median {result['median_ratio']:.2f})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
