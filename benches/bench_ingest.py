"""Files to tapes: CSV plain and compressed, NDJSON, and the merge of two tapes, in rows a second of one core.

May not live here: checks of what the rows become (tests/data).

    .venv/bin/python benches/bench_ingest.py [--rounds 5] [--rows 1000000]

Beside them in the same run the machine's limits: counting the line ends of the same text, inflating it with zlib
alone, writing the same records; and pyarrow's CSV reader on one thread, prices as decimal128: its exact way.
"""

from __future__ import annotations

import argparse
import gzip
import random
import tempfile
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import harness
import numpy as np

from replay.adapters import open_feed
from replay.config import DecimalText, DurationText, FeedSpec, Instrument, TimeColumn
from replay.feeds.merge import merge
from replay.feeds.tape import TapeWriter
from replay.records import empty

PLAIN_ROWS_MIN = 3.0
GZIP_ROWS_MIN = 2.0

ONE = Instrument(
    symbol="BTCUSDT",
    tick=DecimalText("0.01"),
    lot=DecimalText("0.001"),
    price_decimals=2,
    size_decimals=4,
    quote="USDT",
)


def trades_csv(count: int) -> str:
    """Write trades as exchanges publish them: ms, price, size, side, id."""
    dice = random.Random(1)
    time_ms, price = 1_700_000_000_000, 4_200_000
    rows = ["time,price,size,side,id"]
    for number in range(count):
        time_ms += dice.randrange(1, 200)
        price += dice.randrange(-50, 51)
        size = dice.randrange(1, 100_000)
        rows.append(
            f"{time_ms},{price // 100}.{price % 100:02d},{size / 1000:.3f},{('buy', 'sell')[number & 1]},{number}"
        )
    return "\n".join(rows) + "\n"


def bars_csv(count: int) -> str:
    """Write minute bars with ISO times to the microsecond."""
    dice = random.Random(2)
    time = datetime(2010, 1, 1, tzinfo=UTC)
    rows = ["timestamp,open,high,low,close,volume"]
    for _ in range(count):
        opening, change = dice.randrange(400_000, 500_000), dice.randrange(-100, 101)
        high, low = max(opening, opening + change) + 50, min(opening, opening + change) - 50
        prices = ",".join(f"{price / 10:.1f}" for price in (opening, high, low, opening + change))
        rows.append(f"{time:%Y-%m-%d %H:%M:%S.%f},{prices},{dice.randrange(1, 10**10) / 10000:.4f}")
        time += timedelta(minutes=1)
    return "\n".join(rows) + "\n"


def trades_ndjson(text: str) -> str:
    """Write the same trades as JSON objects."""
    rows = (line.split(",") for line in text.splitlines()[1:])
    return "".join(
        f'{{"time":{time},"price":"{price}","size":"{size}","side":"{side}","id":{number}}}\n'
        for time, price, size, side, number in rows
    )


def spec_of(path: Path) -> FeedSpec:
    """Say how a file is read."""
    if "bars" in path.name:
        return FeedSpec(
            uri=str(path), records="bar", symbol="BTCUSDT", bar=DurationText("1m"), time=TimeColumn(column="timestamp")
        )
    return FeedSpec(uri=str(path), records="trade", symbol="BTCUSDT", time=TimeColumn(column="time", unit="ms"))


def to_tape(specs: list[FeedSpec], target: Path) -> int:
    """Read feeds, merged, and write them to a tape; give the number of records."""
    feed = merge([open_feed(spec, [ONE], Path()) for spec in specs])
    with TapeWriter(target, feed.header) as writer:
        for batch in feed.batches():
            assert not batch.dead, batch.dead[0]
            writer.append(batch.records)
    return writer.header.rows or 0


def arrow_csv(path: Path) -> int:
    """Read a CSV file with pyarrow on one thread, exactly; give the number of rows."""
    from pyarrow import csv, decimal128

    columns = "open high low close volume" if "bars" in path.name else "price size"
    exact = dict.fromkeys(columns.split(), decimal128(18, 4))
    table = csv.read_csv(
        path, read_options=csv.ReadOptions(use_threads=False), convert_options=csv.ConvertOptions(column_types=exact)
    )
    return int(table.num_rows)


def has_arrow() -> bool:
    """Say whether pyarrow is here."""
    try:
        import pyarrow.csv
    except ImportError:
        return False
    return bool(pyarrow.csv)


def written(count: int, target: Path) -> int:
    """Write as many empty records as a tape: what the disk and the page cache take."""
    chunk = empty(1 << 14)
    with target.open("wb") as file:
        for _ in range(0, count, len(chunk)):
            file.write(chunk.data)
    return count


def contenders(folder: Path, rows: int) -> dict[str, Callable[[], Any]]:
    """Make the files, and give what is measured by name."""
    found: dict[str, Callable[[], Any]] = {}
    for name, text in (("trades", trades_csv(rows)), ("bars", bars_csv(rows))):
        data = text.encode()
        packed = gzip.compress(data, 6)
        plain_path, gzip_path = folder / f"{name}.csv", folder / f"{name}.csv.gz"
        plain_path.write_bytes(data)
        gzip_path.write_bytes(packed)
        found[f"{name}, CSV to tape"] = partial(to_tape, [spec_of(plain_path)], folder / f"{name}.npy")
        found[f"{name}, CSV.gz to tape"] = partial(to_tape, [spec_of(gzip_path)], folder / f"{name}.npy")
        found[f"{name}, limit: counting line ends"] = partial(data.count, b"\n")
        found[f"{name}, limit: zlib alone"] = partial(zlib.decompress, packed, 31)
        if has_arrow():
            found[f"{name}, pyarrow.csv, plain"] = partial(arrow_csv, plain_path)
            found[f"{name}, pyarrow.csv, gz"] = partial(arrow_csv, gzip_path)
        if name == "trades":
            json_path = folder / "trades.ndjson"
            json_path.write_text(trades_ndjson(text))
            found["trades, NDJSON to tape"] = partial(to_tape, [spec_of(json_path)], folder / "trades.npy")
    to_tape([spec_of(folder / "trades.csv")], folder / "one.npy")
    to_tape([spec_of(folder / "trades.csv")], folder / "two.npy")
    halves = [FeedSpec(uri=str(folder / name), clock_offset=DurationText(offset)) for name, offset in _HALVES]
    found["two tapes merged to a third"] = partial(to_tape, halves, folder / "both.npy")
    found["limit: writing as many records"] = partial(written, rows, folder / "empty.bin")
    return found


_HALVES = (("one.npy", "0s"), ("two.npy", "70ms"))


def main() -> int:
    """Measure all in turn; 1 where a limit is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        works = contenders(Path(name), arguments.rows)
        times = harness.interleaved(works, arguments.rounds)
    results = []
    for what, rounds in times.items():
        rows = arguments.rows * (2 if what.startswith("two tapes") else 1)
        result = harness.speed(what, (np.array(rounds) / rows).tolist(), "M rows/CPU s")
        if "to tape" in what and "NDJSON" not in what:
            result["at_least"] = GZIP_ROWS_MIN if ".gz" in what else PLAIN_ROWS_MIN
        results.append(result)
    return 0 if harness.report("ingest", results) else 1


if __name__ == "__main__":
    raise SystemExit(main())
