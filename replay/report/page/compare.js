// The comparison of two runs: their equity and drawdown over one axis of time, and the tables beside it.
// May not live here: what differs; the page's data say it.

const head = JSON.parse(document.getElementById("head").textContent);
const byId = (id) => document.getElementById(id);
const SIDES = ["a", "b"];

let sides = [];
let whole = null;
let range = null;
let waiting = 0;

/** Add a row of cells to a table. */
function addRow(place, cells, tag = "td", className = () => "") {
  place.append(element("tr", "", ...cells.map((cell, at) => element(tag, className(at), cell ?? "-"))));
}

function fillTables() {
  head.sides.forEach((side, at) => {
    const state = side.interrupted ? " (interrupted)" : "";
    const swatch = element("b", "", "AB"[at]);
    swatch.style.color = `var(--${at ? "second" : "accent"})`;
    byId(["first", "second"][at]).append(swatch, ` ${side.name}${state} `, element("span", "quiet", `digest ${side.digest}`));
  });
  if (head.correlation !== null) byId("correlation").textContent = `correlation of daily returns ${head.correlation}`;
  byId("changed-section").hidden = !head.has_configurations;
  if (head.changed.length) addRow(byId("changed"), ["Key", "A", "B"], "th", () => "text");
  else byId("changed").replaceWith(element("p", "quiet", "The configurations are the same."));
  for (const row of head.changed) addRow(byId("changed"), row, "td", () => "text wide");
  for (const [id, rows] of [["statistics-table", head.statistics.slice(0, head.main)], ["statistics-all", head.statistics]]) {
    addRow(byId(id), ["", "A", "B", "B − A"], "th");
    for (const [, ...cells] of rows) addRow(byId(id), cells);
  }
  byId("events").textContent = head.events;
}

function traces() {
  const paint = colours();
  const pixels = Math.max(byId("chart").clientWidth - 90, 200);
  return sides.flatMap((side, at) => {
    if (!side) return [];
    const colour = at ? paint.second : paint.accent;
    const [first, limit] = rowsBetween(side.time, ...range);
    const line = (values, yaxis, more) => {
      const rows = thinRows(side.time, values, values, first, limit, pixels);
      return {
        type: "scatter", mode: "lines", name: "AB"[at], yaxis, x: rows.map((row) => chartTime(side.time[row])),
        y: rows.map((row) => values[row]), line: { color: colour, width: 1.4 },
        hovertemplate: `%{y:.4~%}<extra>${"AB"[at]}</extra>`, ...more,
      };
    };
    return [line(side.returns, "y", {}), line(side.falls, "y2", { showlegend: false })];
  });
}

function layout() {
  const paint = colours();
  const axis = (domain, title) => ({
    domain, title: { text: title, font: { size: 11 } }, gridcolor: paint.line, zerolinecolor: paint.line, fixedrange: true,
    tickformat: "~%", tickfont: { size: 11 },
  });
  const width = printedWidth();
  return {
    autosize: width === null, ...(width === null ? {} : { width, height: 480 }),
    paper_bgcolor: paint.paper, plot_bgcolor: paint.paper, font: { color: paint.ink, size: 12, family: "inherit" },
    margin: { l: 78, r: 12, t: 26, b: 34 }, hovermode: "x", legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
    hoverlabel: { bgcolor: paint.panel, bordercolor: paint.line, font: { color: paint.ink } },
    xaxis: { type: "date", range: range.map(chartTime), gridcolor: paint.line, anchor: "y2", tickfont: { size: 11 } },
    yaxis: axis([0.38, 1], "return"), yaxis2: axis([0, 0.32], "drawdown"),
  };
}

async function draw() {
  const place = byId("chart");
  const isNew = !place.data;
  await Plotly.react(place, traces(), layout(), { responsive: true, scrollZoom: true, displayModeBar: false, doubleClick: false });
  if (!isNew) return;
  place.on("plotly_doubleclick", () => zoom(whole));
  place.on("plotly_relayout", (change) => {
    if (!("xaxis.range[0]" in change)) return;
    range = [change["xaxis.range[0]"], change["xaxis.range[1]"]].map(chartMicros);
    clearTimeout(waiting);
    waiting = setTimeout(draw, 30);
  });
}

function zoom(wanted) {
  range = wanted;
  return draw();
}

async function loadSide(name, at) {
  if (!head.tables[name]) return null;
  const { time, equity } = await table(name, ["time", "equity"]);
  const start = head.sides[at].start_equity ?? equity[0];
  return { time, equity, returns: equity.map((value) => value / start - 1), falls: drawdowns(equity) };
}

async function start() {
  followTheme(() => { if (whole) draw(); });
  fillTables();
  [sides] = await Promise.all([Promise.all(SIDES.map(loadSide)), loadCharts()]);
  const known = sides.filter((side) => side && side.time.length);
  if (known.length) {
    whole = [Math.min(...known.map(({ time }) => time[0])), Math.max(...known.map(({ time }) => time[time.length - 1]))];
    await zoom(whole);
  }
  byId("whole").addEventListener("click", () => zoom(whole));
  byId("print").addEventListener("click", () => print());
  Object.assign(window, { replayComparison: { head, sides, range: () => range, zoom } });
  document.documentElement.dataset.ready = "yes";
}

start().catch((error) => {
  byId("notes").append(element("p", "warning", `This page could not be drawn: ${error.message}. A current browser is needed.`));
  throw error;
});
