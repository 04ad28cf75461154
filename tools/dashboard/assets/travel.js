// Time travel: a slider over the blocks of a journal, a seek for each place where it rests, a replay from there.
//
//   live    what the WebSocket brings                 past    one Update of /api/at
//   replay  what a WebSocket of the journal brings
// It knows neither the store nor the panels: `on` is told what to show.

import { ask } from "./api.js";
import { write } from "./table.js";
import { clean, countText, momentText } from "./texts.js";

const byId = (id) => document.getElementById(id);
/** A slider that moves asks once it has rested for so long. */
const REST_MS = 60;
const JOURNALS_MS = 5000;

export class Travel {
  mode = "live";
  #journals = [];
  #rest = 0;
  #abort = null;
  #block = -1;
  #said = "";

  /** on.moment(update), on.mode(mode, place). */
  constructor(on) {
    this.on = on;
    byId("travel").addEventListener("submit", (event) => event.preventDefault());
    byId("block").addEventListener("input", ({ target }) => this.#rests(Number(target.value)));
    byId("block-number").addEventListener("change", ({ target }) => this.#typed(target));
    byId("journal").addEventListener("change", () => this.#range() && this.seek(this.#journal().last_block));
    byId("replay").addEventListener("click", () => (this.mode === "replay" ? this.rest() : this.#replay()));
    byId("speed").addEventListener("change", () => this.mode === "replay" && this.#replay());
    byId("live").addEventListener("click", () => this.live());
    setInterval(() => this.#journals.length && !document.hidden && this.#look(), JOURNALS_MS);
  }

  /** Where the page is: {} for live, else {journal, block}. */
  place() {
    return this.mode === "live" ? {} : { journal: byId("journal").value, block: this.#block };
  }

  /** The journal to look in for messages of a ring; null: in the ring. */
  journalOf(ring) {
    const journal = this.#journal();
    return this.mode !== "live" && journal?.ring === ring ? journal.name : null;
  }

  #journal() {
    return this.#journals.find(({ name }) => name === byId("journal").value);
  }

  /** The journals that there are, as a Hello or /api/journals tells them. */
  know(journals) {
    this.#journals = journals.filter((row) => row.last_block >= 0 || row.problem);
    const select = byId("journal");
    const names = this.#journals.map(({ name }) => name);
    if ([...select.options].map(({ value }) => value).join("\n") !== names.join("\n")) {
      const chosen = select.value;
      select.replaceChildren(...names.map((name) => new Option(clean(name), name, false, name === chosen)));
    }
    this.#range();
  }

  async #look() {
    try {
      this.know(await ask("/api/journals"));
    } catch {
      // The connection's own state tells that nobody answers.
    }
  }

  /** Set the controls to the chosen journal; whether it can be travelled in. */
  #range() {
    const journal = this.#journal();
    const usable = journal !== undefined && journal.last_block >= 0;
    byId("journal").disabled = this.#journals.length === 0;
    for (const id of ["block", "block-number", "replay"]) byId(id).disabled = !usable;
    if (usable) {
      for (const id of ["block", "block-number"]) {
        byId(id).min = journal.first_block;
        byId(id).max = journal.last_block;
      }
      if (this.mode === "live") this.#point(journal.last_block);
    }
    this.#tell();
    return usable;
  }

  #point(block) {
    this.#block = block;
    byId("block").value = block;
    byId("block").ariaValueText = `block ${countText(block)}`;
    if (document.activeElement !== byId("block-number")) byId("block-number").value = block;
  }

  #tell(said = this.#said) {
    this.#said = said;
    const journal = this.#journal();
    let words = said;
    if (this.mode === "live") {
      if (!journal) words = "no journal to travel in: obs --journal DIRECTORY names one";
      else if (journal.problem) words = clean(journal.problem);
      else {
        words = `${countText(journal.first_block)} to ${countText(journal.last_block)}`;
        if (journal.recording) words += ", growing";
      }
      if (journal && journal.indexed < 1) words += `, ${Math.floor(journal.indexed * 100)} % ready`;
    }
    write(byId("moment"), words);
  }

  #mode(mode, place = null) {
    this.mode = mode;
    byId("live").ariaPressed = String(mode === "live");
    byId("replay").ariaPressed = String(mode === "replay");
    write(byId("replay"), mode === "replay" ? "pause" : "replay");
    this.on.mode(mode, place);
  }

  /** A number that was typed goes to the server as it is: the journal may have grown since it was looked at. */
  #typed(input) {
    const block = Math.trunc(Number(input.value));
    if (input.value !== "" && Number.isSafeInteger(block)) this.seek(Math.max(0, block));
  }

  #rests(block) {
    this.#point(block);
    this.#past();
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => this.seek(block), REST_MS);
  }

  /** Stop what comes in before the page shows the past. */
  #past() {
    if (this.mode !== "past") this.#mode("past");
  }

  /** Show the page as it was when `block` had ended; an earlier seek is dropped. */
  async seek(block) {
    clearTimeout(this.#rest);
    this.#abort?.abort();
    const abort = (this.#abort = new AbortController());
    this.#point(block);
    this.#past();
    this.#tell(`block ${countText(block)} ...`);
    try {
      const update = await ask("/api/at", { journal: byId("journal").value, block }, abort.signal);
      if (abort.signal.aborted) return;
      this.on.moment(update);
      this.follow(update, block);
    } catch (error) {
      if (!abort.signal.aborted) this.#tell(`block ${countText(block)} cannot be shown: ${clean(error.message)}`);
    }
  }

  /** Tell which moment an Update shows; `asked` is the block that was sought. */
  follow(update, asked = null) {
    if (this.mode === "live" || !update.summary) return;
    const { block, time_ms } = update.summary;
    if (asked === null) this.#point(block);
    const other = asked !== null && asked !== block ? ` (${countText(asked)} was not recorded)` : "";
    this.#tell(`as of block ${countText(block)}${other}, ${momentText(time_ms)}`);
  }

  #replay() {
    this.#abort?.abort();
    clearTimeout(this.#rest);
    const speed = byId("speed").value;
    this.#mode("replay", { journal: byId("journal").value, block: this.#block, speed });
    this.#tell(`replay from block ${countText(this.#block)} ...`);
  }

  /** Stay where a replay has come to, or has ended. */
  rest(why = "") {
    this.#mode("past");
    if (why) this.#tell(`${this.#said}: ${clean(why)}`);
  }

  live() {
    if (this.mode === "live") return;
    this.#abort?.abort();
    clearTimeout(this.#rest);
    this.#mode("live");
    this.#range();
  }
}
