"""What an event log becomes as fills, orders, positions and trades."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from replay.events import EventKind
from replay.result.order_rows import OrderProjection
from replay.result.position_rows import PositionProjection
from replay.result.positions import Position
from replay.result.projections import RunScales, amounts, fills_table
from replay.result.reasons import REASONS, reason_name
from replay.result.tables import Table
from replay.result.trade_rows import TradeProjection

BUY, SELL = 1, 2
SCALES = [6, 10]


@pytest.fixture
def scales(setup: Callable[..., bytes]) -> RunScales:
    return RunScales(setup(), SCALES)


def _only_fills(log: Any) -> Any:
    events = log.array()
    return events[events["kind"] == EventKind.FILL]


def test_reasons_are_those_of_the_engine() -> None:
    source = Path(__file__).resolve().parents[2] / "engine_rs" / "core" / "src" / "reason.rs"
    found = re.findall(r'^\s+\w+ = (\d+), "(\w+)",', source.read_text(), re.MULTILINE)
    assert [(int(code), name) for code, name in found] == list(enumerate(REASONS))
    assert reason_name(9) == "no_market" and reason_name(60_000) == "reason_60000"


def test_amounts_are_exact_beyond_64_bits(log: Any) -> None:
    wide = [0, -1, 2**63 - 1, -(2**63), 2**63, -(2**100), 2**100 + 7]
    for amount in wide:
        log.add(EventKind.FILL, 1, amount=amount)
    assert amounts(log.array()).tolist() == wide
    assert amounts(log.array()[:4]).dtype == np.int64


def test_a_fill_is_one_row_with_exact_and_readable_numbers(log: Any, scales: RunScales) -> None:
    times = {"venue_time": 10**18, "answer_time": 10**18 + 5}
    log.fill(7, SELL, 6_165_970, 1_500, 4_624_500, **times, strategy=1, instrument=1, flags=1, liquidity=1)
    row = fills_table(log.array(), scales).row(0)
    assert row == {
        "time": 10**18,
        "symbol": "ETHUSDT",
        "strategy": "mean",
        "order_id": 7,
        "side": "sell",
        "price": 61659.70,
        "size": 1.5,
        "fee": 4.6245,
        "fee_currency": "USDT",
        "liquidity": "maker",
        "unsized": True,
        "seen_time": 10**18 + 5,
        "tape_seq": 0,
        "event_index": 0,
        "price_raw": 6_165_970,
        "size_raw": 1_500,
        "fee_raw": 46_245,
    }


def test_a_fee_finer_than_its_currency_has_no_raw_form(log: Any, scales: RunScales) -> None:
    log.fill(1, BUY, 1, 1, 150).fill(1, BUY, 1, 1, -200).fill(1, BUY, 1, 1, 2**70 * 100).fill(1, BUY, 1, 1, 2**62 * 100)
    table = fills_table(log.array(), scales)
    assert table.to_dict()["fee_raw"] == [None, -2, None, 2**62]
    assert table["fee"].tolist() == pytest.approx([0.00015, -0.0002, 2**70 / 1e4, 2**62 / 1e4])
    assert fills_table(log.array()[:2], scales).to_dict()["fee_raw"] == [None, -2]


# -- orders


def _orders(log: Any, scales: RunScales, *cuts: int) -> Table:
    projection = OrderProjection(scales)
    events = log.array()
    edges = [0, *cuts, len(events)]
    parts = [projection.add(events[start:limit]) for start, limit in pairwise(edges)]
    return Table.concatenate([*parts, projection.still_open()])


def test_a_filled_order_is_one_row(log: Any, scales: RunScales) -> None:
    log.add(EventKind.NEW, 3, side=BUY, order_type=2, time_in_force=5, quantity=3_000, limit=10_050, venue_time=100)
    log.fill(3, BUY, 10_050, 1_000, 100, quantity=3_000, filled=1_000, venue_time=200)
    log.fill(3, BUY, 10_020, 2_000, 50, quantity=3_000, filled=3_000, venue_time=300)
    row = _orders(log, scales, 1, 2).row(0)
    assert row["state"] == "filled" and row["reason"] is None
    assert (row["type"], row["time_in_force"], row["side"]) == ("limit", "DAY", "buy")
    assert (row["quantity"], row["filled"], row["fills"]) == (3.0, 3.0, 2)
    assert row["average_price"] == pytest.approx(100.30, rel=1e-15)
    assert row["fees"] == pytest.approx(0.00015) and row["fee_currency"] == "USDT"
    assert (row["created_time"], row["triggered_time"], row["ended_time"]) == (100, None, 300)
    assert (row["limit"], row["limit_raw"], row["trigger"], row["trigger_raw"]) == (100.50, 10_050, None, None)


def test_every_end_has_its_state_and_reason(log: Any, scales: RunScales) -> None:
    log.add(EventKind.REJECTED, 1, side=BUY, quantity=5, reason=2, venue_time=9)
    log.add(EventKind.NEW, 2, side=BUY, quantity=5, venue_time=10)
    log.add(EventKind.CANCELED, 2, side=BUY, quantity=5, reason=9, venue_time=11)
    log.add(EventKind.NEW, 3, side=SELL, quantity=5, venue_time=12, time_in_force=4, expire=50)
    log.add(EventKind.EXPIRED, 3, side=SELL, quantity=5, venue_time=50)
    log.add(EventKind.CANCELED, 4, side=SELL, quantity=5, reason=17, venue_time=51)
    table = _orders(log, scales)
    assert table["state"].tolist() == ["rejected", "canceled", "expired", "canceled"]
    assert table["reason"].tolist() == ["insufficient_funds", "no_market", None, "strategy_halted"]
    assert table.to_dict()["created_time"] == [9, 10, 12, 51]
    assert table.to_dict()["ended_time"] == [9, 11, 50, 51]
    assert table.to_dict()["expire"] == [None, None, 50, None]
    assert np.isnan(table["average_price"]).all()


def test_replacing_and_triggering_are_followed_and_refused_commands_change_nothing(log: Any, scales: RunScales) -> None:
    log.add(EventKind.NEW, 1, side=BUY, order_type=4, quantity=4_000, limit=200, trigger=190, venue_time=1)
    log.add(EventKind.REPLACED, 1, side=BUY, order_type=4, quantity=2_000, limit=210, trigger=195, venue_time=2)
    log.add(EventKind.AMEND_REJECTED, 1, side=BUY, quantity=1, limit=1, trigger=1, reason=15, venue_time=3)
    log.add(EventKind.TRIGGERED, 1, side=BUY, order_type=4, quantity=2_000, limit=210, trigger=195, venue_time=4)
    log.add(EventKind.CANCEL_REJECTED, 1, side=BUY, reason=14, venue_time=5)
    log.fill(1, BUY, 200, 500, quantity=2_000, filled=500, venue_time=6)
    row = _orders(log, scales, 2, 4).row(0)
    assert (row["state"], row["type"], row["triggered_time"]) == ("partially_filled", "stop_limit", 4)
    assert (row["quantity"], row["filled"], row["limit"], row["trigger"]) == (2.0, 0.5, 2.10, 1.95)
    assert row["ended_time"] is None and row["created_time"] == 1


def test_an_order_that_is_amended_and_filled_for_ever_keeps_what_its_row_shows(log: Any, scales: RunScales) -> None:
    dice = np.random.default_rng(3)
    log.add(EventKind.NEW, 1, side=BUY, order_type=4, quantity=9, limit=100, trigger=90, venue_time=1)
    log.add(EventKind.NEW, 2, side=SELL, order_type=2, quantity=5, limit=500, venue_time=2)
    log.add(EventKind.TRIGGERED, 1, side=BUY, order_type=4, quantity=9, limit=100, trigger=90, venue_time=3)
    filled = 0
    for step in range(2_000):
        quantity, price, size = filled + 1_000, 100 + int(dice.integers(-9, 10)), int(dice.integers(1, 90))
        log.add(EventKind.REPLACED, 1, side=BUY, order_type=4, quantity=quantity, limit=price, venue_time=4 + step)
        filled += size
        log.fill(1, BUY, price, size, 7 * 10**15 * size, quantity=quantity, filled=filled, venue_time=4 + step)
    whole = _orders(log, scales)
    projection = OrderProjection(scales)
    for piece in np.array_split(log.array(), 40):
        assert len(projection.add(piece)) == 0
        assert projection.kept < 500, "of 4,000 events"
    assert projection.still_open().to_dict() == whole.to_dict()
    row = whole.row(0)
    assert (row["fills"], row["filled_raw"], row["triggered_time"], row["limit_raw"]) == (2_000, filled, 3, price)
    fills = log.array()[log.array()["kind"] == EventKind.FILL]
    mean = np.average(fills["last_price"] / 100.0, weights=fills["last_size"])
    assert row["average_price"] == pytest.approx(mean, rel=1e-12)
    assert row["fees"] == pytest.approx(7e9 * filled)
    log.add(EventKind.CANCELED, 1, side=BUY, quantity=filled + 5, filled=filled, venue_time=9_000)
    ended = projection.add(log.array()[-1:])
    assert ended.row(0) == {**_orders(log, scales).row(0)}
    assert projection.kept == 1 and not projection._folded


def test_an_order_amended_down_to_what_is_filled_next_ends_filled(log: Any, scales: RunScales) -> None:
    log.add(EventKind.NEW, 1, side=BUY, quantity=4_000, venue_time=1)
    log.add(EventKind.REPLACED, 1, side=BUY, quantity=1_000, venue_time=2)
    log.fill(1, BUY, 200, 1_000, quantity=1_000, filled=1_000, venue_time=3)
    assert _orders(log, scales).row(0)["state"] == "filled"


def test_open_orders_stand_last_by_id_and_none_is_counted_twice(log: Any, scales: RunScales) -> None:
    for order_id in (5, 2, 9):
        log.add(EventKind.NEW, order_id, side=BUY, quantity=1_000)
    log.fill(9, BUY, 100, 1_000, filled=1_000)
    projection = OrderProjection(scales)
    ended = projection.add(log.array())
    assert ended["order_id"].tolist() == [9]
    assert projection.still_open()["order_id"].tolist() == [2, 5]


def test_postings_and_nothing_make_no_orders(log: Any, scales: RunScales) -> None:
    log.add(EventKind.POSTING, 4, amount=100)
    assert len(_orders(log, scales)) == 0
    assert len(OrderProjection(scales).add(log.array()[:0])) == 0


# -- positions and trades


def test_a_flip_is_one_fill_and_two_position_rows(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 10_000, 1_000, 30_000, time=10)
    log.market(2, SELL, 10_100, 3_000, 90_000, time=20)
    positions = PositionProjection(scales).add(_only_fills(log))
    trades = TradeProjection(scales).add(_only_fills(log))
    assert positions["quantity"].tolist() == [1.0, 0.0, -2.0]
    assert positions.to_dict()["average_price"] == [100.0, None, 101.0]
    assert positions["realised"].tolist() == pytest.approx([0.0, 1.0, 1.0])
    assert positions["fees"].tolist() == pytest.approx([0.03, 0.06, 0.12])
    assert positions.to_dict()["time"] == [10, 20, 20]
    (trade,) = trades.rows()
    assert (trade["side"], trade["entry_price"], trade["exit_price"], trade["max_size"]) == ("long", 100.0, 101.0, 1.0)
    assert (trade["gross"], trade["fees"], trade["net"]) == pytest.approx((1.0, 0.06, 0.94))
    assert (trade["entry_time"], trade["exit_time"], trade["fills"]) == (10, 20, 2)
    assert (trade["first_order_id"], trade["last_order_id"], trade["currency"]) == (1, 2, "USDT")
    assert (trade["gross_raw"], trade["fees_raw"]) == (round(trade["gross"] * 10**6), round(trade["fees"] * 10**6))


def test_strategies_and_instruments_hold_their_own_positions(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 10_000, 1_000, time=1)
    log.market(2, SELL, 10_000, 1_000, time=2, strategy=1)
    log.market(3, SELL, 20_000, 1_000, time=3, instrument=1)
    positions = PositionProjection(scales).add(_only_fills(log))
    assert positions["quantity"].tolist() == [1.0, -1.0, -1.0]
    assert len(TradeProjection(scales).add(_only_fills(log))) == 0
    assert positions["strategy"].tolist() == ["sma", "mean", "sma"]
    assert positions["symbol"].tolist() == ["BTCUSDT", "BTCUSDT", "ETHUSDT"]


FILL_ROWS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.integers(0, 1),
        st.integers(BUY, SELL),
        st.integers(-50, 150),
        st.integers(1, 9),
        st.integers(-9, 99),
        st.sampled_from([0, 0, 0, 0, 0, 1]),
    ),
    max_size=60,
)


def _fills_of(rows: list[tuple[int, ...]], log: Any) -> Any:
    log.rows.clear()
    for order_id, (strategy, instrument, side, price, size, fee, currency) in enumerate(rows):
        where = {"strategy": strategy, "instrument": instrument, "currency": currency}
        log.fill(order_id, side, price, size, fee, venue_time=order_id * 10, **where)
    return log.array()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=FILL_ROWS, cuts=st.lists(st.integers(0, 60), max_size=5))
def test_rows_do_not_depend_on_how_the_fills_are_cut(
    rows: list[tuple[int, ...]], cuts: list[int], log: Any, scales: RunScales
) -> None:
    fills = _fills_of(rows, log)
    edges = [0, *sorted(min(cut, len(fills)) for cut in cuts), len(fills)]
    for make in (PositionProjection, TradeProjection):
        whole = make(scales).add(fills)
        pieces = make(scales)
        parts = [pieces.add(fills[start:limit]) for start, limit in pairwise(edges)]
        assert Table.concatenate(parts).to_dict() == whole.to_dict()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=FILL_ROWS)
def test_trades_are_what_walking_through_the_fills_one_by_one_finds(
    rows: list[tuple[int, ...]], log: Any, scales: RunScales
) -> None:
    rows = [(*row[:6], 0) for row in rows]
    trades = TradeProjection(scales).add(_fills_of(rows, log))
    found = list(zip(*(trades[name].tolist() for name in ("gross", "fees", "max_size", "fills")), strict=True))
    expected = []
    for strategy, instrument in ((0, 0), (0, 1), (1, 0), (1, 1)):
        own = [(at, row) for at, row in enumerate(rows) if row[:2] == (strategy, instrument)]
        expected += _walked(own)
    assert sorted(found) == sorted(trip for _, trip in expected)
    times = trades.integers("exit_time").tolist()
    assert times == sorted(times) == sorted(10 * at for at, _ in expected)


def _walked(own: list[tuple[int, tuple[int, ...]]]) -> list[tuple[int, tuple[float, float, float, int]]]:
    """Find round trips with a Position, fill by fill: gross, fees, largest size, fills."""
    position, trips = Position(10), []
    start_realised = start_fees = largest = count = 0
    for at, (_, _, side, price, size, fee, _) in own:
        for change in position.fill(side == BUY, price, size, fee):
            count += 1
            largest = max(largest, abs(change.quantity))
            if change.quantity == 0:
                gross, fees = change.realised - start_realised, change.fees - start_fees
                trips.append((at, (gross / 1e6, fees / 1e6, largest / 1e3, count)))
                start_realised, start_fees, largest, count = change.realised, change.fees, 0, 0
    return trips


def test_values_beyond_64_bits_stay_exact(log: Any, scales: RunScales) -> None:
    log.fill(1, BUY, 4 * 10**12, 3 * 10**9, 2**66).fill(2, SELL, 4 * 10**12 + 7, 3 * 10**9, 0)
    (trade,) = TradeProjection(scales).add(log.array()).rows()
    assert trade["gross"] == 7 * 3 * 10**9 / 1e5 and trade["fees"] == 2**66 / 1e6
    assert trade["entry_price"] == 4 * 10**10


def test_a_fee_in_the_base_coin_is_valued_at_the_fill_s_price(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 5_000_000, 1_000, 10_000_000, currency=1)
    log.market(2, SELL, 5_000_000, 1_000, 0)
    projection = TradeProjection(scales)
    trades = projection.add(_only_fills(log))
    assert trades["fees"].tolist() == pytest.approx([0.001 * 50_000])
    assert projection.fees() == {"USDT": pytest.approx(50.0)}


def test_a_fee_in_a_third_currency_leaves_the_net_undefined(log: Any, scales: RunScales) -> None:
    log.market(1, BUY, 5_000, 1_000, 7, currency=1, instrument=1)
    log.market(2, SELL, 5_100, 1_000, 0, instrument=1)
    projection = TradeProjection(scales)
    trades = projection.add(_only_fills(log))
    assert trades.row(0)["net"] is None and trades.row(0)["gross"] == 1.0
    assert projection.fees() == {"USDT": None}
    assert projection.traded() == {"USDT": pytest.approx(101.0)}


def test_a_multiplier_scales_values_and_not_prices(setup: Callable[..., bytes], log: Any) -> None:
    document = json.loads(setup())
    document["instruments"][0]["multiplier"] = "0.05"
    scales = RunScales(json.dumps(document).encode(), [7, 10])
    log.market(1, BUY, 10_000, 2_000, 10)
    log.market(2, SELL, 10_400, 2_000, 10)
    projection = TradeProjection(scales)
    trades = projection.add(_only_fills(log))
    positions = PositionProjection(scales).add(_only_fills(log))
    assert positions.to_dict()["average_price"] == [100.0, None]
    assert trades["gross"].tolist() == pytest.approx([4.0 * 2 * 0.05])
    assert projection.traded() == {"USDT": pytest.approx(204.0 * 2 * 0.05)}


def test_the_ledger_scales_must_fit_the_currencies(setup: Callable[..., bytes]) -> None:
    with pytest.raises(ValueError, match="1 ledger scales for 2 currencies"):
        RunScales(setup(), [6])


def test_start_equity_is_known_where_all_cash_is_in_the_account_s_currency(setup: Callable[..., bytes]) -> None:
    account = {"kind": "cash", "leverage": "1", "currency": "USDT", "cash": {"USDT": "10", "BTC": "1"}}
    assert RunScales(setup(), SCALES).start_equity == 100_000.0
    assert RunScales(setup(account=account), SCALES).start_equity is None
    account["cash"] = {"USDT": "10", "BTC": "0"}
    assert RunScales(setup(account=account), SCALES).start_equity == 10.0
