/**
 * The one stream of server-sent events: what happens to any of the caller's jobs.
 *
 * Read with fetch instead of EventSource, because that gives up for good after an error answer,
 * hides why, and cannot continue from the last id after it was closed by hand.
 */

import { problem } from "./api.js";

const WAITS_SECONDS = [1, 2, 4, 8];

/**
 * Dispatches `state`, `progress` and `preview` with the parsed data as `detail`; `open` when a
 * stream begins, `away` when it broke (`retryAt` says when it is tried again).
 */
export class Feed extends EventTarget {
  /** @param {string} path */
  constructor(path) {
    super();
    this.path = path;
    this.lastId = "";
    this.failures = 0;
    /** @type {number|null} milliseconds since 1970 */
    this.retryAt = null;
    /** @type {AbortController|null} */
    this.aborter = null;
    this.timer = 0;
  }

  /** Open the stream now, whatever state it is in. */
  start() {
    this.stop();
    const aborter = new AbortController();
    this.aborter = aborter;
    this.#read(aborter.signal).then(
      () => this.#again(aborter),
      () => this.#again(aborter),
    );
  }

  /** Close it; `start` continues after the last event seen. */
  stop() {
    clearTimeout(this.timer);
    this.aborter?.abort();
    this.aborter = null;
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    /** @type {Record<string, string>} */
    const headers = { Accept: "text/event-stream" };
    if (this.lastId) headers["Last-Event-ID"] = this.lastId;
    const response = await fetch(this.path, { headers, signal, cache: "no-store" });
    if (!response.ok || !response.body) throw await problem(response);
    this.failures = 0;
    this.retryAt = null;
    this.dispatchEvent(new Event("open"));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
      rest = blocks.pop() ?? "";
      for (const block of blocks) this.#event(block);
    }
  }

  /** @param {string} block the lines of one event */
  #event(block) {
    let type = "message";
    let data = "";
    for (const line of block.split("\n")) {
      const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line) ?? ["", "", ""];
      if (name === "event") type = value;
      else if (name === "data") data += value;
      else if (name === "id") this.lastId = value;
    }
    if (data) this.dispatchEvent(new CustomEvent(type, { detail: JSON.parse(data) }));
  }

  /** @param {AbortController} aborter of the stream that ended */
  #again(aborter) {
    if (this.aborter !== aborter) return;
    const seconds = WAITS_SECONDS[Math.min(this.failures, WAITS_SECONDS.length - 1)];
    this.failures += 1;
    this.retryAt = Date.now() + seconds * 1000;
    this.timer = setTimeout(() => this.start(), seconds * 1000);
    this.dispatchEvent(new Event("away"));
  }
}
