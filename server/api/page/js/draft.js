/** What the form holds: kept on this device through reload, error and sign-out. */

/** @import { Model, Parameter, Picture, Request, Size, Source } from "./types.js" */
/** @import { Catalogue } from "./catalogue.js" */

const KEPT = "greenroom.draft";

/** Declared parameters with a place of their own in the form; the rest are under Advanced. */
const OWN_PLACE = ["image", "strength"];

/** `change` after any field did. */
export class Draft extends EventTarget {
  /** @param {Catalogue} catalogue */
  constructor(catalogue) {
    super();
    this.catalogue = catalogue;
    this.prompt = "";
    /** @type {string|null} null: the server's default */
    this.model = null;
    /** @type {string|null} width x height; null: the model's first */
    this.size = null;
    this.count = 1;
    /** @type {string|null} */
    this.style = null;
    /** @type {number|null} */
    this.seed = null;
    /** @type {Record<string, string|number>} declared parameters that were changed */
    this.values = {};
    /** @type {Source|null} */
    this.source = null;
    this.#restore();
  }

  /** @param {Partial<Draft>} fields */
  set(fields) {
    Object.assign(this, fields);
    this.#keep();
    this.dispatchEvent(new Event("change"));
  }

  /** @param {string} name @param {string|number|null} value null: the model's own */
  setValue(name, value) {
    const { [name]: _old, ...others } = this.values;
    this.set({ values: value === null ? others : { ...others, [name]: value } });
  }

  /** @returns {Model|undefined} */
  get chosenModel() {
    const chosen = this.catalogue.find(this.model);
    return chosen?.state === "ready" ? chosen : this.catalogue.fallback;
  }

  /** @returns {Size|undefined} */
  get chosenSize() {
    const sizes = this.chosenModel?.sizes ?? [];
    return sizes.find((size) => sizeKey(size) === this.size) ?? sizes[0];
  }

  /** @param {string} name */
  value(name) {
    const declared = parameter(this.chosenModel, name);
    return this.values[name] ?? declared?.default ?? null;
  }

  /** What is sent: only what the model declares, only what differs from its own. @returns {Request} */
  request() {
    const model = this.chosenModel;
    const size = this.chosenSize;
    /** @type {Request} */
    const request = { prompt: this.prompt.trim(), num_images: this.count };
    if (model) request.model = model.id;
    if (size) Object.assign(request, { width: size.width, height: size.height });
    if (this.seed !== null) request.seed = this.seed;
    if (model?.styles.some((style) => style.id === this.style)) request.style = this.style;
    for (const declared of advanced(model)) {
      const value = this.values[declared.name];
      if (fits(value, declared)) request[declared.name] = value;
    }
    if (this.source && parameter(model, "image")) {
      request.image = this.source.id;
      if (parameter(model, "strength")) request.strength = this.value("strength");
    }
    return request;
  }

  /**
   * Take over the settings a picture was drawn with, as far as its model still takes them.
   * @param {Picture} picture
   */
  reuse(picture) {
    const { recipe } = picture;
    const model = this.catalogue.find(recipe.model);
    /** @type {Record<string, string|number>} */
    const values = {};
    for (const declared of advanced(model)) {
      const value = /** @type {any} */ (recipe)[declared.name];
      if (value !== null && value !== undefined && value !== declared.default) values[declared.name] = value;
    }
    // The recipe's prompt already holds the style's words, so no style on top.
    const fields = { prompt: recipe.prompt, model: recipe.model, size: sizeKey(recipe), seed: recipe.seed };
    this.set({ ...fields, values, style: null, count: 1 });
  }

  #restore() {
    try {
      Object.assign(this, JSON.parse(localStorage.getItem(KEPT) ?? "{}"));
    } catch {
      // Storage is switched off or holds something else: begin with an empty form.
    }
  }

  #keep() {
    const { prompt, model, size, count, style, seed, values, source } = this;
    try {
      localStorage.setItem(KEPT, JSON.stringify({ prompt, model, size, count, style, seed, values, source }));
    } catch {
      // Storage is full or switched off: the form still works until the page is closed.
    }
  }
}

/** @param {{width: number, height: number}} size */
export const sizeKey = (size) => `${size.width}x${size.height}`;

/** @param {Model|undefined} model @param {string} name */
export const parameter = (model, name) => model?.parameters.find((declared) => declared.name === name);

/** @param {Model|undefined} model @returns {Parameter[]} */
export const advanced = (model) =>
  (model?.parameters ?? []).filter(
    (declared) => !OWN_PLACE.includes(declared.name) && declared.type !== "image",
  );

/**
 * A value kept from another model is only sent where this one takes it.
 * @param {string|number|undefined} value
 * @param {Parameter} declared
 */
function fits(value, declared) {
  if (value === undefined || value === "") return false;
  if (declared.options.length) return declared.options.includes(String(value));
  if (typeof value !== "number") return declared.type === "string";
  return value >= (declared.minimum ?? -Infinity) && value <= (declared.maximum ?? Infinity);
}
