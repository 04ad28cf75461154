// Amounts as text.  Exact: digits in, digits out, and no Number in between.

/** As the wire format says it; amounts of such a token are shown in base units. */
const UNKNOWN_DECIMALS = 255;

/** Digits with a comma before every third. */
export function grouped(digits) {
  return digits.length > 3 ? digits.replace(/\B(?=(\d{3})+$)/g, ",") : digits;
}

/** Whether a token's decimals are known. */
export function hasDecimals(decimals) {
  return decimals !== UNKNOWN_DECIMALS;
}

/** Both sides of the decimal point: ["-1,234", ".5"]; the second is empty if nothing stands there. */
export function decimalParts(units, decimals) {
  const negative = units.startsWith("-");
  const digits = (negative ? units.slice(1) : units).replace(/^0+(?=\d)/, "");
  const places = hasDecimals(decimals) ? decimals : 0;
  const padded = digits.padStart(places + 1, "0");
  const point = padded.length - places;
  const fraction = padded.slice(point).replace(/0+$/, "");
  return [(negative ? "-" : "") + grouped(padded.slice(0, point)), fraction && "." + fraction];
}

/** The whole amount: "-1,234.5". */
export function decimalText(units, decimals) {
  return decimalParts(units, decimals).join("");
}

/** A decimal string with its whole part grouped: "1234.50" becomes ["1,234", ".50"]. */
export function groupedParts(text) {
  const negative = text.startsWith("-");
  const [whole, fraction] = (negative ? text.slice(1) : text).split(".");
  return [(negative ? "-" : "") + grouped(whole), fraction === undefined ? "" : "." + fraction];
}

/** What somebody typed as an amount, as {units, places}; null if it is none. */
export function parseAmount(text) {
  const match = /^(\d*)(?:\.(\d*))?$/.exec(text.replace(/[,_\s]/g, ""));
  if (match === null || !(match[1] || match[2])) return null;
  const fraction = match[2] ?? "";
  return { units: BigInt(match[1] + fraction), places: fraction.length };
}

/** Whether units of a token are at least what `parseAmount` gave. */
export function atLeast(units, decimals, least) {
  const places = hasDecimals(decimals) ? decimals : 0;
  const shift = places - least.places;
  const found = BigInt(units);
  return shift >= 0 ? found >= least.units * 10n ** BigInt(shift) : found * 10n ** BigInt(-shift) >= least.units;
}

/** part/whole for a picture, 0 to 1, in steps of 1/65536. */
export function share(part, whole) {
  const of = BigInt(whole);
  return of <= 0n ? 0 : Number((BigInt(part) * 65536n) / of) / 65536;
}

/** Hundredths of a basis point as percent: 3000 is "0.3 %". */
export function feeText(pips) {
  return pips === null ? "-" : `${decimalText(String(pips), 4)} %`;
}
