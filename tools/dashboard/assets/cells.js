// What stands in a cell: an amount, a text, a link to nothing.  All of it goes through textContent and title.

import { decimalParts, decimalText, groupedParts, hasDecimals } from "./amounts.js";
import { element, flashed } from "./table.js";
import { venueText } from "./texts.js";

/** A whole part of more characters may not fit, and then begins at the left and ends in an ellipsis. */
const LONG = 13;

/** Write a cell's text, and its title; flash it if it changed under a row that stays. */
export function text(cell, value, flash = false, title = "") {
  if (cell.shown === value && cell.title === title) return;
  cell.textContent = cell.shown = value;
  cell.title = title;
  if (flash) flashed(cell);
}

/** The parts of an amount: digits before the point end where those behind it begin, so that points stand in a line. */
export function makeAmount(cell) {
  const box = element("span", "amount");
  const digits = element("span", "digits");
  digits.append(element("span", "whole"), element("span", "fraction"));
  box.append(digits, element("span", "symbol"));
  cell.append(box);
  return box;
}

/** Show an amount in what `makeAmount` made. */
export function showAmount(box, amount, symbols, flash = false) {
  const { units, token } = amount;
  const [digits, symbol] = box.children;
  const name = symbols.text(token);
  if (symbol.textContent !== name) symbol.textContent = name;
  symbol.title = symbols.title(token);
  if (digits.dataset.units === units && digits.dataset.token === token.address) return;
  const [whole, fraction] = decimalParts(units, token.decimals);
  digits.dataset.units = units;
  digits.dataset.decimals = token.decimals;
  digits.dataset.token = token.address;
  digits.children[0].textContent = whole;
  digits.children[1].textContent = fraction;
  digits.title = hasDecimals(token.decimals)
    ? `${whole}${fraction}`
    : `${whole} base units: this token did not say its decimals`;
  digits.classList.toggle("long", whole.length > LONG);
  digits.classList.toggle("raw", !hasDecimals(token.decimals));
  digits.classList.toggle("loss", units.startsWith("-"));
  if (flash) flashed(digits);
}

/** A cell of up to two amounts: most swaps have one on a side, a flash swap has two. */
export function showAmounts(cell, amounts, symbols, flash) {
  while (cell.childElementCount < amounts.length) makeAmount(cell);
  while (cell.childElementCount > Math.max(1, amounts.length)) cell.lastElementChild.remove();
  if (amounts.length === 0) cell.replaceChildren();
  for (let i = 0; i < amounts.length; i++) showAmount(cell.children[i], amounts[i], symbols, flash);
}

/** A plain decimal string with its point in line. */
export function showNumber(cell, value, flash = false, title = value) {
  if (cell.shown === value) return;
  cell.shown = value;
  let box = cell.firstElementChild;
  if (!box) {
    box = element("span", "digits");
    box.append(element("span", "whole"), element("span", "fraction"));
    cell.append(box);
  }
  const [whole, fraction] = value === "-" ? ["-", ""] : groupedParts(value);
  box.classList.toggle("long", whole.length > LONG);
  box.children[0].textContent = whole;
  box.children[1].textContent = fraction;
  box.title = title;
  if (flash) flashed(box);
}

/** Where a way through pools leads: its venues. */
export function routeText(legs) {
  return legs.map(({ venue }) => venueText(venue)).join(" → ");
}

/** The same with pools and exact amounts. */
export function routeTitle(legs, symbols) {
  return legs
    .map(({ venue, pool, amount_in, amount_out }) => {
      const [paid, got] = [amount_in, amount_out].map((amount) => amountText(amount, symbols));
      return `${paid} → ${got} in ${venue} ${pool}`;
    })
    .join(", ");
}

/** An amount with what it is of: all digits. */
export function amountText({ units, token }, symbols) {
  const unit = hasDecimals(token.decimals) ? "" : "base units of ";
  return `${decimalText(units, token.decimals)} ${unit}${symbols.text(token)}`;
}
