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

/** Put the byte planes of a column together and undo zigzag; up to four bytes in integers, which is faster. */
function signed(planes, count, width) {
  const values = new Float64Array(count);
  if (width <= 4) {
    const [second, third, fourth] = [1, 2, 3].map((plane) => (plane < width ? plane * count : -1));
    for (let i = 0; i < count; i++) {
      let coded = planes[i];
      if (second >= 0) coded |= planes[second + i] << 8;
      if (third >= 0) coded |= planes[third + i] << 16;
      if (fourth >= 0) coded |= planes[fourth + i] << 24;
      values[i] = (coded >>> 1) ^ -(coded & 1);
    }
    return values;
  }
  for (let plane = 0; plane < width; plane++) {
    const weight = 256 ** plane;
    for (let i = 0, at = plane * count; i < count; i++, at++) values[i] += planes[at] * weight;
  }
  for (let i = 0; i < count; i++) {
    const half = Math.floor(values[i] / 2);
    values[i] = planes[i] & 1 ? -half - 1 : half;
  }
  return values;
}

/** Unpack byte planes, zigzag and differences to numbers; null stands as NaN. */
function unpack(planes, { count, width, order, decimals, nullable }) {
  const values = signed(planes, count, width);
  for (let round = 0; round < order; round++) {
    let sum = 0;
    for (let i = 0; i < count; i++) values[i] = sum += values[i];
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

/** Run the chart library, which is packed in the page; as a script of its own, so that it is compiled beside other work. */
async function loadCharts() {
  const packed = document.getElementById("chart-library");
  const address = URL.createObjectURL(new Blob([await inflate(packed.textContent)], { type: "text/javascript" }));
  const script = document.createElement("script");
  await new Promise((resolve, reject) => {
    script.onload = resolve;
    script.onerror = () => reject(new Error("the chart library does not run here"));
    script.src = address;
    document.head.append(script);
  });
  URL.revokeObjectURL(address);
  packed.remove();
}
