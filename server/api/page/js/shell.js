/** The wall at the left (on a phone the bar below), the state of the server, and the scheme. */

/** @import { App } from "./main.js" */

import { fill, h, icon } from "./dom.js";
import { m } from "./messages.js";
import { mark, status } from "./parts.js";

const KEPT = "greenroom.scheme";

export const PLACES = /** @type {const} */ (["create", "gallery", "models", "api"]);
/** @typedef {(typeof PLACES)[number]} Place */

/**
 * @param {App} app
 * @param {HTMLElement} room
 */
export function shell(app, room) {
  const links = PLACES.map((place) =>
    h("a", { class: "wall-item", href: `#${place}` }, icon(place, 21), h("span", {}, m.places[place])),
  );
  const state = h("div", { class: "wall-status" });
  const topState = h("div", {});
  const title = h("h1", { class: "top-title grow clip" });
  const out = h(
    "form",
    { method: "post", action: "/signout", class: "wall-out" },
    h("button", { type: "submit", class: "wall-item" }, icon("out", 21), h("span", {}, m.signOut)),
  );
  const wall = h(
    "nav",
    { class: "wall", "aria-label": m.main },
    h("a", { class: "wall-mark", href: "#create", "aria-label": m.app }, mark(30)),
    links,
    h("div", { class: "grow" }),
    state,
    schemeButton("wall-item wall-scheme", 21),
    out,
  );
  const top = h("header", { class: "top" }, mark(26), title, topState, schemeButton("icon-button", 20));
  let said = "";

  function draw() {
    const [lamp, words] = serverState(app);
    if (said === words) return;
    said = words;
    fill(state, status(lamp, ""), h("span", {}, words));
    fill(topState, status(lamp, words));
  }
  for (const source of [app.jobs, app.catalogue, app]) source.addEventListener("change", draw);
  draw();
  /** @param {Place} place */
  function at(place) {
    links.forEach((link, index) => {
      if (PLACES[index] === place) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    });
    title.textContent = m.places[place];
    document.title = place === "create" ? m.app : `${m.places[place]} · ${m.app}`;
  }
  const skip = h(
    "a",
    {
      class: "skip",
      href: "#room",
      onclick: (/** @type {Event} */ event) => {
        event.preventDefault();
        room.focus();
      },
    },
    m.skip,
  );
  return { element: h("div", { class: "shell" }, skip, top, wall, room), at };
}

/** @param {App} app @returns {[Parameters<typeof status>[0], string]} */
function serverState({ away, jobs, catalogue }) {
  if (away) return ["fault", m.worker.away];
  if (jobs.live().some((job) => job.state === "running")) return ["live", m.worker.drawing];
  const [worker] = catalogue.workers;
  if (!worker) return ["ready", m.worker.ready];
  if (worker.state === "ready")
    return ["ready", worker.device.startsWith("cuda") ? m.worker.gpuReady : m.worker.ready];
  const words = /** @type {Record<string, string>} */ (m.worker);
  return [worker.state === "stopped" ? "fault" : "waiting", words[worker.state] ?? worker.state];
}

/** Dark or light by hand; until then it is the system's. @param {string} [kind] @param {number} [size] */
export function schemeButton(kind = "button", size = 17) {
  const button = h("button", { type: "button", class: kind });
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () =>
    (document.documentElement.dataset.scheme ?? (system.matches ? "dark" : "light")) === "dark";
  function draw() {
    const other = isDark() ? m.scheme.light : m.scheme.dark;
    fill(button, icon(isDark() ? "sun" : "moon", size), kind === "icon-button" ? null : h("span", {}, other));
    button.setAttribute("aria-label", m.scheme.to(other.toLowerCase()));
    button.title = m.scheme.to(other.toLowerCase());
  }
  button.addEventListener("click", () => {
    const scheme = isDark() ? "light" : "dark";
    document.documentElement.dataset.scheme = scheme;
    try {
      localStorage.setItem(KEPT, scheme);
    } catch {
      // Storage is switched off: it holds until the page is closed.
    }
    schemes.dispatchEvent(new Event("change"));
  });
  system.addEventListener("change", draw);
  schemes.addEventListener("change", draw);
  draw();
  return button;
}

/** All buttons for the scheme follow each other. */
const schemes = new EventTarget();
