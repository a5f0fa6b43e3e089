"""The synthetic market is pinned: the same bytes on every machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from replay.data import convert as data
from replay.feeds.tape import load
from replay.records import Kind

GOLDEN_SHA256 = "91353d4d5269ee2256dd19e8572b21a9fd6d4ddf26e6df521d091b1f8ebbf38c"
"""SHA-256 of the 1,200,000 records of the demo's market, 64 bytes each."""


def test_the_demos_market_is_the_golden_one(tmp_path: Path) -> None:
    header = data.synthetic_tape(tmp_path / "market.npy")
    tape = load(tmp_path / "market.npy")
    assert hashlib.sha256(tape.records.tobytes()).hexdigest() == GOLDEN_SHA256
    assert header.rows == 1_200_000
    assert [entry.symbol for entry in header.instruments] == ["SIM-A", "SIM-B"]
    assert all(entry.kinds == ["quote", "trade"] for entry in header.instruments)
    assert not header.one_time


def test_the_market_is_sound(tmp_path: Path) -> None:
    data.synthetic_tape(tmp_path / "market.npy", seed=3, records=100_000)
    records = load(tmp_path / "market.npy").records
    assert bool(np.all(np.diff(records["ts_event"]) > 0))
    assert bool(np.all(np.diff(records["ts_recv"]) >= 0))
    assert bool(np.all(records["ts_recv"] > records["ts_event"]))
    quotes = records[records["kind"] == Kind.QUOTE]
    assert bool(np.all(quotes["a"] < quotes["b"]))
    assert bool(np.all((quotes["c"] > 0) & (quotes["d"] > 0)))
    for index in (0, 1):
        mine = records[records["instrument"] == index]
        place = np.maximum.accumulate(np.where(mine["kind"] == Kind.QUOTE, np.arange(len(mine)), 0))
        last = mine[place]
        is_trade = mine["kind"] == Kind.TRADE
        at_touch = np.where(mine["side"] == 1, mine["a"] == last["b"], mine["a"] == last["a"])
        assert bool(np.all(at_touch[is_trade])), "trades happen at the best price of the aggressor's other side"
