// A table of any length: rows are keyed, updated in place and recycled, and only those in sight are in the document.
//
// It owns rows, scrolling, roving focus and the words of an empty table.  Cells are the columns' own:
//   {field, label, numeric, make(cell), show(cell, item, flash)}
// `show` is called when the item of a row is another object than before; `flash` says whether the row meant it already.

/** Rows above and below those in sight, so that a scroll shows rows at once. */
const OVERSCAN = 4;
const FLASH = [
  { backgroundColor: "var(--flash)", boxShadow: "inset 0 -2px var(--ink)" },
  { backgroundColor: "var(--flash)", boxShadow: "inset 0 -2px transparent" },
];
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Rows that are kept for later. */
const MOST_SPARE = 100;

/** Where more than these flash at once, another says nothing, and would cost frames. */
const MOST_FLASHES = 24;
let flashing = 0;

/** Mark a node's change for 200 ms. */
export function flashed(node) {
  if (calm.matches || flashing === MOST_FLASHES) return;
  flashing += 1;
  node.animate(FLASH, 200).onfinish = ended;
}

function ended() {
  flashing -= 1;
}

export class Table {
  #items = [];
  #rows = new Map();
  #spare = new Set();
  #index = new Map();
  #active = null;
  #pressed = null;
  #top = 0;
  #height = 0;
  #row = 22;
  #scheduled = false;
  #stale = false;

  /** `options`: mount, caption, columns, mark(row, item), activate(item); keyOf(item) if items have no `key`. */
  constructor(options) {
    this.options = { keyOf: (item) => item.key, ...options };
    const table = element("table");
    table.append(element("caption", "hush", options.caption));
    const head = element("tr");
    for (const column of options.columns) {
      const cell = element("th", column.numeric ? "numeric" : "", column.label);
      cell.scope = "col";
      cell.dataset.field = column.field;
      head.append(cell);
    }
    const thead = element("thead");
    thead.append(head);
    this.body = element("tbody");
    table.append(thead, this.body);
    this.table = table;
    this.empty = element("p", "empty");
    this.scroller = options.mount;
    this.scroller.classList.add("scroller");
    this.scroller.append(table, this.empty);
    this.#listen();
  }

