/** The form beside the stage: prompt, style, shape, count, model, and the one filled button. */

/** @import { App } from "./main.js" */
/** @import { Estimate, Size } from "./types.js" */

import { advanced } from "./advanced.js";
import * as api from "./api.js";
import { fill, h, icon, svg } from "./dom.js";
import { sizeKey } from "./draft.js";
import { m } from "./messages.js";
import { linkButton } from "./parts.js";
import { picker } from "./picker.js";
import { promptField } from "./prompt.js";

const COUNTS = [1, 2, 3, 4];
const SHAPES_SHOWN = 5;
const STYLES_SHOWN = 6;
const ESTIMATE_DELAY_MS = 250;

/** @param {App} app */
export function form(app) {
  const go = generate(app);
  const body = h(
    "div",
    { class: "form-scroll" },
    promptField(app),
    styles(app),
    h("div", { class: "two" }, shapes(app), counts(app)),
    picker(app),
    advanced(app),
  );
  const element = h("form", { class: "form", "aria-label": m.form.name, novalidate: true }, body, go);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    app.generate();
  });
  element.addEventListener("keydown", (event) => {
    // Enter in a small field must not draw; Ctrl and Enter anywhere on the page does.
    if (event.key === "Enter" && event.target instanceof HTMLInputElement) event.preventDefault();
  });
  return element;
}

/** @param {App} app */
function styles({ draft, catalogue }) {
  const chips = h("div", { class: "chips" });
  let all = false;
  const more = linkButton("", () => {
    all = true;
    draw(true);
  });
  const set = h(
    "fieldset",
    { class: "styles" },
    h("legend", { class: "field-head" }, h("span", {}, m.form.style)),
    more,
    chips,
  );
  const draw = redrawn(
    [draft, catalogue],
    () => [draft.chosenModel?.styles, draft.style],
    () => {
      const offered = draft.chosenModel?.styles ?? [];
      const known = offered.some((style) => style.id === draft.style);
      const chip = (/** @type {string|null} */ id, /** @type {string} */ name) =>
        h(
          "label",
          { class: "chip pick" },
          h("input", {
            type: "radio",
            name: "style",
            value: id ?? "",
            checked: id === (known ? draft.style : null),
            onchange: () => draft.set({ style: id }),
          }),
          icon("check", 14),
          name,
        );
      set.hidden = offered.length === 0;
      const some =
        all || offered.length <= STYLES_SHOWN
          ? offered
          : offered.filter((style, index) => index < STYLES_SHOWN || style.id === draft.style);
      more.textContent = m.form.allStyles(offered.length);
      more.hidden = some.length === offered.length;
      fill(
        chips,
        chip(null, m.form.noStyle),
        some.map((style) => chip(style.id, style.name)),
      );
    },
    chips,
  );
  return set;
}

/** @param {App} app */
function shapes({ draft, catalogue }) {
  const tray = h("div", { class: "tray shapes" });
  let all = false;
  const draw = redrawn(
    [draft, catalogue],
    () => [draft.chosenModel?.sizes, draft.chosenSize],
    () => {
      const sizes = draft.chosenModel?.sizes ?? [];
      const chosen = draft.chosenSize;
      const hidden =
        sizes.length > SHAPES_SHOWN + 1 && !all && sizes.indexOf(/** @type {Size} */ (chosen)) < SHAPES_SHOWN;
      const more = h(
        "button",
        {
          type: "button",
          class: "shape-more",
          title: m.form.moreShapesName,
          "aria-label": m.form.moreShapesName,
          onclick: () => {
            all = true;
            draw(true);
            tray.querySelectorAll("input")[SHAPES_SHOWN]?.focus();
          },
        },
        h("span", { class: "shape-box" }, `+${sizes.length - SHAPES_SHOWN}`),
        m.form.moreShapes,
      );
      fill(
        tray,
        (hidden ? sizes.slice(0, SHAPES_SHOWN) : sizes).map((size) =>
          shape(size, size === chosen, () => draft.set({ size: sizeKey(size) })),
        ),
        hidden ? more : null,
      );
    },
    tray,
  );
  return h("fieldset", {}, h("legend", { class: "field-head" }, h("span", {}, m.form.shape)), tray);
}

/** @param {Size} size @param {boolean} checked @param {() => void} choose */
function shape(size, checked, choose) {
  // All shapes have the same area, as the pictures nearly have.
  const root = Math.sqrt(size.width / size.height);
  const [w, h_] = [Math.min(28, 19 * root), Math.min(28, 19 / root)];
  const drawn = svg(
    "svg",
    { width: 30, height: 28, viewBox: "-15 -14 30 28", "aria-hidden": "true" },
    svg("rect", { x: -w / 2, y: -h_ / 2, width: w, height: h_, rx: 2 }),
  );
  const name = m.form.size(size.width, size.height);
  return h(
    "label",
    { class: "shape pick", title: name },
    h("input", {
      type: "radio",
      name: "shape",
      value: sizeKey(size),
      checked,
      "aria-label": `${size.aspect_ratio}, ${name}`,
      onchange: choose,
    }),
    h("span", { class: "shape-box" }, drawn),
    size.aspect_ratio,
  );
}

