// Processes, rings, relays, journals, endpoints and conditions as small boxes; the facts of each in a popover.

import { element, write } from "../table.js";
import { clean, words } from "../texts.js";

const KINDS = ["process", "endpoint", "ring", "relay", "journal", "condition"];
const AWAITED = "Waiting for the first look at processes: obs sends one every half second.";
const NOTHING = "No process, ring or relay is there: nothing runs that obs could look at.";
const PAST = "A journal does not say which processes ran.";

export function startProcesses(store) {
  const mount = document.querySelector('[data-panel="processes"] .mount');
  const note = document.getElementById("processes-note");
  const empty = element("p", "empty", AWAITED);
  mount.append(empty);
  const groups = new Map();
  const boxes = new Map();
  let made = 0;

  function group(kind) {
    if (groups.has(kind)) return groups.get(kind);
    const box = element("div", "group");
    const name = element("h3", "", words(kind));
    const row = element("div", "row");
    box.append(name, row);
    groups.set(kind, row);
    const order = (other) => (KINDS.indexOf(other) + KINDS.length + 1) % (KINDS.length + 1);
    const after = [...groups.keys()]
      .filter((other) => order(other) > order(kind))
      .sort((a, b) => order(a) - order(b))[0];
    mount.insertBefore(box, after ? groups.get(after).parentElement : null);
    return row;
  }

  function make(row) {
    const button = element("button", "box");
    const facts = element("div", "facts");
    button.type = "button";
    facts.popover = "auto";
    facts.id = `facts-${made++}`;
    button.setAttribute("popovertarget", facts.id);
    button.append(element("span", "mark"), element("span", "name"), element("span", "hush"));
    facts.append(element("h4"), element("p"), element("dl"));
    group(row.kind).append(button, facts);
    return { button, facts, row: null };
  }

  function show(box, row) {
    const { button, facts } = box;
    button.dataset.box = row.kind;
    button.dataset.name = row.name;
    button.dataset.ok = row.ok;
    const [mark, name, state] = button.children;
    write(mark, row.ok ? "✓" : "!");
    write(name, clean(row.name));
    write(state, row.ok ? "well" : "not well");
    button.title = clean(row.text);
    const [title, said, list] = facts.children;
    write(title, `${clean(row.name)}${row.role ? `, ${words(row.role)}` : ""}`);
    write(said, clean(row.text));
    said.dataset.tone = row.ok ? "" : "bad";
    while (list.childElementCount > 2 * row.facts.length) list.lastElementChild.remove();
    while (list.childElementCount < 2 * row.facts.length) list.append(element("dt"), element("dd"));
    row.facts.forEach(([what, value], i) => {
      write(list.children[2 * i], clean(what));
      write(list.children[2 * i + 1], clean(value));
    });
  }

  return {
    topics: ["health"],
    draw() {
      const rows = store.health?.boxes ?? [];
      const seen = new Set();
      for (const row of rows) {
        const key = `${row.kind} ${row.role} ${row.name}`;
        seen.add(key);
        if (!boxes.has(key)) boxes.set(key, make(row));
        show(boxes.get(key), row);
      }
      for (const [key, { button, facts }] of boxes) {
        if (seen.has(key)) continue;
        button.remove();
        facts.remove();
        boxes.delete(key);
      }
      for (const [kind, row] of groups) {
        if (row.childElementCount > 0) continue;
        row.parentElement.remove();
        groups.delete(kind);
      }
      empty.hidden = rows.length > 0;
      write(empty, store.past ? PAST : store.health ? NOTHING : AWAITED);
      const ill = rows.filter((row) => !row.ok).length;
      write(note, rows.length ? (ill ? `${ill} of ${rows.length} not well` : `all ${rows.length} well`) : "");
      note.dataset.tone = ill ? "bad" : "";
    },
  };
}
