"""The result of a run, built piece by piece, in memory and in a folder; saved, loaded, printed, plotted."""

from __future__ import annotations

import errno
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from replay.errors import DataError, JournalError, UsageError
from replay.records import RECORD, Kind
from replay.result.builder import ResultBuilder
from replay.result.projections import SCHEMAS
from replay.result.result import Result
from replay.stats import STATISTICS

BUY, SELL = 1, 2
SCALES = [6, 10]
DAY = 86_400_000_000_000
STATE = {
    "open_orders": [{"id": 4}],
    "in_flight": [],
    "positions": [],
    "balances": {"USDT": "100000.88"},
    "equity": "100000.88",
    "now_ns": 2 * DAY,
    "seq": 3,
}

Setup = Callable[..., bytes]
Points = Callable[..., bytes]


def _events(log: Any) -> bytes:
    log.market(1, BUY, 10_000, 1_000, 30_000, time=10)
    log.market(2, SELL, 10_100, 3_000, 90_000, time=DAY)
    log.market(3, BUY, 10_100, 2_000, 0, time=2 * DAY)
    log.add(1, 4, side=BUY, order_type=2, quantity=1_000, limit=5_000, venue_time=2 * DAY)
    data: bytes = log.to_bytes()
    return data


def _records() -> Any:
    records = np.zeros(3, dtype=RECORD)
    records["kind"], records["c"], records["d"] = Kind.QUOTE, 1, 1
    records["ts_recv"] = [0, DAY, 2 * DAY]
    records["a"] = records["b"] = [10_000, 10_100, 12_000]
    return records


def _build(setup: bytes, log: Any, points: Points, folder: Path | None = None, step: int = 128) -> Result:
    builder = ResultBuilder(setup, SCALES, folder=folder, name="demo")
    data = _events(log) if not log.rows else log.to_bytes()
    for start in range(0, len(data), step):
        builder.add_events(data[start : start + step])
    for point in ((0, 100_000.0, 0.0), (10, 99_999.97, 100.0), (DAY, 100_000.88, 202.0), (2 * DAY, 100_000.88, 0.0)):
        builder.add_equity(points(point))
    builder.add_records(_records())
    digest = hashlib.sha256(data).hexdigest()
    return builder.finish(digest=digest, state=STATE, counts={"engine": {"fills": 3}}, timings={"run": 0.5})


@pytest.fixture
def result(setup: Setup, log: Any, points: Points) -> Result:
    return _build(setup(), log, points)


def test_all_statistics_are_kept_with_the_reasons_of_those_without_a_value(result: Result, tmp_path: Path) -> None:
    stats = result.stats
    assert set(STATISTICS) <= set(stats)
    assert set(result.undefined) == {name for name, value in stats.items() if value is None and "." not in name}
    assert result.undefined["beta"] == "no benchmark"
    assert stats["average_trade"] == pytest.approx((0.94 - 0.06) / 2) and stats["long_share"] is not None
    assert stats["average_trade_return"] is not None and stats["maximum_leverage"] is not None
    everything = result.report(statistics="all")
    assert "beta " in everything and "n/a (no benchmark)" in everything
    assert "n/a (no benchmark)" not in result.report()
    result.save(tmp_path)
    assert Result.load(tmp_path).undefined == result.undefined


def test_the_statistics_of_a_small_run(result: Result) -> None:
    stats = result.stats
    assert (stats["orders"], stats["fills"], stats["trades"]) == (4, 3, 2)
    assert stats["fees"] == pytest.approx(0.12) and stats["net_pnl"] == pytest.approx(0.88)
    assert stats["gross_pnl"] == pytest.approx(1.0)
    assert stats["win_rate"] == 0.5 and stats["profit_factor"] == pytest.approx(0.94 / 0.06)
    assert stats["time_in_market"] == pytest.approx(1.0, abs=1e-9)
    assert stats["maximum_drawdown"] == pytest.approx(-0.03 / 100_000)
    assert stats["turnover"] == pytest.approx((100 + 303 + 202) / 100_000, rel=1e-3)
    assert stats["buy_and_hold_return.BTCUSDT"] == pytest.approx(0.2)
    assert stats["buy_and_hold_return.ETHUSDT"] is None and stats["buy_and_hold_return"] == pytest.approx(0.2)
    assert (stats["start_ns"], stats["end_ns"], stats["periods"]) == (0, 2 * DAY, 3)


