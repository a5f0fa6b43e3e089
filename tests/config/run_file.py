"""A complete run file for the tests of this folder: the one of the contract.

Only text may live here.
"""

from __future__ import annotations

RUN_FILE = """\
[run]
seed = 7
from = "2022-01-01T00:00:00Z"
warmup = "2h"
equity_every = "1m"
periods_per_year = 365
[[strategy]]
class = "strategies/sma_cross.py:SmaCross"
name = "sma"
params = { symbol = "BTCUSDT", fast = 20, slow = 50 }
[[feed]]
uri = "data/btcusdt-1m.csv.gz"
records = "bar"
symbol = "BTCUSDT"
bar = "1m"
time = { column = "timestamp", unit = "iso", zone = "UTC", stamp = "end" }
receive = { column = "local_time", unit = "ns" }
columns = { open = "open", high = "high", low = "low", close = "close", volume = "volume" }
excess_decimals = "round"
[[instrument]]
symbol = "BTCUSDT"
venue = "binance"
tick = "0.01"
lot = "0.00001"
price_decimals = 2
size_decimals = 8
quote = "USDT"
base = "BTC"
[[venue]]
name = "binance"
fees = { maker = "0.0002", taker = "0.0005" }
latency = { entry = "0ms", cancel = "0ms", response = "0ms" }
[account]
kind = "margin"
leverage = "2"
currency = "USDT"
cash = { USDT = "100000" }
[metrics]
port = 9109
"""


def changed(before: str, after: str) -> str:
    """Return the run file with one piece of its text replaced; the piece must be there."""
    assert before in RUN_FILE, before
    return RUN_FILE.replace(before, after, 1)
