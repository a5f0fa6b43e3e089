// The report: reads the page's data and fills its parts, the chart first.
// May not live here: how a part is drawn.

const head = JSON.parse(document.getElementById("head").textContent);
const byId = (id) => document.getElementById(id);
const CARDS = ["total_return", "net_pnl", "sharpe_ratio", "maximum_drawdown", "trades", "win_rate", "profit_factor", "fees"];

let chart = null;

/** Show what is known without unpacking anything. */
function fillHead() {
  document.title = `${head.name} · replay report`;
  byId("name").textContent = head.name;
  const micros = (text) => Number(BigInt(text) / 1000n);
  if (head.start_ns && head.end_ns) {
    const [from, until] = [micros(head.start_ns), micros(head.end_ns)];
    byId("span").textContent = `${timeText(from).slice(0, 19)} to ${timeText(until).slice(0, 19)} UTC (${durationText(until - from)}) · ${head.currency}`;
  }
  const warn = (text) => byId("notes").append(element("p", "warning", text));
  if (head.interrupted) warn("Interrupted: a partial result.");
  if (head.failure) warn(`The run failed: ${head.failure.kind}: ${head.failure.message}`);
  for (const note of head.notes) byId("notes").append(element("p", "", note));
  const rows = new Map(head.statistics.flatMap((group) => group.rows).map((row) => [row.key, row]));
  for (const key of CARDS) {
    const row = rows.get(key);
    if (row) byId("cards").append(element("div", "card", element("b", signClass(row.sign), row.text), element("span", "", row.label)));
  }
}

/** Make the row of a statistic, which opens to its definition. */
function statisticRow(row) {
  const value = element("b", row.reason ? "quiet" : signClass(row.sign), row.text);
  const details = element("details", "", element("summary", "", element("span", "", row.label), value));
  details.dataset.statistic = row.key;
  details.append(element("div", "definition", row.definition));
  if (row.reason) details.append(element("div", "definition", `No value here: ${row.reason}.`));
  if (row.source) details.append(element("div", "definition", `Source: ${row.source}`));
  return details;
}

function fillStatistics() {
  head.statistics.forEach((group, place) => {
    const rows = element("div", "rows", ...group.rows.map(statisticRow));
    const title = `${group.title} (${group.rows.length})`;
    const part = place ? element("details", "family", element("summary", "", title), rows) : rows;
    byId("statistics").append(part);
  });
  const button = byId("definitions");
  button.addEventListener("click", () => {
    const all = [...document.querySelectorAll("#statistics [data-statistic]")];
    const opens = !all.every((details) => details.open);
    for (const details of all) details.open = opens;
    if (opens) for (const family of document.querySelectorAll("#statistics .family")) family.open = true;
    button.textContent = opens ? "Hide all definitions" : "Show all definitions";
  });
}

function fillCosts() {
  byId("costs-section").hidden = !head.costs.length;
  const titles = ["Instrument", "Liquidity", "Fills", "Traded value", "Fees", "Currency", "Fees / traded"];
  byId("costs").append(element("tr", "", ...titles.map((title) => element("th", "", title))));
  for (const row of head.costs) {
    const rate = row.rate === null ? "n/a" : `${number(row.rate * 10000, 2)} bp`;
    const cells = [row.symbol, row.liquidity, number(row.fills, 0), number(row.traded, 2), plain(Number(row.fees.toPrecision(12))), row.fee_currency, rate];
    byId("costs").append(element("tr", "", ...cells.map((cell) => element("td", "", cell))));
  }
}

function fillRun() {
  const rows = [
    ["Folder or name", head.place],
    ["Digest", head.digest],
    ["Records", number(head.counts.records ?? null, 0)],
    ["Made by", Object.entries(head.versions).map(([name, version]) => `${name} ${version}`).join(", ")],
  ];
  for (const one of head.open_positions) {
    const price = one.average_price === null ? "" : ` at ${plain(one.average_price)} on average`;
    rows.push(["Still held at the end", `${plain(one.quantity)} ${one.symbol}${price} (${one.strategy})`]);
  }
  if (head.open_orders) rows.push(["Orders still open at the end", number(head.open_orders, 0)]);
  for (const [name, value] of rows) byId("run").append(element("tr", "", element("td", "", name), element("td", "text wide", value)));
  byId("configuration-details").hidden = !head.configuration;
  byId("configuration").textContent = head.configuration || "";
}

