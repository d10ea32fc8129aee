/** The API reference, drawn from /openapi.json: what a route takes and what it answers. */

import { fill, h } from "./dom.js";
import { m } from "./messages.js";
import { mark, remedy, typed } from "./parts.js";

/** @typedef {Record<string, any>} Schema */

const METHODS = ["get", "post", "put", "patch", "delete"];

/**
 * @param {Schema} schema
 * @param {Schema} document
 * @returns {Schema}
 */
function followed(schema, document) {
  if (!schema?.$ref) return schema ?? {};
  const found = schema.$ref
    .split("/")
    .slice(1)
    .reduce((/** @type {any} */ at, /** @type {string} */ key) => at?.[key], document);
  return followed(found, document);
}

/** A schema's type in a few words: `string`, `list of ImageView`, `integer or null`. @param {Schema} schema @returns {string} */
function typeWords(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const options = schema.anyOf ?? schema.oneOf ?? (schema.allOf?.length === 1 ? schema.allOf : null);
  if (options) return [...new Set(options.map(typeWords))].join(" or ");
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((/** @type {unknown} */ value) => JSON.stringify(value)).join(", ");
  if (schema.type === "array") return `list of ${typeWords(schema.items ?? {}) || "values"}`;
  return [schema.type ?? "any", schema.format].filter(Boolean).join(", ");
}

/** @param {Schema} schema */
function limits(schema) {
  const inner = schema.anyOf?.find((/** @type {Schema} */ one) => one.type !== "null") ?? schema;
  const said = [];
  for (const [key, sign] of /** @type {[string, string][]} */ ([
    ["minimum", "≥"],
    ["exclusiveMinimum", ">"],
    ["maximum", "≤"],
    ["exclusiveMaximum", "<"],
    ["maxLength", "length ≤"],
    ["multipleOf", "multiple of"],
  ])) {
    if (inner[key] !== undefined) said.push(`${sign} ${inner[key]}`);
  }
  if (schema.default !== undefined && schema.default !== null)
    said.push(`default ${JSON.stringify(schema.default)}`);
  return said.join(", ");
}

/** @param {{name: string, schema: Schema, required: boolean, about: string}[]} rows */
function table(rows) {
  const body = rows.map((row) =>
    h(
      "tr",
      {},
      h(
        "td",
        {},
        h("code", {}, row.name),
        row.required ? h("span", { class: "need" }, ` ${m.reference.required}`) : null,
      ),
      h("td", {}, typeWords(row.schema)),
      h("td", { class: "dim" }, typed([row.about, limits(row.schema)].filter(Boolean).join(" · "))),
    ),
  );
  const head = [m.reference.field, m.reference.type, m.reference.about].map((words) =>
    h("th", { scope: "col" }, words),
  );
  return h(
    "div",
    { class: "scroll", tabindex: 0, role: "group" },
    h("table", { class: "fields" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, body)),
  );
}

/** @param {Schema} schema @param {Schema} document */
function fields(schema, document) {
  const found = followed(schema, document);
  if (found.type === "array") return fields(found.items, document);
  const properties = Object.entries(found.properties ?? {});
  if (!properties.length) return h("p", { class: "small" }, typeWords(schema));
  return table(
    properties.map(([name, one]) => ({
      name,
      schema: one,
      required: found.required?.includes(name) ?? false,
      about: one.description ?? "",
    })),
  );
}

/** @param {Schema} content */
const firstSchema = (content) => /** @type {any} */ (Object.values(content ?? {})[0])?.schema;

/** @param {string} method @param {string} path @param {Schema} route @param {Schema} document */
function routeCard(method, path, route, document) {
  const parameters = (route.parameters ?? []).map((/** @type {Schema} */ one) => followed(one, document));
  const body = firstSchema(route.requestBody?.content);
  const answers = Object.entries(route.responses ?? {});
  const about =
    route.description && route.description !== route.summary
      ? h("p", { class: "prose" }, typed(route.description))
      : null;
  return h(
    "details",
    { class: "route", id: route.operationId ?? `${method}-${path}` },
    h(
      "summary",
      {},
      h("span", { class: `method ${method}` }, method.toUpperCase()),
      h("code", { class: "path" }, path),
      h("span", { class: "short" }, route.summary ?? ""),
    ),
    h(
      "div",
      { class: "route-body" },
      about,
      parameters.length
        ? [
            h("h3", {}, m.reference.query),
            table(
              parameters.map((/** @type {Schema} */ one) => ({
                name: one.name,
                schema: one.schema ?? {},
                required: one.required ?? false,
                about: one.description ?? one.schema?.description ?? "",
              })),
            ),
          ]
        : null,
      body ? [h("h3", {}, [m.reference.body, typeWords(body)].join(" · ")), fields(body, document)] : null,
      h("h3", {}, m.reference.answers),
      answers.map(([status, one]) =>
        answer(status, followed(/** @type {Schema} */ (one), document), document),
      ),
    ),
  );
}

/** @param {string} status @param {Schema} said @param {Schema} document */
function answer(status, said, document) {
  const schema = firstSchema(said.content);
  const line = h(
    "p",
    { class: "small" },
    h("strong", {}, status),
    ` ${said.description ?? ""}`,
    schema ? h("span", { class: "dim" }, ` · ${typeWords(schema)}`) : null,
  );
  return status.startsWith("2") && schema ? [line, fields(schema, document)] : line;
}

/** @param {Schema} document */
function groups(document) {
  /** @type {Map<string, {method: string, path: string, route: Schema}[]>} */
  const found = new Map();
  for (const [path, item] of Object.entries(document.paths ?? {})) {
    for (const method of METHODS.filter((name) => name in item)) {
      const name = item[method].tags?.[0] ?? m.reference.otherGroup;
      found.set(name, [...(found.get(name) ?? []), { method, path, route: item[method] }]);
    }
  }
  return found;
}

/** Open the route that the address names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(named instanceof HTMLDetailsElement)) return;
  named.open = true;
  named.scrollIntoView({ block: "start" });
}

async function build() {
  const main = h("main", { class: "ref-main" }, h("h1", {}, m.reference.title));
  const index = h("nav", { class: "ref-index", "aria-label": m.reference.index });
  const top = h(
    "header",
    { class: "ref-top" },
    h("a", { href: "/", "aria-label": m.reference.back }, mark(26), h("span", { class: "title" }, m.app)),
  );
  document.body.replaceChildren(top, h("div", { class: "ref" }, index, main));
  const response = await fetch("/openapi.json").catch(() => null);
  if (!response?.ok)
    return main.append(
      remedy(m.reference.failed, "", h("a", { class: "button", href: "/signin" }, m.error.signIn)),
    );
  const api = await response.json();
  for (const [name, routes] of groups(api)) {
    main.append(
      h("h2", {}, name),
      ...routes.map(({ method, path, route }) => routeCard(method, path, route, api)),
    );
    index.append(
      h(
        "section",
        {},
        h("h2", {}, name),
        routes.map(({ method, path, route }) =>
          h(
            "a",
            { href: `#${route.operationId ?? `${method}-${path}`}` },
            h("span", { class: `method ${method}` }, method.toUpperCase()),
            " ",
            path.replace("/api/v1", ""),
          ),
        ),
      ),
    );
  }
  fill(
    /** @type {Element} */ (main.firstElementChild),
    [m.reference.title, api.info?.version].filter(Boolean).join(" "),
  );
  addEventListener("hashchange", openNamed);
  openNamed();
}

build();
