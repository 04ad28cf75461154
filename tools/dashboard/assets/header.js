// The figures at the top: head and its age, feed, rates, totals.

import { flashed, write } from "./table.js";
import { ageText, clean, countText, momentText, rateText, words } from "./texts.js";

const byId = (id) => document.getElementById(id);
const AGE_MS = 200;

export function startHeader(store) {
  let came = 0;

  /** What changes all the time does not flash. */
  function figure(id, value, tone = "", title = "", steady = true) {
    const node = byId(id);
    if (write(node, value) && steady) flashed(node);
    node.dataset.tone = tone;
    node.title = title;
  }

  /** The feed whose head is the newest. */
  function feed() {
    return (store.summary?.feeds ?? []).toSorted((one, other) => other.head - one.head)[0];
  }

  function age() {
    const newest = feed();
    const live = ["live", "stale", "lost"].includes(document.documentElement.dataset.connection);
    if (!newest || newest.head < 0 || !live) return void write(byId("age"), "-");
    write(byId("age"), ageText(newest.head_age_ms + performance.now() - came));
  }

  setInterval(() => document.hidden || age(), AGE_MS);

  return {
    topics: ["summary"],
    draw() {
      came = performance.now();
      const { summary } = store;
      if (!summary) return;
      const feeds = summary.feeds;
      const ill = feeds.filter((row) => !row.healthy);
      figure(
        "rings",
        feeds.map((row) => clean(row.ring)).join(", ") || "none",
        "",
        feeds.map((row) => clean(row.ring)).join(", "),
      );
      figure("head", countText(summary.block), "", `newest block, ${momentText(summary.time_ms)}`);
      const state =
        feeds.length === 0 ? "none" : ill.length ? words(ill[0].reason || ill[0].state) : words(feed().state);
      figure(
        "feed",
        state,
        ill.length ? "bad" : feeds.length ? "good" : "",
        feeds.map((row) => `${row.ring}: ${words(row.state)}, ${words(row.reason)}`).join("; "),
      );
      figure("events-per-s", rateText(summary.events_per_s), "", `${rateText(summary.frames_per_s)} frames/s`, false);
      figure("swaps", countText(summary.swaps), "", "", false);
      figure("reorgs", countText(summary.reorgs), summary.reorgs ? "attention" : "");
      figure("gaps", countText(summary.gaps), summary.gaps ? "bad" : "");
      figure(
        "lost",
        countText(summary.lost_frames),
        summary.lost_frames ? "bad" : "",
        `frames that obs did not read in time; ${countText(summary.refused_frames)} more are no messages`,
      );
      document.title = summary.block < 0 ? "AlphaPulse" : `${countText(summary.block)} · AlphaPulse`;
      age();
    },
    age,
  };
}