/** Make a price series whole: opens, highs and lows are packed as what differs from the closes. */
async function loadSeries(place) {
  const about = head.prices[place];
  const series = await table(`prices.${place}`, about.bars ? ["time", "price", "gap", "above", "below"] : ["time", "price"]);
  if (!about.bars || series.open) return series;
  const { price, gap, above, below } = series;
  const [open, high, low] = [0, 0, 0].map(() => new Float64Array(price.length));
  const unit = 10 ** about.decimals;
  const exact = (value) => Math.round(value * unit) / unit;
  for (let i = 0; i < price.length; i++) {
    open[i] = exact((i ? price[i - 1] : about.first_open) + gap[i]);
    high[i] = exact(Math.max(open[i], price[i]) + above[i]);
    low[i] = exact(Math.min(open[i], price[i]) - below[i]);
  }
  return Object.assign(series, { open, high, low });
}

async function loadData() {
  const wanted = {
    fills: ["time", "price", "size", "fee", "order", "role", "symbol", "strategy", "side", "liquidity", "fee_currency"],
    trades: [
      "entry_time", "exit_time", "entry_price", "exit_price", "max_size", "gross", "fees", "net", "mae", "mfe", "fills",
      "symbol", "strategy", "side", "currency",
    ],
    equity: ["time", "equity", "exposure"],
  };
  const names = Object.keys(wanted);
  const found = await Promise.all(names.map((name) => (head.tables[name] ? table(name, wanted[name]) : null)));
  return Object.fromEntries(names.map((name, place) => [name, found[place]]));
}

/** Say whether the chart has every point, or what it has instead. */
function describePoints() {
  const thinned = head.prices.some((one) => one.thinned) || (head.tables.equity && head.tables.equity.rows < head.tables.equity.of);
  return thinned
    ? "The run is longer than this file can hold: of each short stretch it has the extremes; the chart shows more of them the closer you look."
    : "Every point is in this file: the chart shows what a screen can, and more the closer you look.";
}

/** Connect the buttons above the chart. */
function followToolbar() {
  byId("toolbar").addEventListener("click", (event) => {
    const wanted = event.target.dataset.zoom;
    if (!wanted) return;
    const [from, until] = chart.range;
    const length = until - from;
    const ranges = {
      all: chart.whole,
      in: [from + length / 4, until - length / 4],
      out: [from - length / 2, until + length / 2],
      left: [from - length / 2, until - length / 2],
      right: [from + length / 2, until + length / 2],
    };
    chart.zoom(ranges[wanted]);
  });
  const choice = byId("instrument");
  head.prices.forEach((one, place) => choice.append(new Option(one.symbol, place)));
  byId("instrument-label").hidden = head.prices.length < 2;
  choice.addEventListener("change", () => chart.show(Number(choice.value)));
  chart.onShown = () => {
    const place = head.prices.findIndex((one) => one.symbol === chart.symbol);
    if (place >= 0) choice.value = place;
    const parts = [];
    if (chart.series) parts.push(`${number(chart.shownPoints[0], 0)} of ${number(chart.shownPoints[1], 0)} prices`);
    if (chart.shownFills?.[1]) parts.push(`${number(chart.shownFills[0], 0)} of ${number(chart.shownFills[1], 0)} fills in sight`);
    byId("shown").textContent = parts.join(", ");
  };
}

