/** The line called Advanced: fields drawn from what the chosen model declares. */

/** @import { App } from "./main.js" */
/** @import { Parameter } from "./types.js" */
/** @import { Draft } from "./draft.js" */

import { fill, h, icon } from "./dom.js";
import { advanced as declaredBy, takesSeed } from "./draft.js";
import { m } from "./messages.js";

/**
 * @typedef {{draft: Draft, setValue: (name: string, value: string|number|null) => void,
 *   setSeed: (seed: number|null) => void}} Edit
 */

const MAX_SEED = 2 ** 53 - 1; // the largest integer that JSON keeps exact

/** @param {App} app */
export function advanced({ draft, catalogue }) {
  const said = h("span", { class: "grow clip" });
  const body = h("div", { class: "advanced", id: "advanced", hidden: true });
  const line = h(
    "button",
    {
      type: "button",
      class: "advanced-line",
      "aria-expanded": "false",
      "aria-controls": "advanced",
      onclick: () => open(body.hidden),
    },
    icon("advanced", 16),
    h("strong", {}, m.form.advanced),
    said,
    icon("right", 16),
  );
  let drawnFor = "";
  let ours = false;

  /** @param {boolean} shown */
  function open(shown) {
    body.hidden = !shown;
    line.setAttribute("aria-expanded", String(shown));
  }
  function draw() {
    said.textContent = summary(draft);
    const fields = declaredBy(draft.chosenModel);
    const now = JSON.stringify([fields, draft.values, draft.seed]);
    const same = ours || now === drawnFor;
    drawnFor = now;
    if (!same)
      fill(
        body,
        fields.map((declared) => field(edit, declared)),
        ...(takesSeed(draft.chosenModel) ? [seedField(edit)] : []),
      );
  }
  /**
   * A change from these fields: they show it already, and drawn again they would lose the focus.
   * @param {() => void} change
   */
  function quietly(change) {
    ours = true;
    change();
    ours = false;
  }
  /** @type {Edit} */
  const edit = {
    draft,
    setValue: (name, value) => quietly(() => draft.setValue(name, value)),
    setSeed: (seed) => quietly(() => draft.set({ seed })),
  };
  draft.addEventListener("change", draw);
  catalogue.addEventListener("change", draw);
  draw();
  return h("section", { "aria-label": m.form.advanced }, line, body);
}

/** @param {Draft} draft */
function summary(draft) {
  const steps = draft.value("num_inference_steps");
  const guidance = draft.value("guidance_scale");
  return [
    steps === null ? null : m.form.steps(Number(steps)),
    guidance === null ? null : m.form.guidance(Number(guidance)),
    !takesSeed(draft.chosenModel) ? null : draft.seed === null ? m.form.newSeed : m.form.fixedSeed(draft.seed),
  ]
    .filter((words) => words !== null)
    .join(" · ");
}

/** @param {Edit} edit @param {Parameter} declared */
function field(edit, declared) {
  const id = `parameter-${declared.name}`;
  const label = h("label", { for: id }, m.parameters[declared.name] ?? declared.name);
  const hint = declared.description
    ? h("span", { class: "hint", id: `${id}-hint` }, declared.description)
    : null;
  const full = declared.type === "string" ? " full" : "";
  return h("div", { class: `parameter${full}` }, label, control(edit, declared, id), hint);
}

/** @param {Edit} edit @param {Parameter} declared @param {string} id */
function control(edit, declared, id) {
  const value = edit.draft.values[declared.name];
  const shared = { id, class: "input", "aria-describedby": declared.description ? `${id}-hint` : null };
  if (declared.options.length) {
    const options = declared.options.map((option) =>
      h("option", { value: option, selected: option === (value ?? declared.default) }, option),
    );
    return h(
      "select",
      {
        ...shared,
        onchange: (/** @type {any} */ event) =>
          edit.setValue(declared.name, same(event.target.value, declared)),
      },
      options,
    );
  }
  if (declared.type === "string") {
    return h("textarea", {
      ...shared,
      rows: 2,
      maxlength: 2000,
      value: value ?? declared.default ?? "",
      oninput: (/** @type {any} */ event) => edit.setValue(declared.name, same(event.target.value, declared)),
    });
  }
  return numberInput(shared, declared, value, (chosen) => edit.setValue(declared.name, chosen));
}

/** The model's own value is not kept, so that it follows the model. @param {string} value @param {Parameter} declared */
const same = (value, declared) => (value === (declared.default ?? "") ? null : value);

/**
 * @param {Record<string, any>} shared
 * @param {Parameter} declared
 * @param {string|number|undefined} value
 * @param {(value: number|null) => void} choose
 */
function numberInput(shared, declared, value, choose) {
  const input = h("input", {
    ...shared,
    type: "number",
    inputmode: declared.type === "integer" ? "numeric" : "decimal",
    min: declared.minimum,
    max: declared.maximum,
    step: declared.step ?? (declared.type === "integer" ? 1 : "any"),
    value: String(value ?? declared.default ?? ""),
    placeholder: String(declared.default ?? ""),
  });
  input.addEventListener("input", () => {
    const asked = input.valueAsNumber;
    if (Number.isNaN(asked)) choose(null);
    else if (asked >= (declared.minimum ?? -Infinity) && asked <= (declared.maximum ?? Infinity))
      choose(asked === declared.default ? null : asked);
  });
  input.addEventListener("change", () => {
    if (Number.isNaN(input.valueAsNumber) && declared.default === null) return choose(null);
    // Outside what the model takes: the nearest that it does take.
    const asked = Number.isNaN(input.valueAsNumber) ? Number(declared.default) : input.valueAsNumber;
    const near = Math.min(declared.maximum ?? Infinity, Math.max(declared.minimum ?? -Infinity, asked));
    input.value = String(near);
    choose(near === declared.default ? null : near);
  });
  return input;
}

/** @param {Edit} edit */
function seedField(edit) {
  const { seed } = edit.draft;
  const input = h("input", {
    id: "seed",
    class: "input",
    inputmode: "numeric",
    pattern: "[0-9]*",
    maxlength: 16,
    autocomplete: "off",
    value: seed === null ? "" : String(seed),
    placeholder: m.form.newSeed,
    "aria-describedby": "seed-hint",
  });
  input.addEventListener("input", () => {
    const digits = input.value.replace(/\D/g, "");
    if (digits !== input.value) input.value = digits;
    edit.setSeed(digits === "" ? null : Math.min(Number(digits), MAX_SEED));
  });
  const renew = h(
    "button",
    {
      type: "button",
      class: "button",
      onclick: () => {
        input.value = "";
        edit.setSeed(null);
      },
    },
    m.form.seedNew,
  );
  return h(
    "div",
    { class: "parameter full" },
    h("label", { for: "seed" }, m.form.seed),
    h("div", { class: "beside" }, input, renew),
    h("span", { class: "hint", id: "seed-hint" }, m.form.seedHint),
  );
}
