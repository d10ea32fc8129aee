/** The stage: idle, running or done, always for one job; below it the strip of earlier pictures. */

/** @import { App } from "./main.js" */
/** @import { Job, Picture } from "./types.js" */

import { fill, h, icon, vars } from "./dom.js";
import { took } from "./format.js";
import { isFinal } from "./jobs.js";
import { m } from "./messages.js";
import { now } from "./now.js";
import { button, ghostLight, marks, remedy } from "./parts.js";
import { results } from "./results.js";
import { spots } from "./spots.js";
import { strip } from "./strip.js";

/** @param {App} app */
export function stage(app) {
  const { jobs } = app;
  const trouble = h("div", { class: "stage-trouble" });
  const middle = h("div", { class: "contents" });
  const earlier = strip(app);
  const element = h("section", { class: "stage", "data-state": "idle" }, trouble, middle, earlier.element);
  const set = idle(app);
  /** @type {{id: string, state: string, show: () => void}|null} */
  let shown = null;
  /** @type {ReturnType<typeof spots>|null} kept from running to done */
  let places = null;
  /** @type {Job|null} the last one that ended while this page was open */
  let last = null;

  /** @param {string} state @param {Node[]} nodes */
  function put(state, ...nodes) {
    element.dataset.state = state;
    fill(middle, ...nodes);
  }
  function draw() {
    const job = jobs.live()[0] ?? (last && jobs.known.get(last.id)) ?? null;
    const state = job === null ? "idle" : isFinal(job) ? "done" : "running";
    if (shown?.id !== (job?.id ?? "") || shown.state !== state) {
      const kept = shown?.id === job?.id && (state !== "done" || places?.count === job?.images.length);
      if (!kept) places = job && spots(job, (picture) => app.view(picture, byIndex(jobs.known.get(job.id))));
      shown = { id: job?.id ?? "", state, show: begin(job, state) };
    }
    shown.show();
    earlier.without(new Set(job?.images.map((picture) => picture.id)));
  }
  /** @param {Job|null} job @param {string} state */
  function begin(job, state) {
    app.keyed = null;
    if (!job || !places) {
      put("idle", set);
      return () => undefined;
    }
    const scene = state === "done" ? results(app, job.id, places) : running(app, job.id, places);
    put(state, ...scene.elements);
    return scene.show;
  }

  jobs.addEventListener("finished", (event) => {
    const job = /** @type {CustomEvent<Job>} */ (event).detail;
    const nothing = job.images.length === 0;
    if (!nothing || last?.id === job.id) last = nothing ? null : job;
    if (job.state === "failed")
      fill(
        trouble,
        failure(app, job, () => fill(trouble)),
      );
    if (job.state === "cancelled")
      app.say(nothing ? m.stage.cancelled : m.stage.cancelledKept(job.images.length));
    if (job.state === "succeeded") app.say(m.stage.doneIn(job.images.length, took(seconds(job))));
    earlier.refresh();
  });
  jobs.addEventListener("pictures", () => earlier.refresh());
  jobs.addEventListener("change", draw);
  app.addEventListener("submitted", () => fill(trouble));
  app.addEventListener("removed", (event) => {
    const picture = /** @type {CustomEvent<Picture>} */ (event).detail;
    const job = jobs.known.get(picture.job_id);
    const images = job?.images.filter((other) => other.id !== picture.id) ?? [];
    if (job) jobs.known.set(job.id, { ...job, images });
    if (last?.id === picture.job_id && images.length === 0) last = null;
    if (shown?.id === picture.job_id) shown = null;
    earlier.refresh();
    draw();
  });
  // Between two events the time left is counted down here.
  setInterval(() => shown?.state === "running" && shown.show(), 1000);
  draw();
  return element;
}

/** @param {Job|undefined} job */
const byIndex = (job) => [...(job?.images ?? [])].sort((a, b) => a.index - b.index);

/** @param {Job} job */
export const seconds = (job) =>
  (Date.parse(job.finished_at ?? "") - Date.parse(job.started_at ?? job.created_at)) / 1000 || 0;

/**
 * @param {App} app
 * @param {string} jobId
 * @param {ReturnType<typeof spots>} places
 */
function running(app, jobId, places) {
  const side = now(app, jobId);
  const job = /** @type {Job} */ (app.jobs.known.get(jobId));
  const meta = [m.pictures(job.resolved.num_images), app.catalogue.nameOf(job.resolved.model)].join(" · ");
  const head = h(
    "header",
    { class: "stage-head" },
    h(
      "div",
      { class: "grow" },
      h("h1", { class: "clip", title: job.request.prompt }, job.request.prompt),
      h("div", { class: "meta" }, meta),
    ),
  );
  places.choose(-1, false);
  const show = () => {
    const current = /** @type {Job} */ (app.jobs.known.get(jobId));
    places.show(app.jobs.places(current), current.state === "running");
    side.show();
  };
  return {
    elements: [
      head,
      h("div", { class: "stage-body" }, h("div", { class: "view" }, places.element), side.element),
    ],
    show,
  };
}

/** @param {App} app */
function idle(app) {
  const ideas = m.stage.ideas.map((words) =>
    h("button", { type: "button", onclick: () => app.idea(words) }, icon("create", 18), words),
  );
  const set = h(
    "div",
    { class: "empty-set" },
    marks(),
    h(
      "div",
      { class: "empty-words" },
      ghostLight(),
      h("h1", {}, m.stage.title),
      h("p", {}, m.stage.line),
      h("div", { class: "ideas" }, ideas),
    ),
  );
  const draw = () => {
    const size = app.draft.chosenSize;
    if (size) vars(set, { "--w": size.width, "--h": size.height });
  };
  app.draft.addEventListener("change", draw);
  app.catalogue.addEventListener("change", draw);
  draw();
  return h("div", { class: "empty" }, set);
}

/** @param {App} app @param {Job} job @param {() => void} close */
function failure(app, job, close) {
  const error = job.error ?? { code: "", title: "", detail: "" };
  const count = job.resolved.num_images;
  const again = (/** @type {number} */ n) => () => {
    close();
    app.draw({ ...job.request, num_images: n });
  };
  const fewer = error.code === "out-of-memory" && count > 1;
  const half = Math.floor(count / 2);
  const way = fewer ? button(m.error.fewer(half), again(half)) : button(m.error.tryAgain, again(count));
  return remedy(m.errors[error.code] ?? m.error.other(error.title), error.detail, way);
}
