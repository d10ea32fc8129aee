/** The model picker: ready ones to choose from, the others with the reason. */

/** @import { App } from "./main.js" */
/** @import { Model } from "./types.js" */

import { fill, h, icon, vars } from "./dom.js";
import { m } from "./messages.js";
import { lamp, status, typed } from "./parts.js";

/** @param {App} app */
export function picker(app) {
  const { catalogue, draft } = app;
  const label = h("span", { class: "grow" });
  const open = h(
    "button",
    {
      type: "button",
      class: "model",
      "aria-haspopup": "dialog",
      "aria-expanded": "false",
      onclick: () => list.togglePopover(),
    },
    h("span", { class: "sr" }, m.form.model),
    label,
    icon("down"),
  );
  const list = h("div", {
    class: "model-list",
    popover: "auto",
    role: "dialog",
    "aria-label": m.form.chooseModel,
  });
  list.addEventListener("toggle", (event) => {
    const shown = /** @type {ToggleEvent} */ (event).newState === "open";
    open.setAttribute("aria-expanded", String(shown));
    if (shown) place(list, open);
  });
  const demo = h(
    "p",
    { class: "demo" },
    `${m.form.demonstration} `,
    h("a", { href: "#models" }, m.form.demonstrationNext),
  );

  function draw() {
    const chosen = draft.chosenModel;
    fill(label, h("strong", {}, chosen?.name ?? m.form.noModel), chosen ? where(chosen) : null);
    demo.hidden = !chosen?.demonstration;
    fill(
      list,
      rows(
        catalogue.models,
        chosen,
        (model) => {
          draft.set({ model: model.id });
        },
        () => list.hidePopover(),
      ),
    );
  }
  catalogue.addEventListener("change", draw);
  draft.addEventListener("change", () => {
    // While it is open the radios hold the state themselves, and the focus with it.
    if (!list.matches(":popover-open")) draw();
    else
      fill(
        label,
        h("strong", {}, draft.chosenModel?.name ?? ""),
        draft.chosenModel ? where(draft.chosenModel) : null,
      );
    demo.hidden = !draft.chosenModel?.demonstration;
  });
  draw();
  return h(
    "section",
    { "aria-labelledby": "model-name" },
    h("div", { class: "field-head" }, h("h2", { id: "model-name" }, m.form.model)),
    open,
    demo,
    list,
  );
}

/** @param {Model} model */
const where = (model) =>
  h("span", { class: "model-where" }, lamp("ready"), readiness(model));

/** A remote service is named: nobody should send it a prompt unawares. @param {Model} model */
function readiness(model) {
  if (model.family === "remote") return m.form.elsewhere(model.provider);
  return model.loaded ? m.form.loaded : m.form.ready;
}

/**
 * @param {Model[]} models
 * @param {Model|undefined} chosen
 * @param {(model: Model) => void} choose
 * @param {() => void} close
 */
function rows(models, chosen, choose, close) {
  const ready = models.filter((model) => model.state === "ready");
  const others = models.filter((model) => model.state !== "ready");
  return [
    h(
      "fieldset",
      {},
      h("legend", { class: "sr" }, m.form.model),
      ready.map((model) => readyRow(model, model === chosen, choose, close)),
    ),
    others.length ? h("p", { class: "model-group" }, m.form.notReady) : null,
    others.map(otherRow),
  ];
}

/**
 * @param {Model} model
 * @param {boolean} checked
 * @param {(model: Model) => void} choose
 * @param {() => void} close
 */
function readyRow(model, checked, choose, close) {
  const input = h("input", {
    type: "radio",
    name: "model",
    value: model.id,
    checked,
    autofocus: checked,
    onchange: () => choose(model),
  });
  const act = (/** @type {Event} */ event) => {
    const keyed = event instanceof KeyboardEvent;
    if (keyed && event.key !== "Enter") return;
    if (!keyed && /** @type {MouseEvent} */ (event).detail === 0) return; // an arrow key's own click
    close();
  };
  return h(
    "label",
    { class: "model-row pick", onkeydown: act, onclick: act },
    input,
    icon("check", 16),
    h("strong", {}, model.name),
    status("ready", model.loaded ? m.models.loaded : m.models.state.ready),
    h("span", { class: "about" }, model.description),
  );
}

/** @param {Model} model */
const otherRow = (model) =>
  h(
    "div",
    { class: "model-row model-off" },
    h("span"),
    h("strong", {}, model.name),
    status(model.state === "broken" ? "fault" : "off", m.models.state[model.state]),
    h("span", { class: "about" }, typed(model.reason ?? model.description)),
  );

/** Put `list` where there is more room, above or below `anchor`. @param {HTMLElement} list @param {HTMLElement} anchor */
function place(list, anchor) {
  const at = anchor.getBoundingClientRect();
  const room = document.documentElement;
  const above = at.top > room.clientHeight - at.bottom;
  const left = Math.max(12, Math.min(at.left, room.clientWidth - list.offsetWidth - 12));
  vars(list, {
    left: `${left}px`,
    top: above ? "auto" : `${at.bottom + 6}px`,
    bottom: above ? `${room.clientHeight - at.top + 6}px` : "auto",
    "max-height": `${(above ? at.top : room.clientHeight - at.bottom) - 18}px`,
  });
}