/** @param {App} app */
function counts({ draft }) {
  const tray = h("div", { class: "tray counts" });
  redrawn(
    [draft],
    () => draft.count,
    () => {
      fill(
        tray,
        COUNTS.map((n) =>
          h(
            "label",
            { class: "count pick" },
            h("input", {
              type: "radio",
              name: "count",
              value: String(n),
              checked: n === draft.count,
              "aria-label": m.pictures(n),
              onchange: () => draft.set({ count: n }),
            }),
            String(n),
          ),
        ),
      );
    },
    tray,
  );
  return h("fieldset", {}, h("legend", { class: "field-head" }, h("span", {}, m.form.count)), tray);
}

/**
 * Draw now and after each change that matters, but not under the user's own focus: a radio that was
 * just chosen already shows it.
 * @param {EventTarget[]} sources
 * @param {() => unknown} key
 * @param {() => void} draw
 * @param {HTMLElement} place
 */
function redrawn(sources, key, draw, place) {
  let drawn = "";
  const again = (force = false) => {
    const now = JSON.stringify(key());
    if (!force && now === drawn) return;
    drawn = now;
    const focused = document.activeElement;
    const value = place.contains(focused) && focused instanceof HTMLInputElement ? focused.value : null;
    draw();
    if (value !== null && !force)
      /** @type {HTMLElement|null} */ (place.querySelector(`input[value="${CSS.escape(value)}"]`))?.focus();
  };
  for (const source of sources) source.addEventListener("change", () => again());
  again();
  return again;
}

/** @param {App} app */
function generate(app) {
  const { draft, jobs, catalogue } = app;
  const words = h("span", {});
  const cost = h("span", { class: "go-cost num" });
  const note = h("span", { id: "go-note" });
  const trouble = app.trouble;
  const go = h("button", { type: "submit", class: "go-button", "aria-describedby": "go-note" }, words, cost);
  const keys = h(
    "span",
    { class: "keys", "aria-hidden": "true" },
    h("kbd", {}, navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl"),
    h("kbd", {}, "Enter"),
  );

  function draw() {
    const blocked = app.blocked();
    const live = jobs.live().length;
    words.textContent = live ? m.form.add(draft.count) : m.form.generate(draft.count);
    go.setAttribute("aria-disabled", String(blocked !== null));
    note.textContent = blocked ?? waiting(app.estimate, live);
    cost.textContent = expected(app.estimate);
    cost.title = app.estimate?.cost_basis ?? "";
  }
  estimated(app, draw);
  for (const source of [draft, jobs, catalogue, app]) source.addEventListener("change", draw);
  draw();
  return h("div", { class: "go" }, trouble, go, h("div", { class: "go-note" }, note, keys));
}

/** What a press would take: time, and money or credits where there is a price. @param {Estimate|null} estimate */
function expected(estimate) {
  const time = estimate === null || estimate.seconds === null ? "" : m.form.about(estimate.seconds);
  if (!estimate?.cost) return time;
  const cost = estimate.credits === null ? m.form.costs(estimate.cost) : m.form.credits(estimate.credits);
  return time ? m.form.both(time, cost) : cost;
}

/** @param {Estimate|null} estimate @param {number} live */
function waiting(estimate, live) {
  const jobs = Math.max((estimate?.place ?? 1) - 1, live); // place 1 is next
  const seconds = estimate?.waiting_seconds ?? null;
  if (jobs === 0 && seconds !== null && seconds >= 1) return m.form.startsSoon(seconds);
  if (jobs === 0) return estimate && estimate.seconds === null ? m.form.firstTells : m.form.nothingWaits;
  return seconds === null ? m.form.startsAfter(jobs) : m.form.startsIn(seconds, jobs);
}

/** Ask for the time again whenever the form or the queue has changed. @param {App} app @param {() => void} draw */
function estimated(app, draw) {
  const { draft, jobs, catalogue } = app;
  let asked = "";
  let timer = 0;
  let aborter = new AbortController();
  function ask() {
    if (!draft.chosenModel) return;
    // The time does not depend on the words, and a prompt may not be there yet.
    const request = { ...draft.request(), prompt: "-" };
    const live = jobs.live();
    const key = JSON.stringify([request, live.map((job) => [job.id, job.state])]);
    if (key === asked) return;
    asked = key;
    clearTimeout(timer);
    if (draft.lacksPictures) {
      aborter.abort(); // nothing could be said of it
      app.estimate = null;
      return;
    }
    timer = setTimeout(async () => {
      aborter.abort();
      aborter = new AbortController();
      const { signal } = aborter;
      const estimate = await api.estimate(request, signal).catch(() => null);
      if (signal.aborted) return;
      app.estimate = estimate;
      draw();
    }, ESTIMATE_DELAY_MS);
  }
  for (const source of [draft, jobs, catalogue]) source.addEventListener("change", ask);
  ask();
}
