// Owns the WebSocket: parses what it brings, and hands the page one merged Update every 32 ms at most.
//
// From the page: {open: place, token} | {watch: bool} | {drawn: true}; `place`: null for live, else what a replay asks for
// To the page:   {state, text, again} | {hello} | {update, count}
// It never sends an Update before the last one was drawn: a page that hangs costs no memory here.

import { merge } from "./merge.js";
import { backoffMs } from "./backoff.js";

const FLUSH_MS = 32;
/** A connection that brings nothing for so long is given up. */
const GIVE_UP_MS = 10_000;

let socket = null;
let place = null;
let token = "";
let watching = true;
let attempt = 0;
let staleAfter = 2000;
let state = "";
let ended = null;
let pending = null;
let count = 0;
let inFlight = false;
/** What is sent between two watches is of neither: the next whole Update is waited for. */
let needsWhole = true;
/** Which of the page's wishes is served; goes back with each Update. */
let turn = 0;
const timers = { retry: 0, stale: 0, quiet: 0, flush: 0 };

onmessage = ({ data }) => {
  turn = data.turn ?? turn;
  if ("drawn" in data) {
    inFlight = false;
    if (pending) later("flush", flush, 0);
  } else if ("watch" in data) watch(data.watch);
  else open(data);
};

function open(wanted) {
  place = wanted.open;
  token = wanted.token;
  attempt = 0;
  watching = true;
  connect();
}

function connect() {
  leave();
  needsWhole = true;
  tell("connecting");
  const address = new URL("/dashboard", location.href.replace(/^http/, "ws"));
  for (const [key, value] of Object.entries(place ?? {})) address.searchParams.set(key, value);
  socket = new WebSocket(address, token ? ["alphapulse", `bearer.${encoded(token)}`] : ["alphapulse"]);
  const own = socket;
  own.onmessage = ({ data }) => own === socket && take(JSON.parse(data));
  own.onclose = () => own === socket && lost();
}

/** What no subprotocol may hold (RFC 7230, token), percent-encoded. */
function encoded(text) {
  return encodeURIComponent(text).replace(/[()]/g, (bracket) => `%${bracket.charCodeAt(0).toString(16)}`);
}

/** Drop the connection and all that waits for it. */
function leave() {
  for (const name of Object.keys(timers)) clearTimeout(timers[name]);
  const old = socket;
  socket = null;
  pending = null;
  count = 0;
  ended = null;
  old?.close();
}

function take(message) {
  if (message.type === "hello") {
    attempt = 0;
    staleAfter = message.stale_after_ms;
    postMessage({ hello: message });
    if (!watching) socket.send(JSON.stringify({ type: "watch", on: false }));
    heard();
  } else if (message.type === "update" && watching && (message.whole || !needsWhole)) {
    needsWhole = false;
    pending = merge(pending, message);
    count += 1;
    if (place && message.summary?.block >= 0) place.block = message.summary.block;
    if (!timers.flush) timers.flush = setTimeout(flush, FLUSH_MS);
    tell(place ? "replay" : "live");
    heard();
  } else if (message.type === "farewell") ended = message;
}

function heard() {
  clearTimeout(timers.stale);
  clearTimeout(timers.quiet);
  if (!watching) return;
  later("stale", () => tell("stale"), staleAfter);
  later("quiet", lost, GIVE_UP_MS);
}

function flush() {
  timers.flush = 0;
  if (!pending || inFlight) return;
  inFlight = true;
  postMessage({ update: pending, count, turn });
  pending = null;
  count = 0;
}

function watch(on) {
  if (on === watching) return;
  watching = on;
  needsWhole = true;
  pending = null;
  count = 0;
  if (on && (socket === null || socket.readyState > WebSocket.OPEN)) connect();
  else if (socket?.readyState === WebSocket.OPEN) {
    socket.send(JSON.stringify({ type: "watch", on }));
    // What the page shows is from before: it is live again with the next Update.
    if (on) tell("connecting");
    heard();
  }
}

function lost() {
  const farewell = ended;
  const refused = attempt > 0 || state === "connecting";
  inFlight = false;
  flush();
  leave();
  if (farewell && !farewell.again) return tell("lost", farewell.text, false);
  tell("lost", farewell?.text ?? "");
  if (refused) return void ask();
  retry();
}

function retry() {
  // A page that nobody sees does not knock; it connects when it is looked at again.
  if (watching) later("retry", connect, backoffMs(attempt++, Math.random()));
}

/** Why a handshake failed: a browser does not tell, but a request does. */
async function ask() {
  const asked = place;
  try {
    const headers = token ? { authorization: `Bearer ${token}` } : {};
    const answer = await fetch("/api/journals", { headers, signal: AbortSignal.timeout(GIVE_UP_MS) });
    if (socket !== null || asked !== place) return;
    if (answer.status === 401) return tell("token", token ? "This token is refused." : "");
    if (!answer.ok) tell("lost", (await answer.json()).error ?? "");
  } catch {
    // Nobody answers: what `lost` says already.
  }
  if (socket === null && asked === place) retry();
}

function later(name, act, ms) {
  clearTimeout(timers[name]);
  timers[name] = setTimeout(act, ms);
}

function tell(next, text = "", again = true) {
  if (next === state && !text) return;
  state = next;
  postMessage({ state, text, again });
}
