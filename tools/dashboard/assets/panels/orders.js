// What executors decided about orders, filled on paper and earned, newest first.

import { decimalText } from "../amounts.js";
import { amountText, makeAmount, routeText, routeTitle, showAmount, text } from "../cells.js";
import { Table, write } from "../table.js";
import { clean, clockText, countText, durationText, words } from "../texts.js";

const AWAITED = "No order: `alphapulse execute` says in a ring of its own what became of signals and orders.";
const PAST = "A journal of market data does not have them.";

export function startOrders(store, activate) {
  const { symbols } = store;
  const amount = (field, label, of) => ({
    field,
    label,
    make: makeAmount,
    show(cell, order, flash) {
      const shown = of(order);
      cell.firstElementChild.hidden = shown === null;
      if (shown !== null) showAmount(cell.firstElementChild, shown, symbols, flash);
    },
  });
  const last = (order) => order.legs.at(-1) ?? null;
  const table = new Table({
    mount: document.querySelector('[data-panel="orders"] .mount'),
    caption: "Orders on paper, newest first. Enter shows the way of what asked for one.",
    activate: (order) => activate({ ring: order.order_ring, sequence: order.order_sequence }),
    mark(row, order) {
      row.dataset.ring = order.ring;
      row.dataset.sequence = order.order_sequence;
      row.dataset.state = order.state;
      row.toggleAttribute("data-removed", order.state === "undone");
    },
    columns: [
      {
        field: "time",
        label: "time, UTC",
        show: (cell, order) => text(cell, clockText(order.time_ms), false, orderTitle(order)),
      },
      {
        field: "route",
        label: "route",
        show: (cell, order) => text(cell, routeText(order.legs), false, routeTitle(order.legs, symbols)),
      },
      amount("amount_in", "size", (order) => order.legs[0]?.amount_in ?? null),
      amount("expected", "expected", (order) => last(order)?.expected_out ?? null),
      amount("got", "got", (order) => last(order)?.amount_out ?? null),
      amount("gas", "gas", (order) => (order.gas_priced ? order.gas_cost : null)),
      amount("net", "net, if included", (order) => order.net),
      {
        field: "state",
        label: "state",
        show: (cell, order, flash) => text(cell, stateText(order), flash, limitText(order)),
      },
    ],
  });
  const note = document.getElementById("orders-note");
  return {
    topics: ["orders", "profits", "breakers", "names"],
    draw(changed) {
      if (changed.has("names")) table.refresh();
      table.show(store.orders.toReversed(), store.past ? PAST : AWAITED);
      const breakers = store.breakers ?? [];
      const closed = breakers.every(({ state }) => state === "closed");
      write(note, [...breakers.map(breakerText), ...(store.profits ?? []).map(profitText)].join("; "));
      note.title = note.textContent;
      note.dataset.tone = closed ? "" : "bad";
    },
  };

  function profitText(profit) {
    const counts = `${countText(profit.filled)} filled, ${countText(profit.failed)} failed`;
    const expected = amountText(profit.expected_net, symbols);
    return `${counts}: net ${amountText(profit.net, symbols)} if all are included, ${expected} as stated`;
  }
}

function breakerText(breaker) {
  const until = breaker.state === "open" ? ` until block ${countText(breaker.until_block)} has ended` : "";
  const why = breaker.reason ? ` (${words(breaker.reason)})` : "";
  return `circuit breaker ${words(breaker.state)}${until}${why}`;
}

function orderTitle(order) {
  const asked = `sequence ${countText(order.order_sequence)} of ${clean(order.order_ring)}`;
  const latency = order.latency_ns === null ? "" : `, ${durationText(order.latency_ns)} after its event arrived`;
  return `block ${countText(order.block)}, order ${order.order_id}, ${asked}${latency}`;
}

function stateText(order) {
  return words(order.reason ? `${order.state}: ${order.reason}` : order.state);
}

/** Of a refusal what passed which limit, of an attempt how likely it is included. */
function limitText(order) {
  if (order.limit !== "") return `found ${order.found}, limit ${order.limit}`;
  return order.net === null ? "" : `included with ${decimalText(String(order.inclusion_ppm), 4)} %`;
}
