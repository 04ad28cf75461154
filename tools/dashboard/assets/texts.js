// Texts of others made harmless and short, and times and durations in words.

const LONGEST = 20;
/** Controls, formats (bidi among them), surrogates, private and unassigned ones, separators of lines, blank letters; and
 * of marks on a letter all but two, which would pile up over the lines above. */
const UNSAFE = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?<=\p{M}{2})\p{M}/gu;

/** A text without what could reorder, hide or break the text around it. */
export function clean(text) {
  return text.replace(UNSAFE, "\uFFFD");
}

/** At most so many characters, the last an ellipsis if more are meant. */
export function cut(text, most = LONGEST) {
  if (text.length <= most) return text;
  const characters = [];
  for (const character of text) {
    if (characters.length === most) return characters.slice(0, most - 1).join("") + "…";
    characters.push(character);
  }
  return text;
}

/** 0x1234…cdef */
export function shortHex(hex) {
  return hex.length > 14 ? `${hex.slice(0, 6)}…${hex.slice(-4)}` : hex;
}

/** Tells tokens apart that go by the same symbol. */
export class Symbols {
  #first = new Map();
  #shared = new Set();

  clear() {
    this.#first.clear();
    this.#shared.clear();
  }

  /** Note a token; true if with it a symbol is shared for the first time, so that what is shown may be ambiguous. */
  note(token) {
    if (token.symbol === "") return false;
    const name = alike(token.symbol);
    const first = this.#first.get(name);
    if (first === undefined) this.#first.set(name, token.address);
    if (first === undefined || first === token.address || this.#shared.has(name)) return false;
    this.#shared.add(name);
    return true;
  }

  /** What to call a token: its symbol; with its address where two share it; the address where it has none. */
  text(token) {
    const symbol = cut(clean(token.symbol)).trim();
    if (symbol === "") return shortHex(token.address);
    return this.#shared.has(alike(token.symbol)) ? `${symbol} ${shortHex(token.address)}` : symbol;
  }

  /** All of it, for a title. */
  title(token) {
    return `${clean(token.symbol) || "(no symbol)"} ${token.address}`;
  }
}

/** Symbols that differ in this look the same to people. */
function alike(symbol) {
  return symbol.slice(0, 64).normalize("NFKC").toLowerCase().trim();
}

/** quickswap_v2 or QUICKSWAP_V2 for people; also of verdicts. */
export function words(name) {
  return clean(name).replaceAll("_", " ").toLowerCase();
}

/** polygon.quickswap_v2 without its chain: "quickswap v2".  The ring tells the chain. */
export function venueText(venue) {
  return words(venue.slice(venue.indexOf(".") + 1));
}

const two = (number) => String(number).padStart(2, "0");

/** 14:03:22.250, UTC. */
export function clockText(time_ms) {
  const time = new Date(time_ms);
  if (Number.isNaN(time.getTime())) return "-";
  const seconds = `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())}`;
  return `${seconds}.${String(time.getUTCMilliseconds()).padStart(3, "0")}`;
}

/** 2021-04-20 14:03:22 UTC */
export function momentText(time_ms) {
  const time = new Date(time_ms);
  return Number.isNaN(time.getTime()) ? "-" : `${time.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

const UNITS = [
  [1e9 * 86400, "d"],
  [1e9 * 3600, "h"],
  [1e9 * 60, "min"],
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
  [1, "ns"],
];

/** A duration with three digits and its unit: "1.23 ms". */
export function durationText(ns) {
  if (ns === null || !Number.isFinite(ns)) return "-";
  if (ns === 0) return "0 ns";
  const size = Math.abs(ns);
  const [unit, name] = UNITS.find(([least]) => size >= least) ?? UNITS.at(-1);
  const value = ns / unit;
  const places = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return `${value.toFixed(unit === 1 ? 0 : places)} ${name}`;
}

/** How long ago: in tenths of a second up to a minute, then in the two largest units. */
export function ageText(ms) {
  if (ms < 0) return "-";
  if (ms < 60_000) return `${(ms / 1000).toFixed(1)} s`;
  const seconds = Math.floor(ms / 1000);
  const [large, small, names] =
    seconds < 3600 ? [60, 1, ["min", "s"]] : seconds < 86_400 ? [3600, 60, ["h", "min"]] : [86_400, 3600, ["d", "h"]];
  return `${Math.floor(seconds / large)} ${names[0]} ${Math.floor((seconds % large) / small)} ${names[1]}`;
}

/** Of rates: three digits and a unit of thousands. */
export function rateText(rate) {
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(2)} M`;
  return rate >= 1e4 ? `${(rate / 1e3).toFixed(1)} k` : rate.toFixed(rate < 100 ? 1 : 0);
}

/** Of counts: 1,234,567. */
export function countText(count) {
  return count < 0 ? "-" : count.toLocaleString("en-US");
}
