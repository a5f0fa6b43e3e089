// Numbers, times and elements as people read them.
// May not live here: what is shown where.

const MICROSECONDS_PER_DAY = 86_400e6;

/** Write a number with thousands separators and as many digits as asked for; n/a where there is none. */
function number(value, digits) {
  if (value === null || !Number.isFinite(value)) return "n/a";
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Write a number as short as it is exact, up to ten digits after the point. */
function plain(value) {
  if (value === null || !Number.isFinite(value)) return "n/a";
  return value.toLocaleString("en-US", { maximumFractionDigits: 10 });
}

/** Write a fraction as percent. */
function percent(value, digits = 2) {
  return value === null || !Number.isFinite(value) ? "n/a" : `${number(value * 100, digits)} %`;
}

/** Write microseconds since the epoch in UTC, with as many digits of the second as there are. */
function timeText(micros) {
  const whole = Math.floor(micros / 1e6);
  const text = new Date(whole * 1000).toISOString().slice(0, 19).replace("T", " ");
  const rest = micros - whole * 1e6;
  if (!rest) return text;
  const digits = String(rest).padStart(6, "0");
  return `${text}.${digits.endsWith("000") ? digits.slice(0, 3) : digits}`;
}

/** Write microseconds as plotly reads dates. */
function chartTime(micros) {
  const whole = Math.floor(micros / 1000);
  const rest = Math.round(micros - whole * 1000);
  const text = new Date(whole).toISOString().slice(0, 23).replace("T", " ");
  return rest ? text + String(rest).padStart(3, "0") : text;
}

/** Read a date of plotly's as microseconds. */
function chartMicros(value) {
  if (typeof value === "number") return value * 1000;
  const [whole, fraction = ""] = String(value).replace(" ", "T").split(".");
  const padded = whole.length === 10 ? `${whole}T00:00:00` : whole.length === 16 ? `${whole}:00` : whole;
  return Date.parse(`${padded}Z`) * 1000 + Number(fraction.padEnd(6, "0").slice(0, 6));
}

/** Write a length of time in its two largest units. */
function durationText(micros) {
  const seconds = Math.floor(micros / 1e6);
  if (seconds < 60) return `${(micros / 1e6).toFixed(3)} s`;
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const at = units.findIndex(([size]) => seconds >= size);
  const [size, name] = units[at];
  const [smaller, smallerName] = units[at + 1];
  const rest = Math.floor((seconds % size) / smaller);
  return `${Math.floor(seconds / size)} ${name}${rest ? ` ${rest} ${smallerName}` : ""}`;
}

/** Write text so that plotly takes none of it for markup. */
function chartText(text) {
  return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

/** Choose how many digits show the usual size of some values with `significant` of them, from `least` to `most`. */
function digitsFor(values, significant, least, most) {
  const step = Math.max(Math.floor(values.length / 1000), 1);
  const sizes = [];
  for (let i = 0; i < values.length; i += step) if (values[i] && Number.isFinite(values[i])) sizes.push(Math.abs(values[i]));
  if (!sizes.length) return least;
  sizes.sort((a, b) => a - b);
  const usual = sizes[sizes.length >> 1];
  return Math.min(Math.max(significant - 1 - Math.floor(Math.log10(usual)), least), most);
}

/** Make an element with a class, its text and children. */
function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

/** Name the class that colours a value. */
function signClass(value) {
  return value > 0 ? "gain" : value < 0 ? "loss" : "";
}
