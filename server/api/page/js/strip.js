/** The strip of earlier pictures under the stage. */

/** @import { App } from "./main.js" */
/** @import { Picture } from "./types.js" */

import * as api from "./api.js";
import { fill, h, vars } from "./dom.js";
import { m } from "./messages.js";

const STRIP_LENGTH = 24;

/** @param {App} app */
export function strip(app) {
  /** @type {Picture[]} */
  let pictures = [];
  /** @type {Set<string>} */
  let onStage = new Set();
  let said = "";
  const row = h("div", { class: "strip" });
  const element = h(
    "section",
    { class: "earlier", "aria-label": m.stage.earlier, hidden: true },
    h(
      "div",
      { class: "earlier-head" },
      h("h2", {}, m.stage.earlier),
      h("a", { href: "#gallery" }, m.stage.openGallery),
    ),
    row,
  );

  function draw() {
    const shown = pictures.filter((picture) => !onStage.has(picture.id));
    const now = shown.map((picture) => picture.id).join();
    element.hidden = shown.length === 0;
    if (now === said) return;
    said = now;
    fill(
      row,
      shown.map((picture) => tile(picture, () => app.view(picture, shown))),
    );
  }
  async function refresh() {
    const page = await api.images({ limit: STRIP_LENGTH }).catch(() => null);
    if (!page) return;
    pictures = page.items;
    draw();
  }
  /** @param {Set<string>} ids */
  function without(ids) {
    onStage = ids;
    draw();
  }
  refresh();
  return { element, refresh, without };
}

/** A small picture that opens. @param {Picture} picture @param {() => void} open */
export function tile(picture, open) {
  const image = h("img", { src: api.thumbnail(picture, 256), alt: "", loading: "lazy", decoding: "async" });
  const button = h(
    "button",
    { type: "button", "aria-label": m.stage.open(picture.prompt), title: picture.prompt, onclick: open },
    image,
  );
  return vars(button, { "--r": picture.width / picture.height });
}
