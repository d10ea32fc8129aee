/** Models and workers, read again now and then. */

/** @import { Model, Worker } from "./types.js" */

import * as api from "./api.js";

const SLOW_SECONDS = 30;
const SOON_SECONDS = 2; // while no model is ready, one is fetched, or a worker is still starting

/** `change` after either list did. */
export class Catalogue extends EventTarget {
  constructor() {
    super();
    /** @type {Model[]} */
    this.models = [];
    /** @type {Worker[]} */
    this.workers = [];
    this.read = false;
    this.timer = 0;
    this.said = "";
  }

  ready() {
    return this.models.filter((model) => model.state === "ready");
  }

  /** @param {string|null|undefined} id @returns {Model|undefined} */
  find(id) {
    return this.models.find((model) => model.id === id);
  }

  /** The model that is used where none is named. */
  get fallback() {
    const ready = this.ready();
    return ready.find((model) => model.is_default) ?? ready[0];
  }

  /** @param {string} id */
  nameOf(id) {
    return this.find(id)?.name ?? id;
  }

  async refresh() {
    clearTimeout(this.timer);
    // Workers are an admin's to see; without them the page says less, but works.
    const [models, workers] = await Promise.all([
      api.models().catch(() => null),
      api.workers().catch(() => null),
    ]);
    if (models) this.models = models;
    if (workers) this.workers = workers;
    this.read ||= models !== null;
    const said = JSON.stringify([this.read, this.models, this.workers]);
    if (said !== this.said) this.dispatchEvent(new Event("change"));
    this.said = said;
    this.#later();
  }

  /** Whether a model's files are on their way. */
  get fetching() {
    return this.models.some((model) => model.pull?.state === "running");
  }

  #later() {
    const waits =
      this.fetching || !this.ready().length || this.workers.some((worker) => worker.state !== "ready");
    const seconds = waits ? SOON_SECONDS : SLOW_SECONDS;
    this.timer = setTimeout(() => (document.hidden ? this.#later() : this.refresh()), seconds * 1000);
  }
}
