// Keys that work anywhere on the page, and the dialog that lists them.

const byId = (id) => document.getElementById(id);
const TYPING = new Set(["INPUT", "SELECT", "TEXTAREA"]);

export function startKeys() {
  const help = byId("help");
  byId("help-open").addEventListener("click", () => help.showModal());
  const acts = {
    "/": () => byId("filter-pair").focus(),
    t: () => byId("theme").click(),
    l: () => byId("live").click(),
    "?": () => help.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && event.target.id?.startsWith("filter-")) event.target.blur();
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (TYPING.has(event.target.tagName) || !Object.hasOwn(acts, event.key)) return;
    event.preventDefault();
    acts[event.key]();
  });
}
