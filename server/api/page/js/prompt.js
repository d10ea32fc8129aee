/** The prompt, and inside it the picture to start from. */

/** @import { App } from "./main.js" */
/** @import { Source } from "./types.js" */

import * as api from "./api.js";
import { fill, h, icon, iconButton, vars } from "./dom.js";
import { parameter } from "./draft.js";
import { percent } from "./format.js";
import { m } from "./messages.js";
import { linkButton, remedy } from "./parts.js";

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
  const source = sourceField(app);
  const add = h(
    "button",
    { type: "button", "aria-label": m.form.addPictureName, onclick: () => source.choose() },
    icon("photo", 16),
    m.form.addPicture,
  );
  const box = h(
    "div",
    { class: "prompt" },
    area,
    source.shown,
    h("div", { class: "prompt-foot" }, add, h("span", { class: "grow" }), counter),
  );
  area.addEventListener("input", () => draft.set({ prompt: area.value }));
  dropTarget(box, (file) => (takesPicture() ? source.take(file) : undefined));

  const takesPicture = () => parameter(draft.chosenModel, "image") !== undefined;
  function draw() {
    if (area.value !== draft.prompt) area.value = draft.prompt;
    counter.textContent = m.form.counter(draft.prompt.length, MAX_PROMPT);
    clear.hidden = draft.prompt === "";
    add.hidden = !takesPicture() || draft.source !== null;
  }
  draft.addEventListener("change", draw);
  catalogue.addEventListener("change", draw);
  draw();
  return h(
    "section",
    { "aria-labelledby": "prompt-name" },
    h("div", { class: "field-head" }, h("label", { id: "prompt-name", for: "prompt" }, m.form.prompt), clear),
    box,
    source.trouble,
  );
}

/** @param {App} app */
function sourceField(app) {
  const { draft, catalogue } = app;
  const trouble = h("div", {});
  const shown = h("div", { class: "source", hidden: true });
  const file = h("input", {
    type: "file",
    class: "sr",
    accept: "image/*",
    tabindex: -1,
    "aria-label": m.form.addPictureName,
  });
  let drawn = "";
  file.addEventListener("change", () => {
    const chosen = file.files?.[0];
    file.value = ""; // the same file may be chosen again
    if (chosen) take(chosen);
  });

  /** @param {File} chosen */
  async function take(chosen) {
    fill(trouble);
    app.uploading(true);
    fill(shown, h("span", { class: "dim", role: "status" }, m.form.reading));
    shown.hidden = false;
    drawn = "";
    try {
      const { id, url } = await api.upload(chosen, chosen.name);
      draft.set({ source: { id, url, name: chosen.name } });
    } catch (error) {
      const { code, detail } = /** @type {api.Problem} */ (error);
      const unread = code === "unreadable-image";
      const title = unread ? m.error.badFile(chosen.name) : (m.errors[code] ?? m.error.badFile(chosen.name));
      fill(
        trouble,
        remedy(
          title,
          unread ? m.error.badFileLine : detail,
          h("button", { type: "button", class: "button", onclick: () => file.click() }, m.error.chooseOther),
        ),
      );
    }
    app.uploading(false);
    draw();
  }
  function draw() {
    const usable = draft.source && parameter(draft.chosenModel, "image");
    const strength = parameter(draft.chosenModel, "strength");
    const now = JSON.stringify([draft.source, Boolean(usable), strength]);
    if (now === drawn) return;
    drawn = now;
    shown.hidden = !usable;
    if (!draft.source) return;
    fill(
      shown,
      file,
      h("img", { src: draft.source.url, alt: "" }),
      h(
        "span",
        {},
        h("strong", { class: "clip" }, m.form.source),
        h("span", { class: "dim clip" }, ` ${draft.source.name}`),
      ),
      iconButton("close", m.form.removeSource, { onclick: () => draft.set({ source: null }) }),
      strength
        ? slider(m.parameters.strength, strength, Number(draft.value("strength")), (value) =>
            draft.setValue("strength", value),
          )
        : null,
    );
  }
  draft.addEventListener("change", draw);
  catalogue.addEventListener("change", draw);
  draw();
  return { shown, trouble: h("div", {}, file, trouble), take, choose: () => file.click() };
}

/**
 * @param {string} label
 * @param {import("./types.js").Parameter} declared
 * @param {number} value
 * @param {(value: number) => void} choose
 */
function slider(label, declared, value, choose) {
  const low = declared.minimum ?? 0;
  const high = declared.maximum ?? 1;
  const output = h("output", {}, percent(value));
  const input = h("input", {
    type: "range",
    min: low,
    max: high,
    step: declared.step ?? 0.05,
    value: String(value),
    "aria-label": label,
    "aria-valuetext": percent(value),
  });
  const fillTo = () => vars(input, { "--at": `${((input.valueAsNumber - low) / (high - low)) * 100}%` });
  input.addEventListener("input", () => {
    output.textContent = percent(input.valueAsNumber);
    input.setAttribute("aria-valuetext", percent(input.valueAsNumber));
    fillTo();
    choose(input.valueAsNumber);
  });
  fillTo();
  return h("div", { class: "slider strength" }, h("span", {}, label), input, output);
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