def test_the_tables_of_a_small_run(result: Result) -> None:
    assert [len(result.table(name)) for name in ("fills", "orders", "positions", "trades", "equity")] == [3, 4, 4, 2, 4]
    assert result.orders["order_id"].tolist() == [1, 2, 3, 4]
    assert result.orders["state"].tolist() == ["filled", "filled", "filled", "new"]
    assert result.trades["side"].tolist() == ["long", "short"]
    assert result.marks["price"].tolist()[-1] == 120.0
    assert result.equity["equity"].tolist() == [100_000.0, 99_999.97, 100_000.88, 100_000.88]


def test_what_was_open_at_the_end_is_listed(result: Result) -> None:
    assert result.open_orders == [{"id": 4}] and result.in_flight == [] and result.open_positions == []
    assert result.balances == {"USDT": "100000.88"} and result.currency == "USDT"
    assert result.counts == {"engine": {"fills": 3}} and result.timings == {"run": 0.5}
    assert not result.interrupted and result.folder is None


def test_a_folder_holds_the_same_result(setup: Setup, log: Any, points: Points, result: Result, tmp_path: Path) -> None:
    built = _build(setup(), log, points, tmp_path / "run")
    loaded = Result.load(tmp_path / "run")
    for other in (built, loaded):
        assert other.document == result.document
        for name in SCHEMAS:
            assert other.table(name).to_dict() == result.table(name).to_dict(), name
        assert other.folder == tmp_path / "run"
    log_bytes = (tmp_path / "run" / "events.bin").read_bytes()
    assert hashlib.sha256(log_bytes).hexdigest() == loaded.digest == result.digest


@pytest.mark.parametrize("step", [128, 3 * 128, 100 * 128])
def test_nothing_depends_on_how_events_are_cut(
    setup: Setup, log: Any, points: Points, result: Result, step: int
) -> None:
    again = _build(setup(), log, points, step=step)
    assert again.document == result.document
    assert again.fills.to_dict() == result.fills.to_dict()


def test_pyarrow_reads_the_files_of_a_run_folder(setup: Setup, log: Any, points: Points, tmp_path: Path) -> None:
    ipc = pytest.importorskip("pyarrow.ipc", reason="pyarrow is not installed")
    result = _build(setup(), log, points, tmp_path)
    for name, columns in SCHEMAS.items():
        read = ipc.open_stream(tmp_path / f"{name}.arrow").read_all()
        assert read.column_names == [column.name for column in columns]
        assert read.num_rows == len(result.table(name))


def test_a_result_in_memory_can_be_saved(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path / "kept")
    result.save(tmp_path / "kept")
    loaded = Result.load(tmp_path / "kept")
    assert loaded.document == result.document
    assert loaded.fills.to_dict() == result.fills.to_dict()
    assert hashlib.sha256((tmp_path / "kept" / "events.bin").read_bytes()).hexdigest() == result.digest
    loaded.save(tmp_path / "kept")
    loaded.save(tmp_path / "copy")
    assert Result.load(tmp_path / "copy").positions.to_dict() == result.positions.to_dict()


