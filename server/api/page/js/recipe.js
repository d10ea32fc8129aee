/** A finished picture in words: its recipe as a table, and what can be done with it. */

/** @import { App } from "./main.js" */
/** @import { Picture } from "./types.js" */

import * as api from "./api.js";
import { h, icon } from "./dom.js";
import { parameter } from "./draft.js";
import { bytes, day, drawer, money, number, percent, seed, time, took } from "./format.js";
import { m } from "./messages.js";
import { ask, copy, toast } from "./parts.js";

/**
 * @param {App} app
 * @param {Picture} picture
 * @param {"short"|"all"} length
 */
export function facts(app, picture, length) {
  const { recipe } = picture;
  const words = m.picture.facts;
  const given = (/** @type {number|null} */ value) => (value === null ? null : number(value));
  /** @type {[string, string|null][]} */
  const short = [
    [words.seed, recipe.remote?.seeded === false ? null : seed(picture.seed)],
    [words.time, took(picture.duration_seconds)],
  ];
  /** @type {[string, string|null][]} */
  const all = [
    [words.model, app.catalogue.nameOf(picture.model)],
    [words.size, m.form.size(picture.width, picture.height)],
    [words.steps, given(recipe.num_inference_steps)],
    [words.guidance, given(recipe.guidance_scale)],
    [words.trueGuidance, given(recipe.true_cfg_scale)],
    [words.scheduler, recipe.scheduler],
    [words.strength, recipe.strength === null ? null : percent(recipe.strength)],
    ...short,
    [words.cost, picture.cost && money(picture.cost)],
    [words.drawn, m.picture.drawnBy(drawer(recipe))],
    [words.file, `${picture.format.toUpperCase()}, ${bytes(picture.size_bytes)}`],
    [words.made, m.picture.madeAt(day(picture.created_at, m).name, time(picture.created_at))],
    [words.leftOut, recipe.negative_prompt],
  ];
  const rows = (length === "all" ? all : [all[1], all[2], ...short]).filter(([, value]) => value !== null);
  const body = rows.map(([name, value]) => h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, value)));
  return h("table", { class: "facts", "aria-label": m.picture.recipe }, h("tbody", {}, body));
}

/**
 * What can be done with a picture, each with its key.
 * @param {App} app
 * @param {Picture} picture
 * @returns {{icon: Parameters<typeof icon>[0], words: string, key: string, href?: string, act?: () => void}[]}
 */
export function deeds(app, picture) {
  const takesImage = parameter(app.draft.chosenModel, "image") || app.draft.mostReferences > 0;
  const { id, width, height } = picture;
  const source = { id, width, height, url: api.thumbnail(picture, 256), name: "" };
  return [
    { icon: "download", words: m.picture.download, key: "D", href: picture.url },
    { icon: "copy", words: m.picture.copyPrompt, key: "C", act: () => copyPrompt(picture) },
    {
      icon: "reuse",
      words: m.picture.reuse,
      key: "R",
      act: () => toForm(app, () => app.draft.reuse(picture)),
    },
    ...(takesImage
      ? [
          /** @type {const} */ ({
            icon: "source",
            words: m.picture.useAsSource,
            key: "I",
            act: () => toForm(app, () => app.draft.takePicture(source)),
          }),
        ]
      : []),
    { icon: "trash", words: m.picture.remove, key: "Del", act: () => removeAsked(app, picture) },
  ];
}

/** The name a downloaded file gets: its first words and its seed. @param {Picture} picture */
export function fileName(picture) {
  const words = picture.prompt
    .toLowerCase()
    .replace(/[^\p{L}\p{N}]+/gu, "-")
    .slice(0, 48)
    .replace(/^-|-$/g, "");
  return `${words || "picture"}-${picture.seed}.${picture.format}`;
}

/** Deeds as a list of lines. @param {App} app @param {Picture} picture */
export function deedList(app, picture) {
  const lines = deeds(app, picture).map((deed) => {
    const inside = [
      icon(deed.icon),
      h("span", { class: "grow" }, deed.words),
      h("kbd", { "aria-hidden": "true" }, deed.key),
    ];
    if (deed.href) return h("a", { class: "act", href: deed.href, download: fileName(picture) }, inside);
    return h("button", { type: "button", class: "act", onclick: deed.act }, inside);
  });
  return h("div", { class: "acts" }, lines);
}

/** Do the deed whose key was pressed. @param {App} app @param {Picture} picture @param {KeyboardEvent} event */
export function deedKey(app, picture, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const pressed = event.key === "Delete" ? "Del" : event.key.toUpperCase();
  const deed = deeds(app, picture).find((one) => one.key === pressed);
  if (!deed) return false;
  if (deed.href) h("a", { href: deed.href, download: fileName(picture) }).click();
  else deed.act?.();
  return true;
}

/** @param {Picture} picture */
async function copyPrompt(picture) {
  toast((await copy(picture.prompt)) ? m.picture.promptCopied : m.error.notCopied);
}

/** @param {App} app @param {() => void} change */
function toForm(app, change) {
  change();
  app.go("create");
}

/** @param {App} app @param {Picture} picture */
async function removeAsked(app, picture) {
  const { removeTitle, removeLine, removeDeed, keep } = m.picture;
  if (!(await ask(removeTitle, removeLine, removeDeed, keep))) return;
  await app.attempt(async () => {
    await api.remove(picture.id).catch((error) => {
      if (error.code !== "not-found") throw error; // gone already: that is what was wanted
    });
    app.removed(picture);
    toast(m.picture.removed);
  });
}
