// The chart of a run: price with entries and exits, equity, drawdown and exposure over one axis of time.
// May not live here: the tables, and how points are chosen (thinning.js).

const CANDLES_MAX = 400;
const TRIPS_MAX = 300;
const FILL_PIXELS = 9;
const PRINTED_HEIGHT = 460;
const ROLE_ENTRY = 0, ROLE_EXIT = 1, ROLE_FLIP = 2;
const PANELS = { price: [0.5, 1], equity: [0.3, 0.47], drawdown: [0.15, 0.27], exposure: [0, 0.12] };

class RunChart {
  /** `data` has fills, trades and equity, each an object of columns or null; `series` loads the prices of a place. */
  constructor(place, head, data, series) {
    this.place = place;
    this.head = head;
    this.data = data;
    this.loadSeries = series;
    this.series = null;
    this.symbol = null;
    this.chosen = null;
    this.range = null;
    this.whole = null;
    this.waiting = 0;
    this.onShown = () => {};
    this.onTrade = () => {};
  }

  /** Show an instrument, by its place among those with prices; -1 where no instrument has any. */
  async show(instrument) {
    const about = this.head.prices[instrument];
    this.series = about ? await this.loadSeries(instrument) : null;
    this.symbol = about ? about.symbol : this.head.instruments[0];
    this.about = about || null;
    this.falls = this.falls || (this.data.equity ? drawdowns(this.data.equity.equity) : null);
    this.whole = this.extent();
    this.range = this.range || this.whole;
    await this.draw();
  }

  /** Give the stretch of time that there is anything of, with a little room. */
  extent() {
    const times = [];
    for (const column of [this.series?.time, this.data.equity?.time, this.data.fills?.time]) {
      if (column?.length) times.push(column[0], column[column.length - 1]);
    }
    if (!times.length) return [0, MICROSECONDS_PER_DAY];
    const first = Math.min(...times);
    const last = Math.max(...times);
    const room = Math.max((last - first) * 0.01, 1e6);
    return [first - room, last + room];
  }

  /** Draw everything for the range that is shown. */
  async draw() {
    const traces = this.traces();
    const layout = this.layout();
    if (!this.place.data) {
      const config = { responsive: true, scrollZoom: true, displaylogo: false, displayModeBar: false, doubleClick: false };
      await Plotly.newPlot(this.place, traces, layout, config);
      this.place.on("plotly_relayout", (change) => this.follow(change));
      this.place.on("plotly_doubleclick", () => this.zoom(this.whole));
      this.place.on("plotly_click", ({ points }) => this.choose(points.find((point) => point.customdata !== undefined)));
    } else {
      await Plotly.react(this.place, traces, layout);
    }
    this.onShown(this);
  }

  /** Mark the round trip of a fill that was clicked; of two that meet there, the one that it entered. */
  choose(point) {
    const { fills, trades } = this.data;
    if (!point || !trades) return;
    const row = point.customdata;
    const names = this.head.tables;
    const of = (table, columns, at, word) => names[table].words[word][columns[word][at]];
    const found = [];
    for (let trade = rowAt(trades.exit_time, fills.time[row]); trade < trades.exit_time.length && found.length < 2; trade++) {
      const isSame = ["symbol", "strategy"].every((word) => of("fills", fills, row, word) === of("trades", trades, trade, word));
      if (isSame && trades.entry_time[trade] <= fills.time[row]) found.push(trade);
      else if (isSame) break;
    }
    if (!found.length) return;
    this.chosen = found[found.length - 1];
    this.draw();
    this.onTrade(this.chosen);
  }