def test_result_json_has_a_readable_shape(result: Result, tmp_path: Path) -> None:
    result.save(tmp_path)
    document = json.loads((tmp_path / "result.json").read_text())
    assert {"digest", "counts", "statistics", "timings", "versions", "state", "interrupted"} <= set(document)
    assert document["instruments"][0] == {
        "symbol": "BTCUSDT",
        "price_decimals": 2,
        "size_decimals": 3,
        "multiplier": "1",
        "quote": "USDT",
    }
    assert document["currencies"][0] == {"name": "USDT", "decimals": 4, "ledger_scale": 6}
    assert document["versions"]["numpy"] == np.__version__
    line = result.to_json()
    assert b"\n" not in line and json.loads(line) == document


def test_a_run_without_anything_has_a_result(setup: Setup, tmp_path: Path) -> None:
    result = ResultBuilder(setup(), SCALES, folder=tmp_path).finish(digest=hashlib.sha256(b"").hexdigest())
    assert result.stats["start_equity"] == result.stats["end_equity"] == 100_000.0
    assert result.stats["net_pnl"] == 0.0 and result.stats["sharpe_ratio"] is None
    assert (tmp_path / "events.bin").read_bytes() == b""
    assert "n/a" in repr(Result.load(tmp_path))
    assert [len(result.table(name)) for name in SCHEMAS] == [0] * len(SCHEMAS)


def test_warmup_is_not_part_of_the_statistics(setup: Setup, points: Points) -> None:
    builder = ResultBuilder(setup(trading_start_ns=DAY), SCALES)
    builder.add_equity(points((0, 100_000.0, 0.0), (DAY - 1, 100_000.0, 0.0), (DAY, 100_000.0, 0.0)))
    builder.add_equity(points((2 * DAY, 100_100.0, 50.0)))
    stats = builder.summary()
    assert stats["start_ns"] == DAY and stats["periods"] == 2


def test_cash_in_several_currencies_starts_from_the_first_point(setup: Setup, points: Points) -> None:
    account = {"kind": "cash", "leverage": "1", "currency": "USDT", "cash": {"USDT": "10", "BTC": "1"}}
    builder = ResultBuilder(setup(account=account), SCALES)
    builder.add_equity(points((0, 50_010.0, 50_000.0), (DAY, 55_011.0, 55_001.0)))
    stats = builder.summary()
    assert stats["start_equity"] == 50_010.0 and stats["total_return"] == pytest.approx(0.1)


def test_the_engine_s_state_gives_the_last_equity_point_and_exact_marks(setup: Setup, points: Points) -> None:
    builder = ResultBuilder(setup(), SCALES)
    builder.add_equity(points((0, 100_000.0, 0.0)))
    builder.add_records(_records())
    state = {
        "equity": "100250.5",
        "now_ns": 3 * DAY,
        "seq": 9,
        "balances": {"USDT": "99750.5"},
        "positions": [{"symbol": "BTCUSDT", "quantity": -2.0}, {"symbol": "ETHUSDT", "quantity": 0.0}],
        "marks": {"BTCUSDT": ("100.0", "125.0"), "ETHUSDT": (None, None)},
    }
    result = builder.finish(digest="0", state=state)
    assert result.equity.row(-1) == {
        "time": 3 * DAY,
        "tape_seq": 8,
        "equity": 100_250.5,
        "cash": 99_750.5,
        "exposure": 250.0,
    }
    assert result.stats["end_equity"] == 100_250.5 and result.stats["end_ns"] == 3 * DAY
    assert result.stats["buy_and_hold_return.BTCUSDT"] == 0.25
    assert result.stats["buy_and_hold_return.ETHUSDT"] is None


def test_a_flush_makes_a_live_run_readable(setup: Setup, log: Any, points: Points, tmp_path: Path) -> None:
    builder = ResultBuilder(setup(), SCALES, folder=tmp_path, keeps_events=False)
    builder.add_events(_events(log))
    builder.add_equity(points((0, 1.0, 0.0)))
    builder.flush()
    partial = Result({"name": "live", "statistics": {}}, {name: tmp_path / f"{name}.arrow" for name in SCHEMAS})
    assert len(partial.fills) == 3 and len(partial.equity) == 1
    assert not (tmp_path / "events.bin").exists()
    builder.close()
    builder.close()


