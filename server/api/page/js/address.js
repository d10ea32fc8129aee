/** The API page: the address, a key, and examples that can be copied. */

/** @import { App } from "./main.js" */

import { fill, h, icon } from "./dom.js";
import { m } from "./messages.js";
import { command, copyButton } from "./parts.js";
import { schemeButton } from "./shell.js";

/** @param {App} app */
export function addressPage(app) {
  const examples = h("div", { class: "cards" });
  const prefs = h("div", { class: "prefs" }, schemeButton(), signOut());
  const inner = h(
    "div",
    { class: "page-inner" },
    h("header", { class: "page-head" }, h("h1", {}, m.api.title)),
    h("p", { class: "lead" }, m.api.lead),
    h("h2", { class: "part" }, m.api.address),
    command(`${location.origin}/v1`),
    h("h2", { class: "part" }, m.api.key),
    command("greenroom keys create my-program"),
    h("p", { class: "small dim" }, m.api.keyLine),
    examples,
    h("h2", { class: "part" }, m.api.links),
    h(
      "div",
      { class: "links" },
      link("/docs", m.api.reference),
      link("/openapi.json", m.api.openapi),
      link("/metrics", m.api.metrics),
    ),
    h("h2", { class: "part" }, m.api.here),
    h("p", { class: "small dim" }, m.api.hereLine),
    prefs,
  );
  function draw() {
    const model = app.draft.chosenModel?.id ?? "sdxl";
    const size = app.draft.chosenSize;
    const said = size ? `${size.width}x${size.height}` : "1024x1024";
    fill(
      examples,
      snippet(m.api.python, openai(model, said)),
      snippet(m.api.curl, curl(model)),
      snippet(m.api.command, `greenroom generate "a bear on the beach" --model ${model} -o bear.png`),
    );
  }
  app.draft.addEventListener("change", draw);
  app.catalogue.addEventListener("change", draw);
  draw();
  return { element: h("section", { class: "page", tabindex: -1 }, inner), enter: () => undefined };
}

/** @param {string} href @param {string} words */
const link = (href, words) => h("a", { class: "button", href }, words);

export const signOut = () =>
  h(
    "form",
    { method: "post", action: "/signout" },
    h("button", { type: "submit", class: "button" }, icon("out", 17), m.signOut),
  );

/** @param {string} title @param {string} code */
const snippet = (title, code) =>
  h(
    "div",
    { class: "snippet" },
    h(
      "div",
      { class: "snippet-head" },
      h("h2", { class: "grow small" }, title),
      copyButton(code, `${m.copy}: ${title}`),
    ),
    h("pre", { tabindex: 0 }, h("code", {}, code)),
  );

/** @param {string} model @param {string} size */
const openai = (model, size) => `import base64, pathlib
from openai import OpenAI

client = OpenAI(base_url="${location.origin}/v1", api_key="YOUR_KEY")
answer = client.images.generate(
    model="${model}", prompt="a bear on the beach", size="${size}", response_format="b64_json"
)
pathlib.Path("bear.png").write_bytes(base64.b64decode(answer.data[0].b64_json))`;

/** @param {string} model */
const curl = (model) => `curl ${location.origin}/api/v1/jobs \\
  -H "Authorization: Bearer YOUR_KEY" -H "Content-Type: application/json" -H "Prefer: wait=60" \\
  -d '{"model": "${model}", "prompt": "a bear on the beach"}'`;
