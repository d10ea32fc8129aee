/** The pictures a prompt is drawn from: one to start from with its mask, or several to look at. */

/** @import { App } from "./main.js" */
/** @import { Parameter, Source } from "./types.js" */

import * as api from "./api.js";
import { fill, h, icon, iconButton, vars } from "./dom.js";
import { parameter } from "./draft.js";
import { percent } from "./format.js";
import { m } from "./messages.js";
import { linkButton, remedy } from "./parts.js";

/**
 * `shown` are the pictures chosen so far, `add` the buttons for more, `take` a file that was dropped.
 * @param {App} app
 */
export function sourceFields(app) {
  const { draft, catalogue } = app;
  const trouble = h("div", {});
  const shown = h("div", { class: "contents" });
  const add = h("span", { class: "contents" });
  const takes = (/** @type {string} */ name) => parameter(draft.chosenModel, name) !== undefined;
  let reading = 0;
  let drawn = "";
  const start = chooser(m.form.addPictureName, (file) => take(file, start, takePicture));
  const mask = chooser(m.form.addMask, (file) => take(file, mask, (one) => draft.set({ mask: one })));
  const reference = chooser(m.form.addReferenceName, (file) => take(file, reference, takePicture));
  const takePicture = (/** @type {Source} */ one) => draft.takePicture(one);

  /** @param {File} file @param {Chooser} from @param {(source: Source) => void} taken */
  async function take(file, from, taken) {
    fill(trouble);
    app.uploading(true);
    reading += 1;
    draw();
    try {
      const { id, url, width, height } = await api.upload(file, file.name);
      taken({ id, url, width, height, name: file.name });
    } catch (error) {
      fill(trouble, unread(/** @type {api.Problem} */ (error), file.name, from));
    }
    reading -= 1;
    app.uploading(false);
    draw();
  }
  function draw() {
    const now = JSON.stringify([draft.source, draft.mask, draft.references, draft.chosenModel?.id, reading]);
    if (now === drawn) return;
    drawn = now;
    const status = h("div", { class: "source" }, h("span", { class: "dim", role: "status" }, m.form.reading));
    const more = draft.references.length < draft.mostReferences;
    fill(
      shown,
      takes("image") && draft.source ? started(app, draft.source, takes("mask") ? mask : null) : null,
      draft.mostReferences ? draft.references.map((one, index) => looked(app, one, index)) : null,
      reading ? status : null,
    );
    fill(
      add,
      takes("image") && !draft.source ? addButton(start, m.form.addPicture) : null,
      more ? addButton(reference, m.form.addReference) : null,
    );
  }
  draft.addEventListener("change", draw);
  catalogue.addEventListener("change", draw);
  draw();
  /** @param {File} file */
  const dropped = (file) => {
    if (takes("image") || draft.mostReferences) take(file, draft.mostReferences ? reference : start, takePicture);
  };
  return { shown, add, trouble, take: dropped };
}

/** @typedef {{input: HTMLInputElement, name: string, choose: () => void}} Chooser */

/**
 * The browser's own way to choose a file, opened by a button of ours.
 * @param {string} name @param {(file: File) => void} chosen @returns {Chooser}
 */
function chooser(name, chosen) {
  // Hidden from screen readers too: they would hear of two buttons that do the same.
  const input = h("input", { type: "file", accept: "image/*", hidden: true });
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    input.value = ""; // the same file may be chosen again
    if (file) chosen(file);
  });
  return { input, name, choose: () => input.click() };
}

/** @param {Chooser} chooser @param {string} words */
const addButton = (chooser, words) => [
  chooser.input,
  h(
    "button",
    { type: "button", "aria-label": chooser.name, onclick: chooser.choose },
    icon("photo", 16),
    words,
  ),
];

/** The picture to start from, its mask, and how much is drawn anew. @param {App} app @param {Source} source @param {Chooser|null} mask */
function started({ draft }, source, mask) {
  const strength = parameter(draft.chosenModel, "strength");
  const chosen = mask && draft.mask;
  return [
    row(source, m.form.source, m.form.removeSource, () => draft.set({ source: null, mask: null })),
    chosen ? row(chosen, m.form.mask, m.form.removeMask, () => draft.set({ mask: null })) : null,
    h(
      "div",
      { class: "source-more" },
      mask && !chosen
        ? [
            mask.input,
            linkButton(m.form.addMask, mask.choose),
            h("span", { class: "dim" }, m.form.maskHint),
          ]
        : null,
      strength
        ? slider(m.parameters.strength, strength, draft.strength, (value) => draft.setValue("strength", value))
        : null,
    ),
  ];
}

/** @param {App} app @param {Source} source @param {number} index */
function looked({ draft }, source, index) {
  const others = () => draft.references.filter((_, at) => at !== index);
  return row(source, m.form.reference(index + 1), m.form.removeReference(index + 1), () =>
    draft.set({ references: others() }),
  );
}

/** @param {Source} source @param {string} title @param {string} removeName @param {() => void} remove */
const row = (source, title, removeName, remove) =>
  h(
    "div",
    { class: "source" },
    h("img", { src: source.url, alt: "" }),
    h(
      "span",
      {},
      h("strong", { class: "clip" }, title),
      h("span", { class: "dim clip" }, ` ${source.name}`),
    ),
    iconButton("close", removeName, { onclick: remove }),
  );

/** @param {api.Problem} problem @param {string} name @param {Chooser} chooser */
function unread({ code, detail }, name, chooser) {
  const damaged = code === "unreadable-image";
  const title = damaged ? m.error.badFile(name) : (m.errors[code] ?? m.error.badFile(name));
  const again = h(
    "button",
    { type: "button", class: "button", onclick: chooser.choose },
    m.error.chooseOther,
  );
  return remedy(title, damaged ? m.error.badFileLine : detail, again);
}

/**
 * @param {string} label
 * @param {Parameter} declared
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