def test_a_full_disk_is_a_journal_error_and_closes_all_files(
    setup: Setup, log: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder = ResultBuilder(setup(), SCALES, folder=tmp_path)
    builder.add_events(_events(log))
    target: Any = builder._writers["fills"]

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            self.closed = True

    full = Full()
    target._file.close()
    monkeypatch.setattr(target, "_file", full)
    with pytest.raises(JournalError, match=r"fills\.arrow: cannot write: No space left on device"):
        builder.close()
    assert full.closed and builder._writers["orders"]._file.closed
    assert len(Result({"name": "x"}, {"orders": tmp_path / "orders.arrow"}).orders) == 3


def test_loading_names_what_is_wrong(tmp_path: Path, result: Result) -> None:
    with pytest.raises(UsageError, match="not a run folder"):
        Result.load(tmp_path)
    (tmp_path / "result.json").write_text("{")
    with pytest.raises(DataError, match="not the result of a run"):
        Result.load(tmp_path)
    (tmp_path / "result.json").write_text('{"result_version": 99}')
    with pytest.raises(DataError, match="result_version is 99"):
        Result.load(tmp_path)
    result.save(tmp_path)
    (tmp_path / "fills.arrow").unlink()
    with pytest.raises(DataError, match="no fills table"):
        _ = Result.load(tmp_path).fills


def test_a_folder_that_cannot_be_made_is_a_journal_error(setup: Setup, result: Result, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JournalError, match="cannot make the run folder"):
        ResultBuilder(setup(), SCALES, folder=tmp_path / "file" / "run")
    with pytest.raises(JournalError, match="cannot write the run folder"):
        result.save(tmp_path / "file" / "run")


def test_printed_it_shows_statistics_chart_and_digest(result: Result) -> None:
    text = repr(result)
    assert text.startswith("demo\n") and "Net P&L" in text and "█" in text and result.digest in text
    html = result._repr_html_()
    assert "<svg" in html and "<strong>demo</strong>" in html and "P&amp;L" in html


def test_printed_it_names_why_orders_were_refused(setup: Setup) -> None:
    counts = {"engine": {"rejections": {"insufficient_funds": 8_085, "no_market": 0, "requested": 4}}}
    result = ResultBuilder(setup(), SCALES).finish(digest="0", counts=counts)
    assert "Refused or cut short: insufficient_funds 8,085\n" in result.report()


def test_an_interrupted_run_says_so(setup: Setup) -> None:
    result = ResultBuilder(setup(), SCALES).finish(digest="0", interrupted=True)
    assert result.interrupted and result.report().startswith("INTERRUPTED")


def test_a_plot_is_written(result: Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `report`)")
    assert result.plot(tmp_path / "run.png") == tmp_path / "run.png"
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")
    figure = result.plot()
    labels = [axis.get_ylabel() for axis in figure.axes if axis.get_ylabel()]
    assert labels == ["BTCUSDT", "equity USDT", "drawdown %", "exposure"]
    with pytest.raises(UsageError, match="cannot write the plot"):
        result.plot(tmp_path / "absent" / "run.png")
    with pytest.raises(UsageError, match="cannot write the plot"):
        result.plot(tmp_path / "run.nonsense")


def test_without_matplotlib_the_extra_is_named(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"tickreplay\[report\]"):
        result.plot()


def test_large_runs_go_to_temporary_files_and_stay_whole(setup: Setup, log: Any, points: Points) -> None:
    builder = ResultBuilder(setup(), SCALES)
    for order_id in range(100):
        log.market(order_id, BUY if order_id % 2 else SELL, 10_000, 1_000, time=order_id)
    block = log.to_bytes()
    for _ in range(400):
        builder.add_events(block)
    result = builder.finish(digest="0")
    assert len(result.fills) == 40_000 == result.stats["fills"]
    assert result.stats["trades"] == 20_000
