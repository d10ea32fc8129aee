/** The models page: what can draw here, what cannot yet, and how to change that. */

/** @import { App } from "./main.js" */
/** @import { Model } from "./types.js" */

import * as api from "./api.js";
import { fill, h, vars } from "./dom.js";
import { bytes } from "./format.js";
import { m } from "./messages.js";
import { button, command, remedy, status, typed } from "./parts.js";

/** @param {App} app */
export function modelsPage(app) {
  const cards = h("div", { class: "cards" });
  const element = h(
    "section",
    { class: "page", tabindex: -1 },
    h(
      "div",
      { class: "page-inner" },
      h("header", { class: "page-head" }, h("h1", {}, m.models.title)),
      h("p", { class: "lead" }, m.models.lead),
      cards,
    ),
  );
  function draw() {
    const order = ["ready", "missing", "unpinned", "unsupported", "broken"];
    const models = [...app.catalogue.models].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
    const next = models.some((model) => model.demonstration && model.state === "ready")
      ? nextSteps(models)
      : null;
    fill(
      cards,
      models.filter((model) => model.state === "ready").map((model) => card(app, model)),
      next,
      models.filter((model) => model.state !== "ready").map((model) => card(app, model)),
    );
  }
  app.catalogue.addEventListener("change", draw);
  draw();
  return { element, enter: () => app.catalogue.refresh() };
}

/** From the demonstration to SDXL and Flux: the first real entry of each. @param {Model[]} models */
function nextSteps(models) {
  if (models.some((model) => !model.demonstration && model.state === "ready")) return null;
  const families = ["sdxl", "flux"];
  const first = families.map((family) =>
    models.find(
      (model) =>
        model.family === family && !model.demonstration && ["missing", "unpinned"].includes(model.state),
    ),
  );
  const known = first.filter((model) => model !== undefined);
  if (known.length === 0) return null;
  return h(
    "section",
    { class: "card" },
    h("div", { class: "card-head" }, h("h2", {}, m.models.nextTitle)),
    h("p", { class: "dim" }, m.models.nextLine),
    known.map(steps),
  );
}

/** @param {Model} model */
const steps = (model) => [...commands(model)].map(command);

/** @param {Model} model */
function commands(model) {
  const pull = `greenroom models pull ${model.id}`;
  return model.state === "unpinned" ? [`greenroom models pin ${model.id}`, pull] : [pull];
}

/** @param {App} app @param {Model} model */
function card(app, model) {
  const { state } = model;
  const lamp = state === "ready" ? "ready" : state === "broken" ? "fault" : "off";
  const words = state === "ready" && model.loaded ? m.models.loaded : m.models.state[state];
  const head = h(
    "div",
    { class: "card-head" },
    h("h2", {}, model.name),
    h("code", {}, model.id),
    status(lamp, words),
  );
  const line = [
    model.family === "remote" ? m.models.elsewhere(model.provider) : null,
    model.demonstration ? m.models.demonstration : null,
    model.is_default ? m.models.isDefault : null,
    ...model.specialties.filter((word) => word !== "demonstration"),
    model.sizes.length ? m.models.shapes(model.sizes.length) : null,
    model.styles.length ? m.models.styles(model.styles.length) : null,
    model.needs_vram_gib ? m.models.memory(model.needs_vram_gib) : null,
    model.licence ? m.models.licence(model.licence) : null,
    model.gated ? m.models.gated : null,
  ].filter((said) => said !== null);
  return h(
    "article",
    { class: "card" },
    head,
    model.description ? h("p", {}, model.description) : null,
    h(
      "p",
      { class: "facts-line" },
      line.map((said) => h("span", {}, said)),
    ),
    ["broken", "unsupported"].includes(state)
      ? h("p", { class: "small dim" }, typed(model.reason ?? ""))
      : null,
    ...way(app, model),
  );
}

/** @param {App} app @param {Model} model @returns {Node[]} */
function way(app, model) {
  if (model.state === "ready") {
    const draw = () => {
      app.draft.set({ model: model.id });
      app.go("create");
    };
    return [h("div", {}, button(m.models.draw, draw))];
  }
  if (model.state === "broken" || model.state === "unsupported") return [];
  if (model.state === "unpinned")
    return [h("p", { class: "small dim" }, m.models.pin), ...commands(model).map(command)];
  if (model.pull?.state === "running") return [fetching(model.pull)];
  const failed = model.pull ? remedy(m.models.pullFailed, model.pull.error ?? "") : null;
  const pull = async () => {
    await app.attempt(() => api.pull(model.id));
    app.catalogue.refresh();
  };
  const ways = h("div", { class: "links" }, button(m.models.pull, pull), commands(model).map(command));
  return failed ? [failed, ways] : [ways];
}

/** How far a fetch is. @param {NonNullable<Model["pull"]>} pull */
function fetching({ done_bytes: done, total_bytes: total }) {
  const bar = h(
    "div",
    {
      class: "progress",
      role: "progressbar",
      "aria-label": m.models.preparing,
      "aria-valuemin": 0,
      "aria-valuemax": total,
      "aria-valuenow": total && done,
    },
    h("i"),
  );
  vars(bar, { "--at": total ? `${(done / total) * 100}%` : "0%" });
  const words = total ? m.models.pullingOf(bytes(done), bytes(total)) : m.models.pulling(bytes(done));
  return h("div", { class: "cards" }, bar, status("live", words));
}
