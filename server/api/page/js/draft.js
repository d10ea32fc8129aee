/** What the form holds: kept on this device through reload, error and sign-out. */

/** @import { Model, Parameter, Picture, Request, Size, Source } from "./types.js" */
/** @import { Catalogue } from "./catalogue.js" */

const KEPT = "greenroom.draft";

/** Declared parameters that are not under Advanced: pictures have a place of their own in the form,
 * and adapters have none yet. */
const OWN_PLACE = ["strength"];
const OWN_TYPES = ["image", "images", "outpaint", "pair", "adapters"];

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
    /** @type {Source|null} belongs to the source: white is drawn anew */
    this.mask = null;
    /** @type {Source[]} */
    this.references = [];
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
    return sizes.find((size) => sizeKey(size) === this.size) ?? suiting(sizes, this.#first);
  }

  /** The picture whose shape is followed until somebody chooses one. */
  get #first() {
    if (this.mostReferences) return this.references[0];
    return parameter(this.chosenModel, "image") ? this.source : null;
  }

  /** @param {string} name */
  value(name) {
    const declared = parameter(this.chosenModel, name);
    return this.values[name] ?? declared?.default ?? null;
  }

  /** How many references the model looks at. */
  get mostReferences() {
    const declared = parameter(this.chosenModel, "references");
    return declared ? (declared.maximum ?? 1) : 0;
  }

  /** With a mask all of it is drawn anew unless somebody says otherwise, as the server has it. */
  get strength() {
    const declared = parameter(this.chosenModel, "strength");
    const full = this.mask && this.chosenModel?.task === "text";
    return Number(this.values.strength ?? (full ? (declared?.maximum ?? 1) : declared?.default));
  }

  /** @param {Source} picture to start from or, where the model looks at pictures, to look at */
  takePicture(picture) {
    if (this.mostReferences === 0) this.set({ source: picture, mask: null });
    else this.set({ references: [...this.references, picture].slice(-this.mostReferences) });
  }

  /** @param {string} id of a picture that is gone */
  forget(id) {
    if (this.source?.id === id) this.set({ source: null, mask: null });
    if (this.references.some((one) => one.id === id))
      this.set({ references: this.references.filter((one) => one.id !== id) });
  }

  /** What is sent: only what the model declares, only what differs from its own. @returns {Request} */
  request() {
    const model = this.chosenModel;
    const size = this.chosenSize;
    /** @type {Request} */
    const request = { prompt: this.prompt.trim(), num_images: this.count };
    if (model) request.model = model.id;
    if (size) Object.assign(request, { width: size.width, height: size.height });
    if (this.seed !== null && takesSeed(model)) request.seed = this.seed;
    if (model?.styles.some((style) => style.id === this.style)) request.style = this.style;
    Object.assign(request, this.#sent(model?.parameters));
    const options = this.#sent(model?.remote?.options);
    if (Object.keys(options).length) request.options = options;
    return { ...request, ...this.#pictures(model) };
  }

  /** Whether the model repaints, and has no picture or no mask for it yet. */
  get lacksPictures() {
    return this.chosenModel?.task === "fill" && !(this.source && this.mask);
  }

  /** The fields under Advanced that were changed. @param {Parameter[]|undefined} declared */
  #sent(declared) {
    const shown = fields(declared).filter((one) => fits(this.values[one.name], one));
    return Object.fromEntries(shown.map((one) => [one.name, this.values[one.name]]));
  }

  /** @param {Model|undefined} model @returns {Partial<Request>} */
  #pictures(model) {
    const { source, mask, references, mostReferences, values } = this;
    /** @type {Partial<Request>} */
    const pictures = {};
    if (source && parameter(model, "image")) {
      pictures.image = source.id;
      if (mask && parameter(model, "mask")) pictures.mask = mask.id;
      if (values.strength !== undefined && parameter(model, "strength")) pictures.strength = values.strength;
    }
    if (references.length && mostReferences)
      pictures.references = references.slice(0, mostReferences).map((one) => one.id);
    return pictures;
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
      const value = recipe.options[declared.name] ?? /** @type {any} */ (recipe)[declared.name];
      if (value !== null && value !== undefined && value !== declared.default) values[declared.name] = value;
    }
    // The recipe's prompt already holds the style's words, so no style on top. Adapters have no
    // place in the form, so they are named in the prompt.
    const tags = recipe.adapters.map((one) => ` <lora:${one.id}:${one.weight}>`).join("");
    const prompt = recipe.prompt + tags;
    const seed = recipe.remote?.seeded === false ? null : recipe.seed;
    const kept = { prompt, model: recipe.model, size: sizeKey(recipe), seed };
    this.set({ ...kept, values, style: null, count: 1 });
  }

  #restore() {
    try {
      Object.assign(this, JSON.parse(localStorage.getItem(KEPT) ?? "{}"));
    } catch {
      // Storage is switched off or holds something else: begin with an empty form.
    }
  }

  #keep() {
    const { prompt, model, size, count, style, seed, values, source, mask, references } = this;
    const kept = { prompt, model, size, count, style, seed, values, source, mask, references };
    try {
      localStorage.setItem(KEPT, JSON.stringify(kept));
    } catch {
      // Storage is full or switched off: the form still works until the page is closed.
    }
  }
}

/** @param {{width: number, height: number}} size */
export const sizeKey = (size) => `${size.width}x${size.height}`;

/**
 * The size whose shape is nearest to the picture's, as the server has it; the first without one.
 * @param {Size[]} sizes @param {Source|null|undefined} picture
 */
function suiting(sizes, picture) {
  if (!picture?.width) return sizes[0];
  const wanted = Math.log(picture.width / picture.height);
  const far = (/** @type {Size} */ size) => Math.abs(Math.log(size.width / size.height) - wanted);
  return sizes.reduce((best, size) => (far(size) < far(best) ? size : best), sizes[0]);
}

/** @param {Model|undefined} model @param {string} name */
export const parameter = (model, name) => model?.parameters.find((declared) => declared.name === name);

/** @param {Model|undefined} model @returns {Parameter[]} */
export const advanced = (model) => [...fields(model?.parameters), ...fields(model?.remote?.options)];

/** @param {Model|undefined} model */
export const takesSeed = (model) => !model?.remote || model.remote.max_seed !== null;

/** @param {Parameter[]|undefined} declared */
const fields = (declared = []) =>
  declared.filter((one) => !OWN_PLACE.includes(one.name) && !OWN_TYPES.includes(one.type));

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
