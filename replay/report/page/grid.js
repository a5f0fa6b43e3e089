// A table of many rows of which only those in sight are elements; sorted by its headings, moved through by keys.
// May not live here: what the rows are.

const ROW_PIXELS = 26;
const ROWS_AROUND = 10;
const PRINTED_ROWS_MAX = 100;

class Grid {
  /** `headings` is a list of {title, width, text?, cell(row), sort(row), sign?(row)}; `choose(row)` is told of a click. */
  constructor(place, headings, count, choose) {
    this.place = place;
    this.headings = headings;
    this.choose = choose;
    this.count = count;
    this.rows = Array.from({ length: count }, (_, row) => row);
    this.filter = () => true;
    this.sorting = null;
    this.chosen = null;
    this.width = headings.reduce((sum, heading) => sum + heading.width, 0);
    this.printing = false;
    this.head = this.line(element("div", "row head"), headings.map((heading) => heading.title));
    this.body = element("div", "rows");
    this.body.style.position = "relative";
    place.append(this.head, this.body);
    this.head.addEventListener("click", (event) => this.sortBy([...this.head.children].indexOf(event.target.closest("div"))));
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest(".row");
      if (line) this.pick(Number(line.dataset.row));
    });
    place.addEventListener("scroll", () => this.paint());
    place.addEventListener("keydown", (event) => this.key(event));
    addEventListener("beforeprint", () => { this.printing = true; this.paint(); });
    addEventListener("afterprint", () => { this.printing = false; this.paint(); });
    this.paint();
  }

  /** Give the columns: as wide as they need to be, but on paper no wider than the sheet. */
  template() {
    return this.headings.map(({ width }) => `minmax(${this.printing ? 0 : width}px, ${width}fr)`).join(" ");
  }

  line(made, cells, signs = []) {
    made.style.gridTemplateColumns = this.template();
    made.append(...cells.map((cell, place) => element("div", `${this.headings[place].text ? "text " : ""}${signs[place] || ""}`, cell)));
    return made;
  }

  /** Keep the rows that a function says yes to. */
  keep(filter) {
    this.filter = filter;
    this.arrange();
  }

  sortBy(place) {
    if (place < 0) return;
    const falls = this.sorting?.place === place && !this.sorting.falls;
    this.sorting = { place, falls };
    [...this.head.children].forEach((cell, at) => {
      cell.textContent = this.headings[at].title + (at === place ? (falls ? " ▾" : " ▴") : "");
    });
    this.arrange();
  }

  arrange() {
    this.rows = [];
    for (let row = 0; row < this.count; row++) if (this.filter(row)) this.rows.push(row);
    if (this.sorting) {
      const value = this.headings[this.sorting.place].sort;
      const sign = this.sorting.falls ? -1 : 1;
      const known = (x) => typeof x === "string" || Number.isFinite(x);
      this.rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        if (!known(x) || !known(y)) return known(y) - known(x);
        return (x < y ? -1 : x > y ? 1 : a - b) * sign;
      });
    }
    this.paint();
  }

  /** Mark a row and bring it into sight. */
  mark(row) {
    this.chosen = row;
    const at = this.rows.indexOf(row) * ROW_PIXELS;
    const { scrollTop, clientHeight } = this.place;
    if (at >= 0 && at < scrollTop) this.place.scrollTop = at;
    if (at + 3 * ROW_PIXELS > scrollTop + clientHeight) this.place.scrollTop = at + 3 * ROW_PIXELS - clientHeight;
    this.paint();
  }

  /** Mark a row and tell of it. */
  pick(row) {
    this.mark(row);
    this.choose(row);
  }

  key(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 15, PageUp: -15 };
    if (!(event.key in steps) || !this.rows.length) return;
    event.preventDefault();
    const at = this.rows.indexOf(this.chosen) + steps[event.key];
    this.pick(this.rows[Math.min(Math.max(at, 0), this.rows.length - 1)]);
  }

  /** Make the elements of the rows in sight. */
  paint() {
    const { scrollTop, clientHeight } = this.place;
    let first = Math.max(Math.floor(scrollTop / ROW_PIXELS) - ROWS_AROUND, 0);
    let limit = Math.min(Math.ceil((scrollTop + clientHeight) / ROW_PIXELS) + ROWS_AROUND, this.rows.length);
    this.head.style.gridTemplateColumns = this.template();
    this.head.style.minWidth = this.body.style.minWidth = this.printing ? "0" : `${this.width}px`;
    if (this.printing) [first, limit] = [0, Math.min(this.rows.length, PRINTED_ROWS_MAX)];
    this.body.style.height = `${this.rows.length * ROW_PIXELS}px`;
    const lines = [];
    for (let at = first; at < limit; at++) {
      const row = this.rows[at];
      const line = element("div", row === this.chosen ? "row chosen" : "row");
      line.dataset.row = row;
      line.style.top = `${at * ROW_PIXELS}px`;
      const signs = this.headings.map((heading) => (heading.sign ? signClass(heading.sign(row)) : ""));
      lines.push(this.line(line, this.headings.map((heading) => heading.cell(row)), signs));
    }
    if (this.printing && this.rows.length > limit) lines.push(element("p", "quiet", `and ${number(this.rows.length - limit, 0)} more`));
    this.body.replaceChildren(...lines);
  }
}
