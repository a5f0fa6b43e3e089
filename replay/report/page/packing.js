// Columns of the page, unpacked: the other half of packing.py.
// May not live here: what a column means.

/** Turn base64 into bytes. */
function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Inflate base64 text. */
async function inflate(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Unpack byte planes, zigzag and differences to numbers; null stands as NaN. */
function unpack(planes, { count, width, order, decimals, nullable }) {
  const values = new Float64Array(count);
  const weights = Array.from({ length: width }, (_, plane) => 256 ** plane);
  for (let plane = 0; plane < width; plane++) {
    const start = plane * count;
    const weight = weights[plane];
    for (let i = 0; i < count; i++) values[i] += planes[start + i] * weight;
  }
  for (let i = 0; i < count; i++) {
    const half = Math.floor(values[i] / 2);
    values[i] = values[i] % 2 === 0 ? half : -half - 1;
  }
  for (let round = 0; round < order; round++) {
    for (let i = 1; i < count; i++) values[i] += values[i - 1];
  }
  if (nullable) {
    let least = Infinity;
    for (let i = 0; i < count; i++) if (values[i] < least) least = values[i];
    for (let i = 0; i < count; i++) if (values[i] === least) values[i] = NaN;
  }
  if (decimals > 0) {
    const unit = 10 ** decimals;
    for (let i = 0; i < count; i++) values[i] /= unit;
  }
  return values;
}

const columns = new Map();

/** Give a column by its name, as Float64Array; it is unpacked once. */
function column(name) {
  if (!columns.has(name)) {
    const element = document.querySelector(`script[data-column="${name}"]`);
    if (!element) throw new Error(`the page has no column ${name}`);
    const about = JSON.parse(element.dataset.about);
    columns.set(name, inflate(element.textContent).then((planes) => unpack(planes, about)));
  }
  return columns.get(name);
}

/** Give several columns of one table as an object, by the part of their names after the prefix. */
async function table(prefix, names) {
  const found = await Promise.all(names.map((name) => column(`${prefix}.${name}`)));
  return Object.fromEntries(names.map((name, place) => [name, found[place]]));
}

/** Run the chart library, which is packed in the page. */
async function loadCharts() {
  const packed = document.getElementById("chart-library");
  const script = document.createElement("script");
  script.textContent = new TextDecoder().decode(await inflate(packed.textContent));
  document.head.append(script);
  packed.remove();
}
