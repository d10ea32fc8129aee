/** The prompt, and inside it the pictures that it is drawn from. */

/** @import { App } from "./main.js" */

import { h } from "./dom.js";
import { m } from "./messages.js";
import { linkButton } from "./parts.js";
import { sourceFields } from "./sources.js";

export const MAX_PROMPT = 2000;

/** @param {App} app */
export function promptField(app) {
  const { draft, catalogue } = app;
  const area = h("textarea", {
    id: "prompt",
    maxlength: MAX_PROMPT,
    rows: 5,
    placeholder: m.form.promptHint,
    "aria-describedby": "prompt-count",
    enterkeyhint: "enter",
    value: draft.prompt,
  });
  const counter = h("span", { class: "num", id: "prompt-count" });
  const clear = linkButton(m.form.clear, () => {
    draft.set({ prompt: "" });
    area.focus();
  });
  const sources = sourceFields(app);
  const box = h(
    "div",
    { class: "prompt" },
    area,
    sources.shown,
    h("div", { class: "prompt-foot" }, sources.add, h("span", { class: "grow" }), counter),
  );
  area.addEventListener("input", () => draft.set({ prompt: area.value }));
  dropTarget(box, sources.take);

  function draw() {
    if (area.value !== draft.prompt) area.value = draft.prompt;
    counter.textContent = m.form.counter(draft.prompt.length, MAX_PROMPT);
    clear.hidden = draft.prompt === "";
  }
  draft.addEventListener("change", draw);
  catalogue.addEventListener("change", draw);
  draw();
  return h(
    "section",
    { "aria-labelledby": "prompt-name" },
    h("div", { class: "field-head" }, h("label", { id: "prompt-name", for: "prompt" }, m.form.prompt), clear),
    box,
    sources.trouble,
  );
}

/** @param {HTMLElement} box @param {(file: File) => void} take */
function dropTarget(box, take) {
  const over = (/** @type {boolean} */ is) => box.classList.toggle("is-over", is);
  box.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    over(true);
  });
  box.addEventListener("dragleave", () => over(false));
  box.addEventListener("drop", (event) => {
    over(false);
    const file = event.dataTransfer?.files[0];
    if (!file) return;
    event.preventDefault();
    take(file);
  });
}
