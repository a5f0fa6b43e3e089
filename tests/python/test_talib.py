"""TA-Lib's functions on the last bars of a strategy: their values, and what is said where they cannot be had."""

from __future__ import annotations

import sys
from collections import deque
from typing import Any

import numpy as np
import pytest

from replay import Strategy
from replay.errors import UsageError
from replay.testing import bars, run

PRICES = [100 + (row * row) % 17 - row / 4 for row in range(60)]


def test_without_talib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from replay.talib import latest

    monkeypatch.setitem(sys.modules, "talib", None)
    with pytest.raises(UsageError, match="TA-Lib is not installed") as raised:
        latest("SMA", [1.0])
    assert raised.value.remedy == "pip install 'tickreplay[talib]'"


def test_a_function_gives_its_last_value_or_none() -> None:
    pytest.importorskip("talib")
    from replay.talib import latest

    assert latest("SMA", [1, 2, 3, 4], timeperiod=2) == 3.5
    assert latest("SMA", [1], timeperiod=2) is None
    assert latest("SMA", []) is None
    bands = latest("BBANDS", np.array(PRICES), timeperiod=5)
    assert isinstance(bands, tuple)
    assert bands[0] > bands[1] > bands[2]


@pytest.mark.parametrize(
    ("name", "inputs", "parameters", "message"),
    [
        ("SMAA", [[1.0]], {}, "no function 'SMAA'"),
        ("CCI", [[1.0, 2.0]], {}, "refuses this"),
        ("CCI", [[1.0], [1.0, 2.0], [1.0]], {}, "refuses this"),
        ("SMA", [[1.0, 2.0]], {"period": 2}, "refuses this"),
    ],
)
def test_what_it_cannot_do_is_refused_with_what_it_takes(
    name: str, inputs: list[Any], parameters: dict[str, Any], message: str
) -> None:
    pytest.importorskip("talib")
    from replay.talib import latest

    with pytest.raises(UsageError, match=message) as raised:
        latest(name, *inputs, **parameters)
    assert raised.value.remedy


def test_a_strategy_keeps_the_past_in_plain_attributes() -> None:
    pytest.importorskip("talib")
    from replay.talib import latest

    class ByCci(Strategy):
        symbol: str

        def on_start(self) -> None:
            self.bars(self.symbol, "1m")
            self.past: deque[tuple[float, float, float]] = deque(maxlen=30)
            self.seen: list[float] = []

        def on_bar(self, bar: Any) -> None:
            self.past.append((bar.high, bar.low, bar.close))
            value = latest("CCI", *zip(*self.past, strict=True), timeperiod=10)
            if isinstance(value, float):
                self.seen.append(value)

    strategy = ByCci(symbol="TEST")
    run(strategy, bars([(p, p + 1, p - 1, p + 0.5) for p in PRICES]))
    import talib

    close = np.array(PRICES) + 0.5
    expected = talib.CCI(np.array(PRICES) + 1, np.array(PRICES) - 1, close, timeperiod=10)
    assert np.allclose(strategy.seen, expected[9:])
