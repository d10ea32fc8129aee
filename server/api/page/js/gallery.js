/** Everything that was drawn, by day, with a search. */

/** @import { App } from "./main.js" */
/** @import { Picture } from "./types.js" */

import * as api from "./api.js";
import { fill, h, icon } from "./dom.js";
import { day } from "./format.js";
import { m } from "./messages.js";
import { button, ghostLight } from "./parts.js";
import { tile } from "./strip.js";

const SEARCH_DELAY_MS = 250;

/** @param {App} app */
export function gallery(app) {
  /** @type {Picture[]} */
  let pictures = [];
  /** @type {string|null} */
  let cursor = null;
  let words = "";
  let aborter = new AbortController();
  let timer = 0;
  const days = h("div", { "aria-live": "off" });
  const more = h(
    "div",
    { class: "more", hidden: true },
    button(m.gallery.more, () => load()),
  );
  const input = h("input", {
    type: "search",
    class: "input",
    placeholder: m.gallery.searchHint,
    "aria-label": m.gallery.search,
    autocomplete: "off",
  });
  const head = h(
    "header",
    { class: "page-head" },
    h("h1", {}, m.gallery.title),
    h(
      "div",
      { class: "search", role: "search" },
      icon("search", 17),
      input,
      h("kbd", { "aria-hidden": "true" }, "/"),
    ),
  );
  const element = h("section", { class: "gallery", tabindex: -1 }, head, days, more);

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => again(input.value.trim()), SEARCH_DELAY_MS);
  });
  // Also reached by scrolling; the button stays for those who do not scroll.
  new IntersectionObserver((entries) => entries.some((entry) => entry.isIntersecting) && load(), {
    root: element,
    rootMargin: "600px",
  }).observe(more);

  /** @param {string} search */
  async function again(search) {
    words = search;
    aborter.abort();
    aborter = new AbortController();
    await load(true);
  }
  let loading = false;
  async function load(fresh = false) {
    if (loading && !fresh) return;
    loading = true;
    const { signal } = aborter;
    const page = await app.attempt(() => api.images({ query: words, cursor: fresh ? null : cursor }, signal));
    if (signal.aborted) return;
    loading = false;
    if (!page) return;
    pictures = fresh ? page.items : [...pictures, ...page.items];
    cursor = page.next_cursor;
    draw();
  }
  function draw() {
    more.hidden = cursor === null;
    if (pictures.length === 0) fill(days, empty());
    else fill(days, byDay(pictures).map(section));
  }
  /** @param {{name: string, pictures: Picture[]}} group @param {number} index @param {unknown[]} all */
  function section(group, index, all) {
    // The last day may go on in the next piece, so its number is not known yet.
    const whole = index < all.length - 1 || cursor === null;
    const count = whole ? h("span", {}, m.pictures(group.pictures.length)) : null;
    return h(
      "section",
      { class: "day" },
      h("h2", {}, group.name, count),
      h(
        "div",
        { class: "pictures" },
        group.pictures.map((picture) => tile(picture, () => app.view(picture, pictures))),
      ),
    );
  }
  function empty() {
    const found =
      words === ""
        ? [m.gallery.emptyTitle, m.gallery.emptyLine]
        : [m.gallery.nothing(words), m.gallery.nothingLine];
    const way =
      words === ""
        ? button(m.gallery.emptyDo, () => app.go("create"), "filled")
        : button(m.gallery.clearSearch, clear);
    return h(
      "div",
      { class: "gallery-empty" },
      ghostLight(),
      h("h2", {}, found[0]),
      h("p", {}, found[1]),
      way,
    );
  }
  function clear() {
    input.value = "";
    again("");
    input.focus();
  }
  app.addEventListener("removed", (event) => {
    const gone = /** @type {CustomEvent<Picture>} */ (event).detail.id;
    pictures = pictures.filter((picture) => picture.id !== gone);
    if (!element.hidden) draw();
  });
  const keyed = (/** @type {KeyboardEvent} */ event) => {
    if (event.key !== "/") return false;
    input.focus();
    return true;
  };
  return { element, enter: () => again(words), keyed };
}

/** @param {Picture[]} pictures newest first */
function byDay(pictures) {
  /** @type {{key: number, name: string, pictures: Picture[]}[]} */
  const groups = [];
  for (const picture of pictures) {
    const { key, name } = day(picture.created_at, m);
    const last = groups.at(-1);
    if (last?.key === key) last.pictures.push(picture);
    else groups.push({ key, name, pictures: [picture] });
  }
  return groups;
}
