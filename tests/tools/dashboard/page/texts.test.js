import assert from "node:assert/strict";
import test from "node:test";

import { backoffMs } from "../../../../tools/dashboard/assets/backoff.js";
import {
  Symbols,
  ageText,
  clean,
  clockText,
  cut,
  durationText,
  momentText,
  shortHex,
  venueText,
} from "../../../../tools/dashboard/assets/texts.js";

const token = (symbol, address = "0x" + "1".repeat(40)) => ({ symbol, address, decimals: 18 });

test("controls, bidi marks and separators become replacement characters", () => {
  const hostile = "A\u0000\u0007\u202e\u2066\u200b\ufeff\u2028\ud800B";
  assert.equal(clean(hostile), `A${"\ufffd".repeat(8)}B`);
  assert.equal(clean("<b>€ 漢字 😀</b>"), "<b>€ 漢字 😀</b>");
  assert.equal(clean("\u3164\uffa0\u2800\u034f"), "\ufffd".repeat(4), "letters that nobody sees");
  assert.equal(clean(`a${"\u0301".repeat(5)}b`), `a\u0301\u0301${"\ufffd".repeat(3)}b`, "marks that pile up");
});

test("a symbol is cut at twenty characters, pairs of surrogates kept whole", () => {
  assert.equal(cut("x".repeat(10_000)), "x".repeat(19) + "…");
  assert.equal([...cut("😀".repeat(30))].length, 20);
  assert.ok(cut("😀".repeat(30)).isWellFormed());
  assert.equal(cut("x".repeat(20)), "x".repeat(20));
});

test("two tokens of one symbol are shown with their addresses, whatever its case or width", () => {
  const symbols = new Symbols();
  const real = token("USDC");
  const copy = token("ｕｓｄｃ ", "0x" + "2".repeat(40));
  assert.equal(symbols.note(real), false);
  assert.equal(symbols.note(real), false);
  assert.equal(symbols.text(real), "USDC");
  assert.equal(symbols.note(copy), true);
  assert.equal(symbols.note(copy), false);
  assert.equal(symbols.text(real), "USDC 0x1111…1111");
  assert.equal(symbols.text(copy), "ｕｓｄｃ 0x2222…2222");
  assert.equal(symbols.text(token("")), "0x1111…1111");
});

test("times are UTC and durations have three digits", () => {
  assert.equal(clockText(1618920078250), "12:01:18.250");
  assert.equal(momentText(1618920078250), "2021-04-20 12:01:18 UTC");
  assert.equal(momentText(Infinity), "-");
  assert.deepEqual([0, 999, 1000, 118_221, 41_300_000, 1.83e9, -2500].map(durationText), [
    "0 ns",
    "999 ns",
    "1.00 µs",
    "118 µs",
    "41.3 ms",
    "1.83 s",
    "-2.50 µs",
  ]);
  assert.deepEqual([900, 59_940, 153_000, 7_380_000, 90_000_000].map(ageText), [
    "0.9 s",
    "59.9 s",
    "2 min 33 s",
    "2 h 3 min",
    "1 d 1 h",
  ]);
});

test("venues and addresses are short", () => {
  assert.equal(venueText("polygon.quickswap_v2"), "quickswap v2");
  assert.equal(venueText("DFYN"), "dfyn");
  assert.equal(shortHex("0x" + "ab".repeat(20)), "0xabab…abab");
});

test("attempts grow apart to five seconds, half of it chance", () => {
  assert.equal(backoffMs(0, 0), 125);
  assert.equal(backoffMs(3, 0), 1000);
  for (const attempt of [5, 50, 5000]) assert.deepEqual([backoffMs(attempt, 0), backoffMs(attempt, 0.5)], [2500, 3750]);
});
