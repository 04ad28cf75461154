// The page's end of the worker: what state the connection is in, and what it brought.

export class Connection {
  #worker = new Worker("/assets/worker.js", { type: "module", name: "connection" });
  #waiting = null;
  #hidden = document.hidden;
  #paused = false;
  #opened = null;
  #watches = true;
  /** Counts what was asked for: an Update that was on its way when the page asked for something else is not shown. */
  #turn = 0;

  /** Calls on.state({state, text, again}), on.hello(hello), and on.update(update, count) within a frame. */
  constructor(on) {
    this.#worker.onmessage = ({ data }) => {
      // What came before is drawn before it: the last Updates of a connection, then that it ended.
      if (data.update || data.state) this.#draw(on);
      if (data.update) {
        this.#waiting = data;
        requestAnimationFrame(() => this.#draw(on));
      } else if (data.hello) on.hello(data.hello);
      else on.state(data);
    };
    document.addEventListener("visibilitychange", () => {
      this.#hidden = document.hidden;
      if (!this.#hidden && this.#opened) this.#begin();
      this.#watch();
    });
  }

  #draw(on) {
    if (this.#waiting === null) return;
    const { update, count, turn } = this.#waiting;
    this.#waiting = null;
    this.#worker.postMessage({ drawn: true });
    if (turn === this.#turn) on.update(update, count);
  }

  /** Connect; `place` is null for live, else where a replay begins.  A hidden page waits until it is seen. */
  open(place, token) {
    this.#paused = false;
    this.#opened = { open: place, token };
    if (!this.#hidden) this.#begin();
  }

  #begin() {
    this.#worker.postMessage({ ...this.#opened, turn: ++this.#turn });
    this.#opened = null;
    this.#watches = true;
  }

  /** While the page shows a moment of the past it wants nothing. */
  pause(paused) {
    this.#paused = paused;
    this.#watch();
  }

  #watch() {
    const watch = !this.#hidden && !this.#paused;
    if (watch === this.#watches) return;
    this.#watches = watch;
    this.#worker.postMessage({ watch, turn: ++this.#turn });
  }
}
