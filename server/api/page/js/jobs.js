/** Jobs as the page knows them: what the lists say, kept current by the feed. */

/** @import { Job, Picture, PreviewEvent, ProgressEvent, StateEvent } from "./types.js" */
/** @import { Feed } from "./feed.js" */

import * as api from "./api.js";

/**
 * One place on stage.
 * @typedef {{index: number, step: number, total: number, preview: string|null,
 *   picture: Picture|null}} Place
 */

/** @param {Job} job */
export const isFinal = (job) => !["queued", "running"].includes(job.state);

/** `change` after anything did; `finished` with a job as detail; `pictures` when one more is done. */
export class Jobs extends EventTarget {
  /** @param {Feed} feed */
  constructor(feed) {
    super();
    /** @type {Map<string, Job>} */
    this.known = new Map();
    /** @type {Map<string, Place[]>} */
    this.#places = new Map();
    /** @type {Map<string, {seconds: number, at: number}>} */
    this.#left = new Map();
    feed.addEventListener("open", () => this.refresh());
    feed.addEventListener("state", (event) => this.#state(detail(event)));
    feed.addEventListener("progress", (event) => this.#progress(detail(event)));
    feed.addEventListener("preview", (event) => this.#preview(detail(event)));
  }

  #places;
  #left;

  /** Jobs that are not done, oldest first: the order in which they are drawn. */
  live() {
    const open = [...this.known.values()].filter((job) => !isFinal(job));
    return open.sort((a, b) => rank(a) - rank(b) || (a.id < b.id ? -1 : 1));
  }

  /** Take up what runs and waits; a job that ended unseen is asked for by name. */
  async refresh() {
    const before = this.live().map((job) => job.id);
    const open = await api.liveJobs().catch(() => null);
    if (open === null) return;
    const still = new Set(open.map((job) => job.id));
    for (const job of open) this.#take(job);
    const gone = before.filter((id) => !still.has(id));
    await Promise.all(gone.map((id) => this.#fetch(id)));
    this.#changed();
  }

  /** @param {Job} job just submitted */
  add(job) {
    this.#take(job);
    this.#changed();
  }

  /** @param {Job} job */
  async cancel(job) {
    this.#take(await api.cancel(job.id));
    this.#changed();
  }

  /** @param {Job} job @returns {Place[]} */
  places(job) {
    let places = this.#places.get(job.id);
    if (!places) {
      // Not the steps that were asked for: from a source picture only a part of them is drawn.
      const total = Math.max(1, Math.round(job.total_steps / job.resolved.num_images));
      places = Array.from({ length: job.resolved.num_images }, (_, index) => ({
        index,
        step: 0,
        total,
        preview: null,
        picture: null,
      }));
      this.#places.set(job.id, places);
    }
    for (const picture of job.images) places[picture.index].picture = picture;
    return places;
  }

  /**
   * Steps of all its pictures together.
   * @param {Job} job
   */
  steps(job) {
    const places = this.places(job);
    const seen = places.reduce((sum, place) => sum + (place.picture ? place.total : place.step), 0);
    const total = places.reduce((sum, place) => sum + place.total, 0);
    return { done: Math.min(seen, total), total };
  }

  /**
   * Seconds left as last told, counted down since; null when nobody knows.
   * @param {Job} job
   */
  secondsLeft(job) {
    const told = this.#left.get(job.id);
    return told ? Math.max(0, told.seconds - (Date.now() - told.at) / 1000) : null;
  }

  /** @param {Job} job */
  #take(job) {
    const old = this.known.get(job.id);
    // A list that was read before the last event must not bring a finished job back to life.
    if (old && isFinal(old) && !isFinal(job)) return;
    this.known.set(job.id, job);
    this.#told(job.id, job.eta_seconds);
    if (isFinal(job) && (!old || !isFinal(old))) {
      this.dispatchEvent(new CustomEvent("finished", { detail: job }));
    }
  }

  /** @param {string} id @param {number|null} seconds */
  #told(id, seconds) {
    if (seconds === null) this.#left.delete(id);
    else this.#left.set(id, { seconds, at: Date.now() });
  }

  /** @param {string} id */
  async #fetch(id) {
    const job = await api.job(id).catch(() => null);
    if (job) this.#take(job);
  }

  /** @param {StateEvent} event */
  async #state(event) {
    const job = this.known.get(event.job_id);
    if (event.type === "picture" && job && event.image) {
      const others = job.images.filter((picture) => picture.index !== event.image?.index);
      this.known.set(job.id, { ...job, images: [...others, event.image] });
      this.dispatchEvent(new Event("pictures"));
    } else if (!job || !isFinal(job)) {
      if (event.type === "requeued") this.#places.delete(event.job_id);
      await this.#fetch(event.job_id);
    }
    this.#changed();
  }

  /** @param {ProgressEvent} event */
  #progress(event) {
    const job = this.known.get(event.job_id);
    const place = job && this.places(job)[event.index];
    if (!job || !place) return;
    Object.assign(place, { step: event.step, total: event.total_steps });
    this.#told(job.id, event.eta_seconds);
    this.#changed();
  }

  /** @param {PreviewEvent} event */
  #preview(event) {
    const job = this.known.get(event.job_id);
    const place = job && this.places(job)[event.index];
    if (!place) return;
    place.preview = `data:${event.media_type};base64,${event.data}`;
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}

/** @param {Job} job */
const rank = (job) => (job.state === "running" ? -1 : (job.place ?? 0));

/** @param {Event} event */
const detail = (event) => /** @type {CustomEvent} */ (event).detail;
