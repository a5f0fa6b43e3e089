// Thinning: of many points those that a screen can tell apart.
// May not live here: the chart.

/** Give the first row whose time is not before `time`. */
function rowAt(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Give the rows of a stretch of time, and one on either side so that lines reach the edges. */
function rowsBetween(times, from, until) {
  return [Math.max(rowAt(times, from) - 1, 0), Math.min(rowAt(times, until) + 1, times.length)];
}

/**
 * Choose the rows of first..limit that draw the same line on `pixels` columns: of each column the first, the last, the
 * lowest and the highest; `lows` and `highs` may differ, for bars. All of them where they are few.
 */
function thinRows(times, lows, highs, first, limit, pixels) {
  const rows = [];
  if (limit - first <= 4 * pixels) {
    for (let row = first; row < limit; row++) rows.push(row);
    return rows;
  }
  const start = times[first];
  const scale = pixels / Math.max(times[limit - 1] - start, 1);
  let at = first;
  while (at < limit) {
    const bucket = Math.floor((times[at] - start) * scale);
    let lowest = at;
    let highest = at;
    let last = at;
    for (; last < limit && Math.floor((times[last] - start) * scale) === bucket; last++) {
      if (lows[last] < lows[lowest]) lowest = last;
      if (highs[last] > highs[highest]) highest = last;
    }
    const chosen = [at, Math.min(lowest, highest), Math.max(lowest, highest), last - 1];
    for (const row of chosen) if (rows.length === 0 || rows[rows.length - 1] < row) rows.push(row);
    at = last;
  }
  return rows;
}

/** Choose of some rows of events at most one per pixel column; give them, in order. */
function thinEvents(times, rows, from, until, pixels) {
  if (rows.length <= pixels) return rows;
  const scale = pixels / Math.max(until - from, 1);
  const kept = [];
  let before = -Infinity;
  for (const row of rows) {
    const bucket = Math.floor((times[row] - from) * scale);
    if (bucket !== before) kept.push(row);
    before = bucket;
  }
  return kept;
}

/** Give the fall from the highest value so far at each point, as fractions. */
function drawdowns(values) {
  const falls = new Float64Array(values.length);
  let peak = -Infinity;
  for (let i = 0; i < values.length; i++) {
    if (values[i] > peak) peak = values[i];
    falls[i] = peak > 0 ? values[i] / peak - 1 : 0;
  }
  return falls;
}
