/** A finished job: its pictures, the facts of the chosen one, and what can be done with it. */

/** @import { App } from "./main.js" */
/** @import { Job } from "./types.js" */
/** @import { spots } from "./spots.js" */

import * as api from "./api.js";
import { fill, h, icon } from "./dom.js";
import { drawer, took } from "./format.js";
import { m } from "./messages.js";
import { deedKey, deedList, facts } from "./recipe.js";
import { seconds } from "./stage.js";

/**
 * @param {App} app
 * @param {string} jobId
 * @param {ReturnType<typeof spots>} places
 */
export function results(app, jobId, places) {
  const job = /** @type {Job} */ (app.jobs.known.get(jobId));
  const pictures = [...job.images].sort((a, b) => a.index - b.index);
  let chosen = pictures[0];
  let alone = pictures.length === 1;
  const about = h("div", { class: "contents" });

  const line = [
    m.stage.doneIn(pictures.length, took(seconds(job))),
    m.stage.by(app.catalogue.nameOf(job.resolved.model), drawer(chosen.recipe)),
  ];
  const title = h(
    "div",
    { class: "grow" },
    h("h1", { class: "clip", title: job.request.prompt }, job.request.prompt),
    h("div", { class: "meta" }, line.join(" · ")),
  );
  const ways = /** @type {[string, boolean][]} */ ([
    [m.stage.all(pictures.length), false],
    [m.stage.one, true],
  ]);
  const view = h(
    "fieldset",
    { class: "switch" },
    h("legend", { class: "sr" }, m.stage.view),
    ways.map(([words, one]) =>
      h(
        "label",
        { class: "pick" },
        h("input", {
          type: "radio",
          name: "view",
          checked: one === alone,
          onchange: () => {
            alone = one;
            show();
          },
        }),
        words,
      ),
    ),
  );
  const thumbs = h(
    "fieldset",
    {},
    h("legend", { class: "sr" }, m.stage.chosen),
    h(
      "div",
      { class: "four" },
      pictures.map((picture) =>
        h(
          "label",
          { class: "pick" },
          h("input", {
            type: "radio",
            name: "chosen",
            checked: picture === chosen,
            "aria-label": m.stage.pictureOf(picture.index + 1),
            onchange: () => {
              chosen = picture;
              show();
            },
          }),
          h("img", { src: api.thumbnail(picture, 256), alt: "" }),
          h("i", { class: "tick" }, icon("check", 13)),
        ),
      ),
    ),
  );
  const many = pictures.length > 1;
  const side = h("aside", { class: "side", "aria-label": m.stage.chosen }, many ? thumbs : null, about);
  let said = "";

  function show() {
    places.show(app.jobs.places(job), false);
    places.choose(chosen.index, alone);
    const now = `${chosen.id} ${app.draft.chosenModel?.id} ${app.catalogue.nameOf(chosen.model)}`;
    if (now === said) return;
    said = now;
    fill(about, facts(app, chosen, many ? "short" : "all"), deedList(app, chosen));
  }
  app.keyed = (event) => deedKey(app, chosen, event);
  const head = h("header", { class: "stage-head" }, title, many ? view : null);
  return {
    elements: [head, h("div", { class: "stage-body" }, h("div", { class: "view" }, places.element), side)],
    show,
  };
}
