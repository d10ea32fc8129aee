/** The side column while something is drawn: the time left in large type, then what is next. */

/** @import { App } from "./main.js" */
/** @import { Job } from "./types.js" */

import { fill, h, icon, iconButton, vars } from "./dom.js";
import { m } from "./messages.js";
import { status } from "./parts.js";

/** @param {App} app @param {string} jobId */
export function now(app, jobId) {
  const { jobs } = app;
  const lampLine = h("div", { role: "status" });
  const big = h("div", { class: "big" });
  const bar = h(
    "div",
    { class: "progress", role: "progressbar", "aria-label": m.stage.stepsDone, "aria-valuemin": 0 },
    h("i"),
  );
  const steps = h("div", { class: "dim small num" });
  const cancel = h("button", { type: "button", class: "button wide" }, icon("close", 16), m.cancel);
  cancel.addEventListener("click", async () => {
    cancel.disabled = true;
    const job = jobs.known.get(jobId);
    if (job) await app.attempt(() => jobs.cancel(job));
    cancel.disabled = false;
  });
  const next = h("section", { class: "next" }, h("h2", {}, m.stage.next), h("ul", { class: "next-list" }));
  const element = h(
    "div",
    { class: "side" },
    h("section", { class: "now", "aria-label": m.stage.drawing }, lampLine, big, bar, steps, cancel),
    next,
    h("p", { class: "note" }, m.stage.mayClose),
  );
  let lampSaid = "";
  let nextSaid = "";

  function show() {
    const job = jobs.known.get(jobId);
    if (!job) return;
    const { done, total } = jobs.steps(job);
    lampSaid = replaced(lampLine, lampSaid, lampWords(job), () => [
      status(job.state === "running" ? "live" : "waiting", lampWords(job)),
    ]);
    big.textContent = timeWords(job, jobs.secondsLeft(job), done === total);
    bar.hidden = steps.hidden = job.state !== "running";
    steps.textContent = m.stage.steps(done, total);
    bar.setAttribute("aria-valuemax", String(total));
    bar.setAttribute("aria-valuenow", String(done));
    vars(bar, { "--at": `${(done / total) * 100}%` });
    const others = jobs.live().filter((other) => other.id !== jobId);
    next.hidden = others.length === 0;
    const said = JSON.stringify(others.map((other) => [other.id, other.eta_seconds, other.place]));
    nextSaid = replaced(/** @type {HTMLElement} */ (next.lastChild), nextSaid, said, () =>
      others.map((other) => row(app, other)),
    );
  }
  return { element, show };
}

/** Replace what a place says only when it says something else, so screen readers are told once. @param {HTMLElement} at @param {string} old @param {string} fresh @param {() => Node[]} draw */
function replaced(at, old, fresh, draw) {
  if (old !== fresh) fill(at, draw());
  return fresh;
}

/** @param {Job} job */
function lampWords(job) {
  if (job.state === "running") return m.stage.drawing;
  return job.place ? m.stage.waiting(job.place) : m.stage.waitingShort;
}

/** @param {Job} job @param {number|null} seconds @param {boolean} allSteps */
function timeWords(job, seconds, allSteps) {
  if (job.state === "queued") return seconds === null ? m.stage.soon : m.stage.starts(seconds);
  if (allSteps) return m.stage.finishing;
  return seconds === null ? m.stage.unknown : m.stage.left(seconds);
}

/** @param {App} app @param {Job} job */
function row(app, job) {
  const { prompt } = job.request;
  const line = m.stage.nextLine(job.resolved.num_images, job.state === "queued" ? job.eta_seconds : null);
  return h(
    "li",
    {},
    h("div", { class: "grow" }, h("div", { class: "clip" }, prompt), h("div", { class: "dim small" }, line)),
    iconButton("close", m.stage.cancelJob(prompt), {
      onclick: () => app.attempt(() => app.jobs.cancel(job)),
    }),
  );
}
