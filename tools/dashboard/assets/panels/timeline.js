// The way of one message, hop by hop: a strip to scale, and a bar for each hop on a scale of decades.

import { ask } from "../api.js";
import { element, write } from "../table.js";
import { clean, countText, durationText, shortHex, words } from "../texts.js";

const WAIT = "ring_to_block_end";
/** Of the bars: 1 µs to 100 s. */
const [LEAST, MOST] = [3, 11];
const ASK = "Choose a swap or an opportunity (click, or Enter) to see where its time went, hop by hop.";

export class Timeline {
  #abort = null;

  /** `journalOf(ring)` is the name of the journal to look in, null for the ring itself. */
  constructor(journalOf) {
    this.journalOf = journalOf;
    this.panel = document.querySelector('[data-panel="timeline"]');
    this.mount = this.panel.querySelector(".mount");
    this.note = document.getElementById("timeline-note");
    this.mount.append(element("p", "empty", ASK));
  }

  async show({ ring, sequence }) {
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    const journal = this.journalOf(ring);
    write(this.note, `${ring} ${countText(sequence)} ...`);
    try {
      const answer = await ask(
        "/api/trace",
        journal === null ? { ring, sequence } : { journal, sequence },
        abort.signal,
      );
      if (abort.signal.aborted) return;
      this.#draw(answer);
      write(this.note, `${ring} ${countText(sequence)}`);
      this.panel.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (abort.signal.aborted) return;
      write(this.note, `${ring} ${countText(sequence)}`);
      this.mount.replaceChildren(element("p", "empty", `Its way cannot be told: ${clean(error.message)}`));
    }
  }

  #draw({ traces, unstamped }) {
    const trace = traces[0];
    if (trace === undefined)
      return this.mount.replaceChildren(element("p", "empty", "No message of that sequence was found."));
    const parts = [facts(trace), strip(trace), rows(trace)];
    if (trace.signals.length) parts.push(list("signals", trace.signals.map(published)));
    if (unstamped.length) parts.push(list("unstamped", unstamped.map(untold)));
    if (trace.notes.length) parts.push(list("notes", trace.notes));
    this.mount.replaceChildren(...parts);
  }
}

const counts = (hop) => hop.ns >= 0 && (hop.counted || hop.name === WAIT);

function facts(trace) {
  const made = element("p", "fine");
  const block = trace.block_number < 0 ? "" : ` in block ${countText(trace.block_number)}`;
  const hash = trace.transaction_hash ? `, transaction ${shortHex(trace.transaction_hash)}` : "";
  made.append(`${clean(trace.record)} (${words(trace.what)})${block}${hash}. `);
  const whole = element("b", "", durationText(trace.whole_ns));
  const here = element("b", "", durationText(trace.here_ns));
  made.append("In all ", whole, ", of which on this host ", here, ".");
  made.title = trace.transaction_hash;
  return made;
}

/** The hops in the order of time, as long as they took, so that it shows what matters. */
function strip(trace) {
  const made = element("div", "scale");
  const drawn = trace.hops.filter(counts);
  const whole = drawn.reduce((sum, hop) => sum + hop.ns, 0) || 1;
  for (const hop of drawn) {
    const part = element("i");
    part.style.flexGrow = hop.ns / whole;
    part.dataset.here = hop.here;
    part.toggleAttribute("data-uncounted", !hop.counted);
    part.toggleAttribute("data-slowest", hop.name === trace.slowest);
    part.title = `${words(hop.name)} ${durationText(hop.ns)}`;
    made.append(part);
  }
  made.role = "img";
  made.ariaLabel = drawn.map((hop) => `${words(hop.name)} ${durationText(hop.ns)}`).join(", ");
  return made;
}

function rows(trace) {
  const table = element("table", "hops");
  table.append(element("caption", "hush", "Hops, in the order of time; the scale goes from 1 µs to 100 s"));
  const head = element("tr");
  for (const [name, label] of [
    ["hop", "hop"],
    ["bar", "duration"],
    ["took", "took"],
    ["clock", "precision"],
  ]) {
    const cell = element("th", name === "took" ? "numeric" : "", label);
    cell.scope = "col";
    cell.dataset.field = name;
    if (name === "bar") cell.replaceChildren(element("span", "hush", label), decades());
    head.append(cell);
  }
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  for (const hop of trace.hops) body.append(hopRow(hop, trace));
  table.append(thead, body);
  return table;
}

function decades() {
  const made = element("span", "decades");
  for (const label of ["1 µs", "10", "100", "1 ms", "10", "100", "1 s", "10"]) made.append(element("span", "", label));
  return made;
}

function hopRow(hop, trace) {
  const row = element("tr");
  row.dataset.hop = hop.name;
  row.dataset.here = hop.here;
  const slowest = hop.name === trace.slowest;
  row.toggleAttribute("data-slowest", slowest);
  const where = slowest ? "slowest" : hop.name === trace.slowest_here ? "slowest here" : "";
  const name = element("th", "", words(hop.name));
  name.scope = "row";
  if (where) name.append(element("em", "", where));
  const bar = element("td");
  bar.dataset.field = "bar";
  const line = element("i");
  const length = (Math.log10(Math.max(1, hop.ns)) - LEAST) / (MOST - LEAST);
  line.style.width = `${(100 * Math.min(1, Math.max(0.004, length))).toFixed(2)}%`;
  line.toggleAttribute("data-uncounted", !hop.counted);
  bar.append(line);
  const took = element("td", "numeric", durationText(hop.ns));
  took.title = `${countText(Math.abs(hop.ns))} ns${hop.ns < 0 ? ", backwards: two clocks disagree" : ""}`;
  const precision = element("td", "", hop.counted ? hop.precision : `${hop.precision}, not counted`);
  precision.dataset.field = "clock";
  precision.title = clean(hop.note);
  row.append(name, bar, took, precision);
  return row;
}

function published({ strategy, ns, trigger, ring, sequence }) {
  return `${strategy}: ${durationText(ns)} after ${words(trigger)}, ${ring} ${sequence}`;
}

function untold({ hop, why, count, p50_ns, p99_ns }) {
  const known = count ? `; of all ${countText(count)}: p50 ${durationText(p50_ns)}, p99 ${durationText(p99_ns)}` : "";
  return `${words(hop)}: ${clean(why)}${known}`;
}

function list(title, lines) {
  const made = element("div", "told-list");
  made.append(element("h3", "", title));
  const items = element("ul");
  for (const line of lines) items.append(element("li", "", clean(line)));
  made.append(items);
  return made;
}
