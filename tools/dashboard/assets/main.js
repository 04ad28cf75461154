// Puts the parts together: what the connection brings goes into the store, and each panel draws what changed.

import { currentToken, setToken } from "./api.js";
import { Banner, feedTrouble } from "./banner.js";
import { Connection } from "./connection.js";
import { startHeader } from "./header.js";
import { startKeys } from "./keys.js";
import { startAnomalies } from "./panels/anomalies.js";
import { startBlocks } from "./panels/blocks.js";
import { startHappenings } from "./panels/happenings.js";
import { startLatency } from "./panels/latency.js";
import { startMarket } from "./panels/market.js";
import { startOpportunities } from "./panels/opportunities.js";
import { startOrders } from "./panels/orders.js";
import { Picture } from "./panels/picture.js";
import { startPools } from "./panels/pools.js";
import { startProcesses } from "./panels/processes.js";
import { startThroughput } from "./panels/throughput.js";
import { Timeline } from "./panels/timeline.js";
import { Store } from "./store.js";
import { write } from "./table.js";
import { clean } from "./texts.js";
import { startTheme } from "./theme.js";
import { Travel } from "./travel.js";

const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const LABELS = {
  connecting: "◌ connecting",
  live: "● live",
  stale: "▲ stale",
  lost: "× lost",
  past: "◆ past",
  replay: "▶ replay",
  "old-page": "▲ old page",
  token: "◌ token",
};

/** For tests and the benchmark. */
window.alphapulse = { version: "", build: "", counts: { updates: 0, swaps: 0, frames_drawn: 0 } };
const { counts } = window.alphapulse;

/** Of a frame, for the parts: what is left is for style, layout and paint. */
const FRAME_MS = 3;
/** Parts that wait to be drawn, and which topics changed since they were. */
const due = new Map();

const store = new Store();
const banner = new Banner();
const header = startHeader(store);
const travel = new Travel({ moment: show, mode: go });
const timeline = new Timeline((ring) => travel.journalOf(ring));
const activate = (row) => timeline.show(row);
const parts = [
  header,
  startMarket(store, activate),
  startOpportunities(store, activate),
  startOrders(store, activate),
  startBlocks(store),
  startPools(store, new Picture(store.symbols, () => travel.place())),
  startHappenings(store),
  startThroughput(store),
  startLatency(store),
  startProcesses(store),
  startAnomalies(store),
];
startTheme(() => parts.forEach((part) => part.theme?.()));
startKeys();

let state = { state: "connecting", text: "", again: true };
let socketPlace = null;
let oldPage = false;

const connection = new Connection({
  state(next) {
    if (travel.mode === "replay" && next.state === "lost" && !next.again) return travel.rest(next.text);
    state = next;
    if (state.state === "token") askToken(state.text);
    say();
  },
  hello(hello) {
    const own = document.querySelector('meta[name="build"]').content || window.alphapulse.build || hello.build;
    oldPage = own !== hello.build;
    Object.assign(window.alphapulse, { version: hello.version, build: own });
    write(byId("version"), clean(hello.version));
    travel.know(hello.journals);
    say();
  },
  update(update, count) {
    counts.updates += count;
    counts.swaps += update.swaps?.length ?? 0;
    show(update);
    travel.follow(update);
  },
});

/** Take an Update and have drawn what it changed. */
function show(update) {
  const changed = store.apply(update);
  if (changed.has("summary")) say();
  const waiting = due.size > 0;
  for (const part of parts) {
    if (part.topics.some((topic) => changed.has(topic))) due.set(part, new Set([...(due.get(part) ?? []), ...changed]));
  }
  if (!waiting && due.size > 0) draw();
}

/** Draw as many parts as a frame has time for, and the rest in the next ones. */
function draw() {
  const begun = performance.now();
  try {
    for (const [part, changed] of due) {
      due.delete(part);
      part.draw(changed);
      if (performance.now() - begun > FRAME_MS) break;
    }
  } finally {
    // A part that fails does not keep the others from being drawn.
    counts.frames_drawn += 1;
    if (due.size > 0) requestAnimationFrame(draw);
  }
}

/** Another mode of travel: `place` is where a replay begins. */
function go(mode, place) {
  store.past = mode !== "live";
  if (mode === "past") connection.pause(true);
  else if (mode === "live" && socketPlace === null) connection.pause(false);
  else {
    socketPlace = place;
    connection.open(place, currentToken());
  }
  say();
}

function say() {
  const past = travel.mode === "past" && state.state !== "token";
  const shown = oldPage ? "old-page" : past ? "past" : state.state;
  root.dataset.connection = shown;
  root.dataset.time = travel.mode;
  write(byId("connection"), LABELS[shown]);
  banner.show(trouble(shown));
  header.age();
}

function trouble(shown) {
  const text = clean(state.text);
  if (shown === "old-page") {
    return {
      text: "This page is of another build than the server that it talks to now: what it shows may be wrong.",
      tone: "attention",
      label: "Load it again",
      act: () => location.reload(),
    };
  }
  if (shown === "lost") {
    const why = text && `: ${text}`;
    return state.again
      ? { text: `The connection is lost${why}. What is shown is old; the page connects by itself.`, tone: "bad" }
      : {
          text: `The server ended the connection${why}. What is shown is old.`,
          tone: "bad",
          label: "Connect again",
          act: () => connection.open(socketPlace, currentToken()),
        };
  }
  if (shown === "stale") return { text: "Nothing has come for two seconds: what is shown is old.", tone: "attention" };
  return travel.mode === "live" ? feedTrouble(store.summary) : null;
}

function askToken(text) {
  const dialog = byId("token");
  if (text) write(byId("token-text"), text);
  if (!dialog.open) dialog.showModal();
}

byId("token-form").addEventListener("submit", () => {
  setToken(byId("token-value").value.trim());
  byId("token-value").value = "";
  connection.open(socketPlace, currentToken());
});
// The form is all there is until it was answered.
byId("token").addEventListener("cancel", (event) => event.preventDefault());

parts.forEach((part) => part.draw(new Set()));
say();
connection.open(null, currentToken());
