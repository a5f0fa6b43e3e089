"""The page in a real browser: draws, asks for nothing, zooms into its full data, follows clicks, goes dark, prints."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from support.browser import Page, find_browser, open_browser

import replay
from replay import modes, records
from replay.config import load
from replay.records import Kind
from replay.report import find_subject, write_comparison, write_report
from replay.report.comparison import Comparison
from replay.strategies.sma_cross import SmaCross

READY = "document.documentElement?.dataset.ready === 'yes'"
CHART = "window.replayReport.chart"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.program,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"),
]


@pytest.fixture
async def shown(made: Path, tmp_path: Path) -> AsyncIterator[Page]:
    path = write_report(find_subject(made / "out"), tmp_path / "report.html")
    program = find_browser()
    assert program is not None
    async with open_browser(program) as page:
        await page.size(1300, 900)
        await page.prefer("light")
        await page.open(path.as_uri())
        await page.until(READY)
        yield page
        assert page.errors == []


async def test_the_page_draws_all_its_parts_and_asks_for_nothing_else(shown: Page) -> None:
    # blob: is the page's own chart library, unpacked in memory.
    assert [address.split(":")[0] for address in shown.requests] == ["file", "blob"]
    assert await shown.run("document.querySelectorAll('#chart .scatterlayer .trace').length") > 6
    assert await shown.run("document.querySelectorAll('#statistics [data-statistic]').length") >= 100
    assert await shown.run("document.querySelectorAll('#months td').length") >= 13
    assert await shown.run("document.querySelectorAll('#day-chart .bars path').length") >= 1
    assert await shown.run("document.querySelectorAll('#costs tr').length") >= 3
    assert await shown.run("document.querySelectorAll('.grid .rows .row').length") > 10


async def test_its_numbers_are_those_of_the_run(shown: Page, made: Path) -> None:
    subject = find_subject(made / "out")
    fills, trades, series = subject.result.fills, subject.result.trades, subject.prices[0]
    sums = await shown.run(
        f"""(() => {{ const {{ data, series }} = {CHART}; const sum = (c) => c.reduce((a, b) => a + b, 0);
        return [sum(data.fills.price), sum(data.fills.size), sum(data.trades.net), sum(series.price),
                series.price.length, series.time[series.time.length - 1], sum(data.equity.equity)]; }})()"""
    )
    expected = [
        fills["price"].sum(), fills["size"].sum(), trades["net"].sum(), (series.price / series.unit).sum(), len(series),
        int(series.time_ns[-1]) // 1_000, subject.result.equity["equity"].sum(),
    ]  # fmt: skip
    assert sums == pytest.approx(expected, rel=1e-7)


async def test_zooming_shows_the_full_data(shown: Page) -> None:
    few, of = await shown.run(f"{CHART}.shownPoints")
    assert few < of / 3
    box = await shown.run("(() => { const r = document.querySelector('#chart .xy').getBoundingClientRect();"
                          " return [r.x, r.y, r.width, r.height]; })()")  # fmt: skip
    middle = box[1] + box[3] / 4
    await shown.drag((box[0] + box[2] * 0.50, middle), (box[0] + box[2] * 0.52, middle))
    await shown.until(f"{CHART}.range[1] - {CHART}.range[0] < ({CHART}.whole[1] - {CHART}.whole[0]) / 40")
    inside = await shown.run(
        f"(() => {{ const {{ range, series }} = {CHART};"
        " return series.time.filter((t) => t >= range[0] && t <= range[1]).length; })()"
    )
    await shown.until(f"{CHART}.shownPoints[0] >= {inside} && {CHART}.shownPoints[0] <= {inside} + 2")
    await shown.click("[data-zoom=all]")
    await shown.until(f"{CHART}.shownPoints[0] === {few}")


async def test_a_click_on_a_round_trip_goes_to_it_on_the_chart(shown: Page) -> None:
    await shown.click(".grid .rows .row", 4)
    await shown.until(f"{CHART}.chosen === 4")
    entry, leave, symbol = await shown.run(
        f"(() => {{ const t = {CHART}.data.trades; const w = {CHART}.head.tables.trades.words;"
        " return [t.entry_time[4], t.exit_time[4], w.symbol[t.symbol[4]]]; })()"
    )
    await shown.until(
        f"{CHART}.symbol === '{symbol}' && document.getElementById('instrument').selectedOptions[0].text === '{symbol}'"
    )
    low, high = await shown.run(f"{CHART}.range")
    assert low < entry <= leave < high and high - low < 4 * (leave - entry) + 3.6e9
    assert await shown.run("document.querySelectorAll('.grid .row.chosen').length") == 1


async def test_the_table_sorts_and_filters(shown: Page) -> None:
    count = await shown.run("window.replayReport.grid.rows.length")
    place = await shown.run(
        "[...document.querySelectorAll('.grid .head > div')].findIndex((e) => e.textContent === 'Net')"
    )
    await shown.click(".grid .head > div", place)
    assert await shown.run(
        f"(() => {{ const {{ rows }} = window.replayReport.grid; const {{ net }} = {CHART}.data.trades;"
        " return rows.every((row, at) => !at || net[rows[at - 1]] <= net[row]); })()"
    )
    await shown.run("(() => { const e = document.getElementById('trade-result'); e.value = 'won';"
                    " e.dispatchEvent(new Event('change')); })()")  # fmt: skip
    kept = await shown.run("window.replayReport.grid.rows.length")
    assert 0 < kept < count and f"of {count}" in await shown.run("document.getElementById('trade-count').textContent")


async def test_a_statistic_shows_its_definition_when_clicked(shown: Page) -> None:
    selector = "[data-statistic=sharpe_ratio] summary"
    assert not await shown.run("document.querySelector('[data-statistic=sharpe_ratio]').open")
    await shown.click(selector)
    assert await shown.run("document.querySelector('[data-statistic=sharpe_ratio]').open")
    assert "standard deviation" in await shown.run(
        "document.querySelector('[data-statistic=sharpe_ratio] .definition').textContent"
    )


async def test_dark_and_light_follow_the_system_and_the_switch(shown: Page) -> None:
    async def paper() -> str:
        page = "getComputedStyle(document.body).backgroundColor"
        return str(await shown.run(f"{page} + document.querySelector('#chart .main-svg').style.background"))

    light = await paper()
    await shown.prefer("dark")
    await shown.until("document.documentElement.dataset.theme === 'dark'")
    dark = await paper()
    assert dark != light
    await shown.click("#theme")
    assert await shown.run("document.documentElement.dataset.theme") == "light"


async def test_it_prints_light_and_with_its_first_trades(shown: Page) -> None:
    await shown.click("#theme")
    assert await shown.run("document.documentElement.dataset.theme") == "dark"
    pdf = await shown.pdf()
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    assert await shown.run("document.documentElement.dataset.theme") == "dark"


async def test_a_comparison_draws_both_runs_and_zooms(made: Path, tmp_path: Path) -> None:
    modes.backtest(load(made / "run.toml", sets=["strategy.0.params.fast=4"]), out=tmp_path / "other")
    comparison = Comparison(find_subject(made / "out"), find_subject(tmp_path / "other"))
    path = write_comparison(comparison, tmp_path / "compare.html")
    program = find_browser()
    assert program is not None
    async with open_browser(program) as page:
        await page.size(1300, 900)
        await page.open(path.as_uri())
        await page.until(READY)
        assert [address.split(":")[0] for address in page.requests] == ["file", "blob"]
        assert await page.run("document.querySelectorAll('#chart .scatterlayer .trace').length") == 4
        assert await page.run("document.querySelectorAll('#changed tr').length") == 2
        assert await page.run("document.querySelectorAll('#statistics-all tr').length") > 100
        assert "different from event" in await page.run("document.getElementById('events').textContent")
        await page.run("(() => { const c = window.replayComparison; const [a, b] = c.range();"
                       " return c.zoom([a, a + (b - a) / 50]); })()")  # fmt: skip
        assert await page.run("document.querySelector('#chart').data[0].x.length") < 30
        assert page.errors == []


async def test_a_click_on_a_fill_marks_its_round_trip(shown: Page) -> None:
    await shown.click(".grid .rows .row", 4)
    await shown.until(f"{CHART}.chosen === 4")
    entry = await shown.run(
        f"(() => {{ const {{ fills, trades }} = {CHART}.data; return fills.time.indexOf(trades.entry_time[7]); }})()"
    )
    await shown.run(f"document.getElementById('chart').emit('plotly_click', {{ points: [{{ customdata: {entry} }}] }})")
    await shown.until(f"{CHART}.chosen === 7")
    assert await shown.run("document.querySelector('.grid .row.chosen').dataset.row") == "7"


async def test_a_run_without_a_fill_has_a_page_too(made: Path, tmp_path: Path) -> None:
    modes.backtest(
        load(made / "run.toml", sets=["strategy.0.params.slow=9000", "strategy.1.params.slow=9000"]), out=tmp_path
    )
    path = write_report(find_subject(tmp_path))
    program = find_browser()
    assert program is not None
    async with open_browser(program) as page:
        await page.open(path.as_uri())
        await page.until(READY)
        assert await page.run("document.getElementById('trades-section').hidden")
        assert await page.run("document.getElementById('costs-section').hidden")
        assert await page.run("document.querySelectorAll('#chart .scatterlayer .trace').length") >= 4
        assert page.errors == []


async def test_bars_are_candles_when_they_are_few_and_exact(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    bars = records.empty(3_000)
    bars["kind"] = Kind.BAR
    bars["ts_event"] = bars["ts_recv"] = 1_700_000_000_000_000_000 + 60_000_000_000 * np.arange(1, 3_001)
    bars["d"] = 10_000 + np.cumsum(rng.integers(-9, 10, 3_000))
    bars["a"] = bars["d"] + rng.integers(-9, 10, 3_000)
    bars["b"] = np.maximum(bars["a"], bars["d"]) + rng.integers(0, 9, 3_000)
    bars["c"] = np.minimum(bars["a"], bars["d"]) - rng.integers(0, 9, 3_000)
    bars["e"] = 1_000
    instrument = {"symbol": "X", "tick": "0.01", "lot": "1", "price_decimals": 2, "size_decimals": 0, "quote": "USD"}
    result = replay.backtest(
        SmaCross,
        bars,
        instruments=instrument | {"bar": "1m"},
        cash={"USD": 100_000},
        params={"symbol": "X", "length": "1m", "fast": 5, "slow": 20},
    )
    path = result.report(tmp_path / "bars.html")
    program = find_browser()
    assert program is not None
    async with open_browser(program) as page:
        await page.open(path.as_uri())
        await page.until(READY)
        sums = await page.run(
            f"['open', 'high', 'low', 'price'].map((name) => {CHART}.series[name].reduce((a, b) => a + b, 0))"
        )
        assert sums == pytest.approx([bars[name].sum() / 100 for name in "abcd"], rel=1e-12)
        await page.run(f"{CHART}.zoom([{CHART}.series.time[1000], {CHART}.series.time[1060]])")
        kind, first_open, high = await page.run(
            "(() => { const [t] = document.getElementById('chart').data; return [t.type, t.open[1], t.high[1]]; })()"
        )
        assert (kind, first_open, high) == ("candlestick", bars["a"][1_000] / 100, bars["b"][1_000] / 100)
        assert page.errors == []