  /** Take a range that the reader dragged or scrolled to. */
  follow(change) {
    let range = null;
    if ("xaxis.range[0]" in change) range = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    else if ("xaxis.range" in change) range = change["xaxis.range"];
    else if (change["xaxis.autorange"]) range = this.whole.map(chartTime);
    if (!range) return;
    this.range = this.bounded(range.map(chartMicros));
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.draw(), 30);
  }

  /** Keep a range from becoming empty. */
  bounded([from, until]) {
    const least = 1000;
    if (until - from >= least) return [from, until];
    const middle = (from + until) / 2;
    return [middle - least / 2, middle + least / 2];
  }

  /** Show a stretch of time, in microseconds. */
  zoom(range) {
    this.range = this.bounded(range);
    return this.draw();
  }

  /** Show a round trip with some time around it, by its row in the trades. */
  async go(trade) {
    const { trades } = this.data;
    const symbol = this.head.tables.trades.words.symbol[trades.symbol[trade]];
    const [from, until] = [trades.entry_time[trade], trades.exit_time[trade]];
    const room = Math.max((until - from) * 0.75, this.typicalStep() * 20, 1e6);
    this.chosen = trade;
    this.range = [from - room, until + room];
    const place = this.head.prices.findIndex((one) => one.symbol === symbol);
    if (place >= 0 && symbol !== this.symbol) await this.show(place);
    else await this.draw();
  }

  /** Give the usual time between two points of the price. */
  typicalStep() {
    const times = this.series?.time;
    return times && times.length > 1 ? (times[times.length - 1] - times[0]) / (times.length - 1) : 1e6;
  }

  traces() {
    const paint = colours();
    const pixels = Math.max(this.place.clientWidth - 90, 200);
    return [
      ...this.priceTraces(paint, pixels),
      ...this.fillTraces(paint, pixels),
      ...this.tripTraces(paint),
      ...this.equityTraces(paint, pixels),
    ];
  }

  priceTraces(paint, pixels) {
    if (!this.series) return [];
    const { time, price, open, high, low } = this.series;
    const [first, limit] = rowsBetween(time, ...this.range);
    if (high && limit - first <= CANDLES_MAX) {
      const part = (column) => Array.from(column.subarray(first, limit));
      const halfway = part(time).map((end, place, all) => end - (place ? end - all[place - 1] : all[1] - end || 0) / 2);
      this.shownPoints = [limit - first, time.length];
      return [{
        type: "candlestick", name: chartText(this.symbol), x: halfway.map(chartTime),
        open: part(open), high: part(high), low: part(low), close: part(price),
        increasing: { line: { color: paint.gain, width: 1 } }, decreasing: { line: { color: paint.loss, width: 1 } },
        yaxis: "y", showlegend: false,
      }];
    }
    const rows = thinRows(time, price, price, first, limit, pixels);
    this.shownPoints = [rows.length, time.length];
    return [{
      type: "scatter", mode: "lines", name: chartText(this.symbol), x: rows.map((row) => chartTime(time[row])),
      y: rows.map((row) => price[row]), line: { color: paint.quiet, width: 1, shape: this.about.steps ? "hv" : "linear" },
      hovertemplate: "%{y}<extra></extra>", yaxis: "y", showlegend: false,
    }];
  }

  fillTraces(paint, pixels) {
    const { fills } = this.data;
    if (!fills) return [];
    const words = this.head.tables.fills.words;
    const symbol = words.symbol.indexOf(this.symbol);
    const [first, limit] = [rowAt(fills.time, this.range[0]), rowAt(fills.time, this.range[1])];
    const kinds = [
      ["buy", true, "Buy: entry or turn"], ["sell", true, "Sell: entry or turn"], ["buy", false, "Buy: exit"], ["sell", false, "Sell: exit"],
    ];
    const lists = kinds.map(() => []);
    const buy = words.side.indexOf("buy");
    for (let row = first; row < limit; row++) {
      if (fills.symbol[row] !== symbol) continue;
      const place = (fills.side[row] === buy ? 0 : 1) + (fills.role[row] === ROLE_EXIT ? 2 : 0);
      lists[place].push(row);
    }
    let shown = 0;
    let there = 0;
    const traces = kinds.map(([side, enters, name], place) => {
      const rows = thinEvents(fills.time, lists[place], ...this.range, Math.floor(pixels / FILL_PIXELS));
      shown += rows.length;
      there += lists[place].length;
      const colour = side === "buy" ? paint.gain : paint.loss;
      const shape = `triangle-${side === "buy" ? "up" : "down"}${enters ? "" : "-open"}`;
      return {
        type: "scatter", mode: "markers", name, x: rows.map((row) => chartTime(fills.time[row])),
        y: rows.map((row) => fills.price[row]), text: rows.map((row) => this.fillText(row)), customdata: rows,
        hovertemplate: "%{text}<extra></extra>", yaxis: "y", showlegend: lists[place].length > 0,
        marker: { symbol: shape, size: 9, color: colour, line: { width: enters ? 0.5 : 1.5, color: enters ? paint.paper : colour } },
      };
    });
    this.shownFills = [shown, there];
    return traces;
  }

  fillText(row) {
    const { fills } = this.data;
    const words = this.head.tables.fills.words;
    const name = (of) => chartText(words[of][fills[of][row]] ?? "");
    const role = ["entry", "exit", "turn"][fills.role[row]];
    const fee = `fee ${plain(fills.fee[row])} ${name("fee_currency")}`;
    const lines = [
      `<b>${name("side")} ${plain(fills.size[row])} at ${plain(fills.price[row])}</b> (${role})`,
      timeText(fills.time[row]),
      `${name("liquidity")}, ${fee}`,
      `order ${fills.order[row]}, ${name("strategy")}`,
    ];
    return lines.join("<br>");
  }

  /** Lines from entry to exit of the round trips, where they are few enough to be told apart. */
  tripTraces(paint) {
    const { trades } = this.data;
    this.tripsShown = 0;
    if (!trades) return [];
    const symbol = this.head.tables.trades.words.symbol.indexOf(this.symbol);
    const rows = [];
    const [first, limit] = [rowAt(trades.exit_time, this.range[0]), trades.exit_time.length];
    for (let row = first; row < limit && rows.length <= TRIPS_MAX; row++) {
      if (trades.symbol[row] === symbol && trades.entry_time[row] <= this.range[1]) rows.push(row);
    }
    const chosen = this.chosen !== null && trades.symbol[this.chosen] === symbol ? [this.chosen] : [];
    const few = rows.length <= TRIPS_MAX ? rows.filter((row) => row !== this.chosen) : [];
    this.tripsShown = few.length + chosen.length;
    const line = (wanted, colour, width, dash) => ({
      type: "scatter", mode: "lines", hoverinfo: "skip", yaxis: "y", showlegend: false,
      x: wanted.flatMap((row) => [chartTime(trades.entry_time[row]), chartTime(trades.exit_time[row]), null]),
      y: wanted.flatMap((row) => [trades.entry_price[row], trades.exit_price[row], null]),
      line: { color: colour, width, dash },
    });
    const won = (row) => trades.net[row] > 0;
    return [
      line(few.filter(won), paint.gain, 1.2, "dot"),
      line(few.filter((row) => !won(row)), paint.loss, 1.2, "dot"),
      line(chosen, paint.accent, 3, "solid"),
    ];
  }

  equityTraces(paint, pixels) {
    const { equity } = this.data;
    if (!equity) return [];
    const { time } = equity;
    const [first, limit] = rowsBetween(time, ...this.range);
    const line = (values, yaxis, name, more) => {
      const rows = thinRows(time, values, values, first, limit, pixels);
      return {
        type: "scatter", mode: "lines", name, x: rows.map((row) => chartTime(time[row])), y: rows.map((row) => values[row]),
        yaxis, showlegend: false, ...more,
      };
    };
    return [
      line(equity.equity, "y2", "equity", { line: { color: paint.accent, width: 1.3 }, hovertemplate: "%{y:,.2f}<extra>equity</extra>" }),
      line(this.falls, "y3", "drawdown", {
        line: { color: paint.loss, width: 1 }, fill: "tozeroy", hovertemplate: "%{y:.4~%}<extra>drawdown</extra>",
      }),
      line(equity.exposure, "y4", "exposure", {
        line: { color: paint.quiet, width: 1, shape: "hv" }, fill: "tozeroy", hovertemplate: "%{y:,.2f}<extra>exposure</extra>",
      }),
    ];
  }

  layout() {
    const paint = colours();
    const axis = (domain, title, more) => ({
      domain, title: { text: title, font: { size: 11 }, standoff: 6 }, gridcolor: paint.line, zeroline: false, fixedrange: true,
      automargin: false, tickfont: { size: 11 }, exponentformat: "none", ...more,
    });
    const width = printedWidth();
    return {
      autosize: width === null, ...(width === null ? {} : { width, height: PRINTED_HEIGHT }),
      paper_bgcolor: paint.paper, plot_bgcolor: paint.paper, font: { color: paint.ink, size: 12, family: "inherit" },
      margin: { l: 78, r: 12, t: 26, b: 34 }, hovermode: "closest", dragmode: "zoom", uirevision: "same",
      hoverlabel: { bgcolor: paint.panel, bordercolor: paint.line, font: { color: paint.ink }, align: "left" },
      legend: { orientation: "h", x: 0, y: 1.0, yanchor: "bottom", font: { size: 11 } },
      xaxis: {
        type: "date", range: this.range.map(chartTime), gridcolor: paint.line, rangeslider: { visible: false }, anchor: "y4",
        tickfont: { size: 11 }, showspikes: true, spikemode: "across", spikethickness: 1, spikedash: "dot", spikecolor: paint.quiet,
      },
      yaxis: axis(PANELS.price, chartText(this.symbol || "price")),
      yaxis2: axis(PANELS.equity, chartText(`equity ${this.head.currency}`.trim())),
      yaxis3: axis(PANELS.drawdown, "drawdown", { tickformat: "~%" }),
      yaxis4: axis(PANELS.exposure, "exposure", { rangemode: "tozero" }),
    };
  }
}