  #listen() {
    const { scroller, body } = this;
    scroller.addEventListener(
      "scroll",
      () => {
        this.#top = scroller.scrollTop;
        this.#schedule();
      },
      { passive: true },
    );
    new ResizeObserver(([entry]) => {
      this.#height = entry.contentRect.height;
      this.#row = parseFloat(getComputedStyle(scroller).getPropertyValue("--row")) || 22;
      this.#schedule();
    }).observe(scroller);
    body.addEventListener("keydown", (event) => this.#key(event));
    body.addEventListener("focusin", (event) => this.#choose(event.target.closest("tr")));
    // Rows move while a button is held down: what was pressed is meant, not what lies there on its release.
    body.addEventListener("pointerdown", (event) => (this.#pressed = event.target.closest("tr")?.item ?? null));
    body.addEventListener("click", (event) => this.#activate(this.#pressed ?? event.target.closest("tr")?.item));
  }

  /** Show these items, in this order; `words` tell why there are none. */
  show(items, words) {
    const { keyOf } = this.options;
    const anchor = this.#anchor();
    const before = this.#index.get(anchor);
    this.#items = items;
    this.#index.clear();
    for (let i = 0; i < items.length; i++) this.#index.set(keyOf(items[i]), i);
    this.empty.hidden = items.length > 0;
    if (items.length === 0) write(this.empty, words);
    this.table.ariaRowCount = String(items.length + 1);
    const after = this.#index.get(anchor);
    const moved = after === undefined || before === undefined ? 0 : after - before;
    const top = this.#bounded(this.#top + moved * this.#row);
    this.#paint(top);
    if (top !== this.#top) this.scroller.scrollTop = this.#top = top;
  }

  /** The row that stays where it is while others come above it: the one that the keyboard is at, or the first in sight
   * for who scrolled down. */
  #anchor() {
    const focused = document.activeElement;
    if (this.body.contains(focused) && focused.matches("tr:focus-visible")) return this.options.keyOf(focused.item);
    const first = this.#top > 0 ? this.#items[Math.floor(this.#top / this.#row)] : undefined;
    return first && this.options.keyOf(first);
  }

  /** A place that can be scrolled to; the head takes a row's height. */
  #bounded(top) {
    const last = (this.#items.length + 1) * this.#row - this.#height;
    return Math.max(0, Math.min(top, last));
  }

  /** Rows above those in sight. */
  get above() {
    return Math.floor(this.#top / this.#row);
  }

  /** Write all rows again: what they show depends on more than their items. */
  refresh() {
    this.#stale = true;
    this.#schedule();
  }

  #schedule() {
    if (this.#scheduled) return;
    this.#scheduled = true;
    requestAnimationFrame(() => {
      this.#scheduled = false;
      this.#paint(this.#top);
    });
  }

  #paint(top) {
    const { keyOf } = this.options;
    const items = this.#items;
    const fit = Math.ceil((this.#height || 400) / this.#row);
    const first = Math.max(0, Math.min(Math.floor(top / this.#row), items.length - fit) - OVERSCAN);
    const last = Math.min(items.length, first + fit + 2 * OVERSCAN);
    const wanted = new Set();
    let unfocused = false;
    for (let i = first; i < last; i++) wanted.add(keyOf(items[i]));
    for (const [key, row] of this.#rows) {
      if (wanted.has(key)) continue;
      if (row === document.activeElement) unfocused = true;
      this.#rows.delete(key);
      this.#spare.add(row);
    }
    let next = this.body.firstElementChild;
    for (let i = first; i < last; i++) {
      const row = this.#fill(items[i], i, next);
      if (row === next) next = next.nextElementSibling;
      else this.body.insertBefore(row, next);
    }
    for (const row of this.#spare) row.remove();
    if (this.#spare.size > MOST_SPARE) this.#spare.clear();
    this.#stale = false;
    this.table.style.marginTop = `${first * this.#row}px`;
    this.table.style.marginBottom = `${(items.length - last) * this.#row}px`;
    const chosen = this.#rove();
    if (unfocused) chosen?.focus({ preventScroll: true });
  }

  /** The row of an item; a new one is taken from where it will stand, if that is free: what moves is laid out anew. */
  #fill(item, i, there) {
    const { keyOf, columns, mark } = this.options;
    const key = keyOf(item);
    let row = this.#rows.get(key);
    const known = row !== undefined;
    if (!known) {
      row = this.#spare.has(there) ? there : (this.#spare.values().next().value ?? this.#make());
      this.#spare.delete(row);
      this.#rows.set(key, row);
    }
    row.ariaRowIndex = String(i + 2);
    if (row.item === item && known && !this.#stale) return row;
    const flash = known && row.item !== item;
    row.item = item;
    mark(row, item);
    for (let j = 0; j < columns.length; j++) columns[j].show(row.cells[j], item, flash);
    return row;
  }

  #make() {
    const row = element("tr");
    row.tabIndex = -1;
    for (const column of this.options.columns) {
      const cell = element("td", column.numeric ? "numeric" : "");
      cell.dataset.field = column.field;
      column.make?.(cell);
      row.append(cell);
    }
    return row;
  }

  /** One row of those in sight can be reached by Tab. */
  #rove() {
    const chosen = this.#rows.get(this.#active) ?? this.body.firstElementChild;
    for (const row of this.#rows.values()) {
      const index = row === chosen ? 0 : -1;
      if (row.tabIndex !== index) row.tabIndex = index;
    }
    return chosen;
  }

  #choose(row) {
    if (!row) return;
    this.#active = this.options.keyOf(row.item);
    this.#rove();
  }

  #key(event) {
    const row = event.target.closest("tr");
    const page = Math.max(1, Math.floor(this.#height / this.#row) - 2);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" || event.key === " ") this.#activate(row.item);
    else if (Object.hasOwn(steps, event.key)) this.#step(row, steps[event.key]);
    else return;
    event.preventDefault();
  }

  #step(row, step) {
    const from = this.#index.get(this.options.keyOf(row.item)) ?? 0;
    const to = Math.max(0, Math.min(this.#items.length - 1, from + step));
    const edge = to * this.#row;
    const inside = this.#height - 2 * this.#row;
    const top = this.#bounded(Math.min(Math.max(this.#top, edge - inside), edge));
    if (top !== this.#top) this.scroller.scrollTop = this.#top = top;
    this.#paint(top);
    this.#rows.get(this.options.keyOf(this.#items[to]))?.focus({ preventScroll: true });
  }

  #activate(item) {
    this.#pressed = null;
    if (!item || !this.options.activate) return;
    this.chosen = this.options.keyOf(item);
    for (const row of this.#rows.values()) row.toggleAttribute("data-chosen", row.item === item);
    this.options.activate(item);
  }
}

/** An element with a class and a text. */
export function element(name, className = "", text = "") {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}

/** Write a text if it is another one; whether it was. */
export function write(node, text) {
  if (node.textContent === text) return false;
  node.textContent = text;
  return true;
}
