import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import {
  atLeast,
  decimalParts,
  decimalText,
  feeText,
  grouped,
  groupedParts,
  parseAmount,
  share,
} from "../../../../tools/dashboard/assets/amounts.js";

test("amounts are to the last digit what Python's decimal makes of them", () => {
  const vectors = JSON.parse(readFileSync(process.env.AMOUNTS, "utf8"));
  assert.ok(vectors.length > 100);
  for (const { units, decimals, text } of vectors)
    assert.equal(decimalText(units, decimals), text, `${units} of ${decimals}`);
});

test("an amount whose decimals are not known is its base units", () => {
  assert.equal(decimalText("1234567", 255), "1,234,567");
});

test("both parts of an amount are its text", () => {
  assert.deepEqual(decimalParts("-1234500", 3), ["-1,234", ".5"]);
  assert.deepEqual(decimalParts("0", 18), ["0", ""]);
  assert.deepEqual(groupedParts("-1234.50"), ["-1,234", ".50"]);
  assert.deepEqual(groupedParts("12"), ["12", ""]);
  assert.equal(grouped("123"), "123");
});

test("what is typed as an amount is read exactly, or not at all", () => {
  assert.deepEqual(parseAmount("1,000.50"), { units: 100050n, places: 2 });
  assert.deepEqual(parseAmount(".5"), { units: 5n, places: 1 });
  for (const wrong of ["", ".", "1e3", "-1", "0x10", "1.2.3", "ten"]) assert.equal(parseAmount(wrong), null, wrong);
});

test("the least amount divides to the last unit", () => {
  const least = parseAmount("1.5");
  assert.ok(atLeast("1500000", 6, least));
  assert.ok(!atLeast("1499999", 6, least));
  assert.ok(atLeast("2", 0, least));
  assert.ok(!atLeast("1", 0, least));
  assert.ok(atLeast("9".repeat(78), 18, parseAmount("9".repeat(60))));
});

test("a share of amounts beyond doubles is a number for a picture", () => {
  assert.equal(share("1" + "0".repeat(77), "2" + "0".repeat(77)), 0.5);
  assert.equal(share("1", "0"), 0);
});

test("fees are percent", () => {
  assert.equal(feeText(3000), "0.3 %");
  assert.equal(feeText(1), "0.0001 %");
  assert.equal(feeText(null), "-");
});
