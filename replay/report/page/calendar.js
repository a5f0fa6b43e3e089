// Returns by month as a table of heat, by day as bars and as a calendar.
// May not live here: how a return is computed (calendar.py).

const MONTH_NAMES = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** Give the size of return that is drawn in full colour: nine in ten are smaller. */
function fullHeat(returns) {
  const sizes = returns.filter((value) => value !== null).map(Math.abs).sort((a, b) => a - b);
  return sizes.length ? sizes[Math.floor((sizes.length - 1) * 0.9)] || sizes[sizes.length - 1] || 1 : 1;
}

/** Colour a cell by its return. */
function heatCell(value, full, text, title) {
  const cell = element("td", "", text);
  if (value !== null && value !== 0) {
    const share = Math.round(Math.min(Math.abs(value) / full, 1) * 55 + 5);
    cell.style.background = `color-mix(in srgb, var(--${value > 0 ? "gain" : "loss"}) ${share}%, transparent)`;
  }
  if (title) cell.title = title;
  return cell;
}

/** Chain returns: (1 + a)(1 + b) - 1; null where none is known. */
function chained(returns) {
  const known = returns.filter((value) => value !== null && value !== undefined);
  return known.length ? known.reduce((product, value) => product * (1 + value), 1) - 1 : null;
}

/** Fill the table of months: a row per year, a column per month, the year at the end. */
function fillMonths(place, months) {
  const returns = months.map(([, value]) => value);
  const full = fullHeat(returns);
  const digits = digitsFor(returns.map((value) => value * 100), 2, 2, 4);
  const byName = new Map(months);
  const years = [...new Set(months.map(([name]) => name.slice(0, 4)))];
  place.append(element("tr", "", element("th", ""), ...MONTH_NAMES.map((name) => element("th", "", name)), element("th", "", "Year")));
  for (const year of years) {
    const names = MONTH_NAMES.map((_, place) => `${year}-${String(place + 1).padStart(2, "0")}`);
    const cells = names.map((name) => {
      const value = byName.get(name);
      return value === undefined ? element("td", "", "") : heatCell(value, full, percent(value, digits), name);
    });
    const sum = chained(names.map((name) => byName.get(name)));
    place.append(element("tr", "", element("th", "", year), ...cells, element("td", `sum ${signClass(sum)}`, percent(sum, digits))));
  }
}

/** Fill the calendar of days: a row per month, a column per day. */
function fillDays(place, days) {
  const returns = days.map(([, value]) => value);
  const full = fullHeat(returns);
  const digits = digitsFor(returns.map((value) => value * 100), 1, 1, 3);
  const byMonth = new Map();
  for (const [name, value] of days) {
    const month = name.slice(0, 7);
    if (!byMonth.has(month)) byMonth.set(month, new Map());
    byMonth.get(month).set(Number(name.slice(8)), value);
  }
  const numbers = Array.from({ length: 31 }, (_, day) => day + 1);
  place.append(element("tr", "", element("th", ""), ...numbers.map((day) => element("th", "", day))));
  for (const [month, values] of byMonth) {
    const cells = numbers.map((day) => {
      if (!values.has(day)) return element("td", "", "");
      const value = values.get(day);
      const text = value === null ? "" : (value * 100).toFixed(digits);
      return heatCell(value, full, text, `${month}-${String(day).padStart(2, "0")}: ${percent(value, digits + 2)}`);
    });
    place.append(element("tr", "", element("th", "", month), ...cells));
  }
}

/** Draw a bar for each day; of more than fit, the extremes of each stretch. */
function drawDays(place, days) {
  const paint = colours();
  const known = days.filter(([, value]) => value !== null);
  const times = Float64Array.from(known, ([name]) => Date.parse(`${name}T00:00:00Z`));
  const values = Float64Array.from(known, ([, value]) => value);
  const rows = thinRows(times, values, values, 0, values.length, Math.max(place.clientWidth - 90, 200));
  const trace = {
    type: "bar", x: rows.map((row) => known[row][0]), y: rows.map((row) => values[row]),
    marker: { color: rows.map((row) => (values[row] < 0 ? paint.loss : paint.gain)), line: { width: 0 } },
    hovertemplate: "%{x|%Y-%m-%d}: %{y:.4~%}<extra></extra>",
  };
  const width = printedWidth();
  const few = known.length <= 14 ? { dtick: 86_400_000, tickformat: "%b %-d<br>%Y" } : {};
  const layout = {
    autosize: width === null, ...(width === null ? {} : { width, height: 200 }),
    paper_bgcolor: paint.paper, plot_bgcolor: paint.paper, font: { color: paint.ink, size: 12, family: "inherit" },
    margin: { l: 78, r: 12, t: 6, b: 28 }, bargap: 0.15, showlegend: false,
    hoverlabel: { bgcolor: paint.panel, bordercolor: paint.line, font: { color: paint.ink } },
    xaxis: { type: "date", gridcolor: paint.line, tickfont: { size: 11 }, fixedrange: true, ...few },
    yaxis: { tickformat: "~%", gridcolor: paint.line, zerolinecolor: paint.quiet, tickfont: { size: 11 }, fixedrange: true },
  };
  return Plotly.react(place, [trace], layout, { responsive: true, displayModeBar: false });
}
