/** Small drawn things that several pages share. */

import { h, icon, iconButton, svg } from "./dom.js";
import { m } from "./messages.js";

/** @typedef {"ready"|"live"|"waiting"|"fault"|"off"} Lamp */

/** @param {Lamp} state */
export function lamp(state) {
  const box = { class: `lamp lamp-${state}`, width: 15, height: 15, viewBox: "-8 -8 16 16", "aria-hidden": "true" };
  const halo = svg("circle", { r: 7.4, class: "lamp-halo" });
  const disc = svg("circle", { r: 4.6, class: "lamp-fill" });
  if (state === "live") return svg("svg", box, halo, disc);
  if (state === "ready") return svg("svg", box, disc);
  if (state === "waiting") return svg("svg", box, svg("circle", { r: 4, class: "lamp-line" }));
  if (state === "off") return svg("svg", box, svg("path", { d: "M-4.5 0h9", class: "lamp-line" }));
  return svg("svg", box, svg("path", { d: "M0-6 6.2 5H-6.2Z", class: "lamp-fill" }));
}

/** @param {Lamp} state @param {string} words */
export const status = (state, words) => h("span", { class: `status status-${state}` }, lamp(state), words ? h("span", {}, words) : null);

/** Tape marks round a place. @param {"gold"|""} [tone] */
export const marks = (tone = "") =>
  h("span", { class: `marks${tone ? ` marks-${tone}` : ""}`, "aria-hidden": "true" }, h("i"), h("i"), h("i"), h("i"));

/** The stage door: the mark of the house. @param {number} size */
export const mark = (size) => h("img", { src: "/static/mark.svg", width: size, height: size, alt: "" });

/** The lamp that is left burning on an empty stage. */
export function ghostLight() {
  const box = { class: "ghost-light", width: 132, height: 132, viewBox: "0 0 132 132", "aria-hidden": "true" };
  const bulb = "M66 14a12.5 12.5 0 0 1 7.6 22.4c-1.6 1.3-2.1 2.6-2.1 4.6v1h-11v-1c0-2-.5-3.3-2.1-4.6A12.5 12.5 0 0 1 66 14Z";
  return svg(
    "svg", box,
    svg("ellipse", { cx: 66, cy: 121, rx: 58, ry: 8, class: "gl-floor" }),
    svg("path", { d: "M66 121V44M52 122c0-5 6-8 14-8s14 3 14 8", class: "gl-stand" }),
    svg("path", { d: bulb, class: "gl-bulb" }),
    svg("path", { d: "M60.5 46h11", class: "gl-stand" }),
  );
}

/** Text in which `backticks` hold what is to be typed. @param {string} text */
export const typed = (text) => text.split("`").map((part, index) => (index % 2 ? h("code", {}, part) : part));

/**
 * What happened, what is safe, one way on.
 * @param {string} title
 * @param {string} line
 * @param {...(Node|null|false)} ways
 */
export const remedy = (title, line, ...ways) =>
  h("div", { class: "remedy", role: "alert" }, h("span", {}, h("strong", {}, title), " ", typed(line)), ...ways);

/** @param {string} words @param {() => void} act @param {string} [kind] */
export const button = (words, act, kind = "") =>
  h("button", { type: "button", class: `button ${kind}`, onclick: act }, words);

/** @param {string} words @param {() => void} act */
export const linkButton = (words, act) => h("button", { type: "button", class: "link", onclick: act }, words);

/** @param {string} text */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyOldWay(text); // the clipboard is only given to https and to this machine itself
  }
}

/** @param {string} text */
function copyOldWay(text) {
  const area = h("textarea", { class: "sr", value: text });
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** A copy button that says so when it has. @param {string} text @param {string} label */
export function copyButton(text, label) {
  return iconButton("copy", label, {
    onclick: async (/** @type {Event} */ event) => {
      const at = /** @type {HTMLElement} */ (event.currentTarget);
      const done = await copy(text);
      toast(done ? m.copied : m.error.notCopied);
      if (done) at.replaceChildren(icon("check"));
      setTimeout(() => at.replaceChildren(icon("copy")), 1600);
    },
  });
}

/** A command to type, with its copy button. @param {string} text */
export const command = (text) => h("div", { class: "command" }, h("code", {}, text), copyButton(text, m.copy));

let toastTimer = 0;

/** Say something that is not to be seen elsewhere on the page. @param {string} words */
export function toast(words) {
  document.querySelector(".toast")?.remove();
  clearTimeout(toastTimer);
  const box = h("div", { class: "toast", role: "status" }, words);
  // A dialog covers everything outside it, so the words go inside.
  (document.querySelector("dialog[open]") ?? document.body).append(box);
  toastTimer = setTimeout(() => box.remove(), 2600);
}

/**
 * Ask before something that cannot be undone; the button repeats the deed.
 * @param {string} title @param {string} line @param {string} deed @param {string} keep
 * @returns {Promise<boolean>}
 */
export function ask(title, line, deed, keep) {
  return new Promise((resolve) => {
    const no = h("button", { class: "button", value: "no" }, keep);
    const yes = h("button", { class: "button deed", value: "yes" }, deed);
    const dialog = h(
      "dialog", { class: "ask", "aria-labelledby": "ask-title" },
      h("h2", { id: "ask-title" }, title),
      h("p", { class: "dim" }, line),
      h("form", { method: "dialog", class: "ask-acts" }, no, yes),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
