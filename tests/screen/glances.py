"""Glances made by hand, that the tests of the screens draw.

May not live here: assertions.
"""

from __future__ import annotations

from typing import Any

from replay.glance import Glance, GlanceFill, GlanceOrder, GlancePosition, GlancePrice, Glances

NOON_NS = 1_723_118_400_000_000_000
"""2024-08-08T12:00:00Z."""


def glance(**changes: Any) -> Glance:
    members: dict[str, Any] = {
        "name": "sma",
        "state": "running",
        "speed": 10.0,
        "time_ns": NOON_NS + 123_456_789,
        "records": 12_345,
        "total": 50_000,
        "rate": 8_200.0,
        "currency": "USDT",
        "equity": 101_234.5,
        "cash": 40_000.0,
        "prices": (
            GlancePrice("BTCUSDT", 61_250.1, 61_250.2, 61_250.2, 61_250.15, 1),
            GlancePrice("ETHUSDT", 2_610.11, 2_610.12, None, 2_610.115, 2),
        ),
        "positions": (
            GlancePosition("sma", "ETHUSDT", 0.0, 0.0, 0.0, -12.5, 3.25),
            GlancePosition("sma", "BTCUSDT", 1.5, 60_000.0, 1_875.225, 250.0, 42.0),
        ),
        "working": 2,
        "orders": (
            GlanceOrder(7, "sma", "BTCUSDT", "sell", "limit", "1.500", "0.250", "62000.0", None, "partially_filled"),
            GlanceOrder(9, "sma", "ETHUSDT", "buy", "stop_market", "10.00", "0.00", None, "2700.00", "new"),
        ),
        "in_flight": 1,
        "fills": 3,
        "last_fills": (
            GlanceFill(NOON_NS - 9_000_000_000, "sma", "ETHUSDT", "sell", 2_600.5, 2.0, 1.04, "USDT", "taker", 5),
            GlanceFill(NOON_NS - 1_000_000_000, "sma", "BTCUSDT", "sell", 62_000.0, 0.25, 3.1, "USDT", "maker", 7),
        ),
        "equity_curve": tuple(100_000.0 + 10 * row + 300 * (row % 7) for row in range(100)),
        "trading": "active",
        "events": 21,
        "rejected": 2,
        "late": 0,
        "stale": 0,
        "dead_letters": 4,
    }
    return Glance(**{**members, **changes})


def glances(latest: Glance | None) -> Glances:
    made = Glances()
    show(made, latest)
    return made


def show(to: Glances, latest: Glance | None) -> None:
    to.latest = latest
    to.number += 1
