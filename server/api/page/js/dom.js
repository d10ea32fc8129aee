/** A few words for building elements. Text is always text: nothing here reads HTML. */

import { paths } from "./icons.js";

/** @typedef {Node|string|number|null|undefined|false|Nested} Child */
/** @typedef {{[index: number]: Child} & Iterable<any>} Nested */

/**
 * Make an element. `on…` properties listen, `value`, `checked` and the like are set as properties,
 * the rest are attributes; null and false leave one out, true makes it empty.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) /** @type {any} */ (element)[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...shown(children));
  return element;
}

const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "textContent", "hidden"]);

/** @param {Child[]} children */
function shown(children) {
  const flat = /** @type {any[]} */ (children.flat(Infinity));
  return flat
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === "number" ? String(child) : /** @type {Node|string} */ (child)));
}

/**
 * Replace what is inside `parent`.
 * @param {Element} parent
 * @param {...Child} children
 */
export function fill(parent, ...children) {
  parent.replaceChildren(...shown(children));
}

/**
 * Set custom properties. The content policy forbids style attributes, so it goes through the CSSOM.
 * @template {HTMLElement|SVGElement} T
 * @param {T} element
 * @param {Record<string, string|number>} values
 * @returns {T}
 */
export function vars(element, values) {
  for (const [name, value] of Object.entries(values)) element.style.setProperty(name, String(value));
  return element;
}

/**
 * @param {string} name
 * @param {Record<string, string|number>} attributes
 * @param {...SVGElement} children
 */
export function svg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/**
 * @param {keyof typeof paths} name
 * @param {number} [size]
 */
export function icon(name, size = 18) {
  const drawn = paths[name].map((d) => svg("path", { d }));
  const box = { class: "icon", width: size, height: size, viewBox: "0 0 24 24", "aria-hidden": "true" };
  return svg("svg", box, ...drawn);
}

/**
 * A button that is an icon alone; its name is read out and shown on hover.
 * @param {keyof typeof paths} name
 * @param {string} label
 * @param {Record<string, any>} properties
 */
export function iconButton(name, label, properties) {
  return h(
    "button",
    { type: "button", class: "icon-button", "aria-label": label, title: label, ...properties },
    icon(name),
  );
}
