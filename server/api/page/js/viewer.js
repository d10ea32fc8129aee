/** One picture, large, with its recipe; arrows go on to its neighbours. */

/** @import { App } from "./main.js" */
/** @import { Picture } from "./types.js" */

import { fill, h, icon, iconButton, vars } from "./dom.js";
import { m } from "./messages.js";
import { deedKey, deeds, facts, fileName } from "./recipe.js";

/** @param {App} app */
export function viewer(app) {
  /** @type {Picture[]} */
  let list = [];
  let at = 0;
  const place = h("span", { class: "dim small num grow" });
  const image = h("img", { alt: "" });
  const body = h("div", { class: "viewer-scroll" });
  const back = iconButton("left", m.picture.previous, { onclick: () => turn(-1) });
  const on = iconButton("right", m.picture.next, { onclick: () => turn(1) });
  const close = iconButton("close", m.close, { onclick: () => dialog.close() });
  const dialog = h(
    "dialog",
    { class: "viewer", "aria-label": m.picture.name },
    h("div", { class: "viewer-pic" }, image),
    h("div", { class: "viewer-body" }, h("div", { class: "viewer-top" }, back, on, place, close), body),
  );
  dialog.addEventListener("keydown", (event) => {
    if (event.target instanceof HTMLInputElement) return;
    if (event.key === "ArrowLeft") turn(-1);
    else if (event.key === "ArrowRight") turn(1);
    else if (!deedKey(app, list[at], event)) return;
    event.preventDefault();
    event.stopPropagation();
  });
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  app.addEventListener("removed", (event) => {
    const gone = /** @type {CustomEvent<Picture>} */ (event).detail.id;
    list = list.filter((picture) => picture.id !== gone);
    if (!dialog.open) return;
    if (list.length === 0) dialog.close();
    else show(Math.min(at, list.length - 1));
  });
  app.addEventListener("go", () => dialog.close());

  /** @param {number} step */
  function turn(step) {
    const next = at + step;
    if (next >= 0 && next < list.length) show(next);
  }
  /** @param {number} index */
  function show(index) {
    at = index;
    const picture = list[at];
    image.src = picture.url;
    image.alt = picture.prompt;
    vars(image, {
      "--w": picture.width,
      "--h": picture.height,
      "--most": `${Math.max(picture.width, 512)}px`,
    });
    place.textContent = list.length > 1 ? m.stage.of(at + 1, list.length) : "";
    back.disabled = at === 0;
    on.disabled = at === list.length - 1;
    back.hidden = on.hidden = list.length === 1;
    fill(body, h("p", { class: "said" }, picture.prompt), actions(picture), facts(app, picture, "all"));
    body.scrollTop = 0;
  }
  /** @param {Picture} picture */
  function actions(picture) {
    const all = deeds(app, picture).map((deed) => {
      const inside = [icon(deed.icon, 17), deed.words];
      if (deed.href)
        return h("a", { class: "button filled", href: deed.href, download: fileName(picture) }, inside);
      return h("button", { type: "button", class: "button", title: deed.key, onclick: deed.act }, inside);
    });
    return h("div", { class: "viewer-acts" }, all);
  }

  /** @param {Picture} picture @param {Picture[]} among */
  function open(picture, among) {
    list = among.length ? [...among] : [picture];
    show(
      Math.max(
        0,
        list.findIndex((other) => other.id === picture.id),
      ),
    );
    if (!dialog.open) dialog.showModal();
    close.focus();
  }
  return { element: dialog, open };
}
