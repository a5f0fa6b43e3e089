"""Event logs written by hand, as the engine would write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from replay.events import ABSENT, EQUITY, EVENT, EventKind

Setup = Callable[..., bytes]


class EventLog:
    """Collects events; every method appends one and gives the log back."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def add(self, kind: EventKind, order_id: int, **fields: Any) -> EventLog:
        row = np.zeros(1, dtype=EVENT)
        row["limit"] = row["trigger"] = row["expire"] = ABSENT
        row["kind"], row["order_id"], row["order_type"], row["time_in_force"] = kind, order_id, 1, 1
        row["tape_seq"] = row["index"] = len(self.rows)
        amount = int(fields.pop("amount", 0))
        row["amount_low"], row["amount_high"] = amount & (2**64 - 1), amount >> 64
        for name, value in fields.items():
            row[name] = value
        self.rows.append(row)
        return self

    def fill(
        self, order_id: int, side: int, price: int, size: int, fee: int = 0, *, filled: int | None = None, **rest: Any
    ) -> EventLog:
        rest.setdefault("liquidity", 2)
        values = {"last_price": price, "last_size": size, "amount": fee, "filled": filled or size, **rest}
        return self.add(EventKind.FILL, order_id, side=side, **values)

    def market(
        self, order_id: int, side: int, price: int, size: int, fee: int = 0, *, time: int = 0, **rest: Any
    ) -> EventLog:
        """A market order that is filled whole."""
        common = {"quantity": size, "venue_time": time, "answer_time": time, **rest}
        self.add(EventKind.NEW, order_id, side=side, **common)
        return self.fill(order_id, side, price, size, fee, **common)

    def array(self) -> Any:
        return np.concatenate(self.rows) if self.rows else np.zeros(0, dtype=EVENT)

    def to_bytes(self) -> bytes:
        data: bytes = self.array().tobytes()
        return data


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def setup() -> Setup:
    """Make the engine's setup: two instruments with 2 price and 3 size decimals, one strategy, 100,000 USDT."""

    def make(**changes: Any) -> bytes:
        instrument = {
            "venue": 0,
            "tick": "0.01",
            "lot": "0.001",
            "price_decimals": 2,
            "size_decimals": 3,
            "quote": "USDT",
            "base": None,
            "multiplier": "1",
            "source": "quote+trade",
            "sizes": "full",
            "bar_length": None,
            "bar_price": "trade",
        }
        document: dict[str, Any] = {
            "seed": 7,
            "trading_start_ns": None,
            "equity_every_ns": 60_000_000_000,
            "currencies": [{"name": "USDT", "decimals": 4}, {"name": "BTC", "decimals": 8}],
            "account": {"kind": "margin", "leverage": "2", "currency": "USDT", "cash": {"USDT": "100000"}},
            "instruments": [{**instrument, "symbol": "BTCUSDT", "base": "BTC"}, {**instrument, "symbol": "ETHUSDT"}],
            "strategies": [{"name": "sma"}, {"name": "mean"}],
        }
        document.update(changes)
        return json.dumps(document).encode()

    return make


LEDGER_SCALES = [6, 10]


@pytest.fixture
def points() -> Callable[..., bytes]:
    """Make equity points of (ts, equity, exposure) rows."""

    def make(*rows: tuple[int, float, float]) -> bytes:
        array = np.zeros(len(rows), dtype=EQUITY)
        for place, (ts, equity, exposure) in enumerate(rows):
            array[place] = (ts, place, equity, equity - exposure, exposure)
        data: bytes = array.tobytes()
        return data

    return make
