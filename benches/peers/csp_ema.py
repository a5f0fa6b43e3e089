"""csp (a C++ stream engine with Python nodes) on W2: one Python node takes each quote and keeps the averages.

May not live here: anything of replay; it runs in an environment of its own that has csp and not replay.

csp has no orders, positions or fills, so the node books its own. Quotes come from an uncompressed Parquet file through
csp's own C++ reader; what is measured is csp.run, reading included. Arguments: the folder of W2's columns, and as JSON
the two alphas, the band and the fee. Prints one JSON line.
"""

import json
import os
import sys
import tempfile
import time
from datetime import datetime, timedelta

import csp  # type: ignore[import-not-found]
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from csp import ts
from csp.adapters.parquet import ParquetReader  # type: ignore[import-not-found]

ALPHA_FAST, ALPHA_SLOW, BAND, FEE = json.loads(sys.argv[2])


class Quote(csp.Struct):  # type: ignore[misc]
    bid: float
    ask: float
    bid_size: float
    ask_size: float


class Book:
    def __init__(self) -> None:
        self.position, self.cash, self.fills = 0, 0.0, 0

    def flip(self, want: int, bid: float, ask: float) -> None:
        change = want - self.position
        price = ask if change > 0 else bid
        self.cash -= change * price + abs(change) * price * FEE
        self.position, self.fills = want, self.fills + 1


# csp reads the source of a node: annotations must be objects, and its own words stand in it.
@csp.node  # type: ignore[untyped-decorator]
def ema_flip(q: ts[Quote], book: Book, first_mid: float):  # type: ignore[no-untyped-def]
    with csp.state():
        s_fast = first_mid
        s_slow = first_mid
    if csp.ticked(q):
        mid = (q.bid + q.ask) * 0.5
        s_fast += ALPHA_FAST * (mid - s_fast)
        s_slow += ALPHA_SLOW * (mid - s_slow)
        gap = s_fast - s_slow
        if gap > BAND and book.position <= 0:
            book.flip(1, q.bid, q.ask)
        elif gap < -BAND and book.position >= 0:
            book.flip(-1, q.bid, q.ask)


@csp.graph  # type: ignore[untyped-decorator]
def graph(path: str, book: Book, first_mid: float):  # type: ignore[no-untyped-def]
    reader = ParquetReader(path, time_column="ts")
    quotes = reader.subscribe_all(Quote, push_mode=csp.PushMode.NON_COLLAPSING)
    ema_flip(quotes, book, first_mid)


def main() -> None:
    columns = {
        name: np.load(os.path.join(sys.argv[1], f"{name}.npy")) for name in ("ts", "bid", "ask", "bid_size", "ask_size")
    }
    mids = (columns["bid"] + columns["ask"]) * 0.5
    first, last = float(mids[0]), float(mids[-1])
    begin = datetime.utcfromtimestamp(int(columns["ts"][0]) // 10**9)  # noqa: DTZ004  (csp wants naive UTC)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "quotes.parquet")
        times = pa.array(columns.pop("ts"), pa.timestamp("ns", tz="UTC"))
        pq.write_table(pa.table({"ts": times, **columns}), path, compression="none", use_dictionary=False)
        book = Book()
        begun = time.process_time()
        csp.run(graph, path, book, first, starttime=begin, endtime=begin + timedelta(days=400))
        cpu = time.process_time() - begun
    pnl = book.cash + book.position * last
    print(json.dumps({"cpu_s": cpu, "fills": book.fills, "pnl": pnl, "version": csp.__version__}))


if __name__ == "__main__":
    main()