function fillTrades(trades) {
  byId("trades-section").hidden = !trades;
  if (!trades) return null;
  const { rows, words } = head.tables.trades;
  const symbols = words.symbol;
  const of = (name) => (row) => trades[name][row];
  const word = (name) => (row) => words[name][trades[name][row]] ?? "";
  const held = (row) => trades.exit_time[row] - trades.entry_time[row];
  const fine = [trades.entry_time, trades.exit_time].some((times) => times.some((micros) => micros % 1e6 !== 0));
  const timeWidth = fine ? 222 : 172;
  const moneyDigits = digitsFor(trades.net, 4, 2, 8);
  const money = (name) => (row) => number(trades[name][row], moneyDigits);
  const headings = [
    { title: "#", width: 52, cell: (row) => number(row + 1, 0), sort: (row) => row },
    { title: "Instrument", width: 100, text: true, cell: word("symbol"), sort: word("symbol") },
    { title: "Strategy", width: 100, text: true, cell: word("strategy"), sort: word("strategy") },
    { title: "Side", width: 56, text: true, cell: word("side"), sort: word("side") },
    { title: "Entry (UTC)", width: timeWidth, text: true, cell: (row) => timeText(trades.entry_time[row]), sort: of("entry_time") },
    { title: "Exit (UTC)", width: timeWidth, text: true, cell: (row) => timeText(trades.exit_time[row]), sort: of("exit_time") },
    { title: "Held", width: 86, cell: (row) => durationText(held(row)), sort: held },
    { title: "Size", width: 72, cell: (row) => plain(trades.max_size[row]), sort: of("max_size") },
    { title: "Entry price", width: 90, cell: (row) => plain(trades.entry_price[row]), sort: of("entry_price") },
    { title: "Exit price", width: 90, cell: (row) => plain(trades.exit_price[row]), sort: of("exit_price") },
    { title: "Gross", width: 84, cell: money("gross"), sort: of("gross"), sign: of("gross") },
    { title: "Fees", width: 72, cell: money("fees"), sort: of("fees") },
    { title: "Net", width: 84, cell: money("net"), sort: of("net"), sign: of("net") },
    { title: "MAE", width: 72, cell: (row) => percent(trades.mae[row]), sort: of("mae") },
    { title: "MFE", width: 72, cell: (row) => percent(trades.mfe[row]), sort: of("mfe") },
    { title: "Fills", width: 52, cell: of("fills"), sort: of("fills") },
  ].filter(({ title }) => (title !== "Strategy" || words.strategy.length > 1) && (title !== "Instrument" || symbols.length > 1));
  const grid = new Grid(byId("trades"), headings, rows, (row) => {
    chart.go(row);
    byId("chart").scrollIntoView({ block: "nearest", behavior: "smooth" });
  });
  chart.onTrade = (row) => grid.mark(row);
  const [side, result, symbol] = ["trade-side", "trade-result", "trade-symbol"].map(byId);
  symbol.append(new Option("all", ""), ...symbols.map((name) => new Option(name, name)));
  byId("trade-symbol-label").hidden = symbols.length < 2;
  const filter = () => {
    grid.keep((row) =>
      (!side.value || word("side")(row) === side.value)
      && (!symbol.value || word("symbol")(row) === symbol.value)
      && (!result.value || (result.value === "won" ? trades.net[row] > 0 : trades.net[row] <= 0)));
    byId("trade-count").textContent = grid.rows.length === rows ? number(rows, 0) : `${number(grid.rows.length, 0)} of ${number(rows, 0)}`;
  };
  for (const choice of [side, result, symbol]) choice.addEventListener("change", filter);
  filter();
  return grid;
}

async function start() {
  followTheme(() => {
    chart?.draw();
    if (head.days.length) drawDays(byId("day-chart"), head.days);
  });
  fillHead();
  const [data] = await Promise.all([loadData(), loadCharts(), head.prices.length ? loadSeries(0) : null]);
  chart = new RunChart(byId("chart"), head, data, loadSeries);
  followToolbar();
  await chart.show(head.prices.length ? 0 : -1);
  performance.mark("first-picture");
  await new Promise((resume) => requestAnimationFrame(() => setTimeout(resume)));
  fillStatistics();
  fillCosts();
  fillRun();
  byId("months-section").hidden = !head.months.length;
  byId("days-section").hidden = !head.days.length;
  if (head.months.length) fillMonths(byId("months"), head.months);
  if (head.days.length) {
    fillDays(byId("days"), head.days);
    await drawDays(byId("day-chart"), head.days);
  }
  const grid = fillTrades(data.trades);
  byId("points").textContent = describePoints();
  byId("print").addEventListener("click", () => print());
  Object.assign(window, { replayReport: { head, chart, grid } });
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  byId("notes").append(element("p", "warning", `This page could not be drawn: ${error.message}. A current browser is needed.`));
  throw error;
});
