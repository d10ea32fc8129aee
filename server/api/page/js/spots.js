/** The places of one job on stage: tape and preview while it is drawn, the picture afterwards. */

/** @import { Job, Picture } from "./types.js" */
/** @import { Place } from "./jobs.js" */

import { fill, h, icon, vars } from "./dom.js";
import { isFinal } from "./jobs.js";
import { m } from "./messages.js";
import { marks } from "./parts.js";

/**
 * The same elements stay from the first preview to the finished picture, so nothing jumps.
 * @param {Job} job
 * @param {(picture: Picture) => void} open
 */
export function spots(job, open) {
  const { width, height, num_images: asked } = job.resolved;
  // A job that is done shows what it has: one may have been deleted, or never drawn.
  const indexes = isFinal(job) ? job.images.map((picture) => picture.index).sort() : [...Array(asked).keys()];
  const count = indexes.length;
  const columns = columnsFor(count, width / height);
  const all = indexes.map((index) => spot(index, open));
  const set = vars(
    h(
      "div",
      { class: "set" },
      all.map((one) => one.element),
    ),
    {
      "--w": width,
      "--h": height,
      "--cols": columns,
      "--rows": Math.ceil(count / columns),
    },
  );
  return {
    element: set,
    count,
    /** @param {Place[]} places @param {boolean} running */
    show(places, running) {
      for (const one of all) one.show(places[one.index], running);
    },
    /** Show one of them alone, or ring the chosen one among all. @param {number} chosen @param {boolean} alone */
    choose(chosen, alone) {
      for (const one of all) {
        one.element.hidden = alone && one.index !== chosen;
        one.element.toggleAttribute("data-chosen", !alone && count > 1 && one.index === chosen);
      }
      vars(set, { "--cols": alone ? 1 : columns, "--rows": alone ? 1 : Math.ceil(count / columns) });
    },
  };
}

/** How many stand side by side so that each is as large as can be; the view is about square. @param {number} count @param {number} ratio */
function columnsFor(count, ratio) {
  const height = (/** @type {number} */ columns) =>
    Math.min(1 / (columns * ratio), 1 / Math.ceil(count / columns));
  const columns = Array.from({ length: count }, (_, index) => count - index);
  return columns.reduce((best, one) => (height(one) > height(best) ? one : best), columns[0] ?? 1);
}

/** @param {number} index @param {(picture: Picture) => void} open */
function spot(index, open) {
  /** @type {Picture|null} */
  let picture = null;
  const image = h("img", { alt: "", hidden: true });
  const ground = h("span", { class: "void" });
  const tick = h("i", { class: "tick" }, icon("check", 13));
  const act = h(
    "button",
    { type: "button", class: "spot-open", disabled: true, onclick: () => picture && open(picture) },
    ground,
    image,
  );
  const bar = h("span", { class: "bar" }, h("i"));
  const told = h("span", {});
  const caption = h("figcaption", {}, bar, told);
  const tape = marks();
  const element = h("figure", { class: "spot" }, act, caption, tape, tick);

  /** @param {Place} place @param {boolean} running */
  function show(place, running) {
    const drawing = running && !place.picture;
    tape.hidden = place.picture !== null;
    tape.classList.toggle("marks-gold", drawing && place.step > 0); // gold is only what runs now
    caption.hidden = !drawing || place.step === 0;
    told.textContent = m.stage.of(place.step, place.total);
    vars(bar, { "--at": `${(place.step / place.total) * 100}%` });
    if (place.picture) finish(place.picture);
    else preview(place);
  }
  /** @param {Place} place */
  function preview(place) {
    const label = place.preview
      ? m.stage.preview(index + 1, place.step, place.total)
      : m.stage.place(index + 1);
    act.setAttribute("aria-label", label);
    if (!place.preview || image.src === place.preview) return;
    image.src = place.preview;
    image.hidden = false;
  }
  /** @param {Picture} done */
  async function finish(done) {
    if (picture?.id === done.id) return;
    picture = done;
    act.disabled = false;
    act.setAttribute("aria-label", m.stage.open(done.prompt));
    // Decoded first, so that the preview stays until the picture can take its place.
    const next = h("img", { src: done.url, alt: "" });
    await next.decode().catch(() => undefined);
    next.classList.add("lights-up");
    fill(act, next);
  }
  return { element, index, show };
}
