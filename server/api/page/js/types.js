/**
 * What the API sends, as far as the page reads it. Types only: nothing here runs.
 *
 * @typedef {{name: string, type: "integer"|"number"|"string"|"choice"|"image"|"images"|
 *   "pair"|"outpaint"|"adapters",
 *   default: string|number|boolean|null, minimum: number|null, maximum: number|null,
 *   step: number|null, options: string[], description: string}} Parameter
 * @typedef {{width: number, height: number, aspect_ratio: string}} Size
 * @typedef {{id: string, name: string}} Style
 * @typedef {{id: string, name: string, family: string, task: "text"|"fill"|"edit", provider: string,
 *   description: string,
 *   specialties: string[], licence: string, gated: boolean, demonstration: boolean,
 *   needs_vram_gib: number|null, parameters: Parameter[], sizes: Size[], styles: Style[],
 *   remote: {service: string, service_model: string, options: Parameter[], max_seed: number|null}|null,
 *   state: "ready"|"missing"|"unpinned"|"unsupported"|"broken", reason: string|null, loaded: boolean,
 *   is_default: boolean, pull: {state: "running"|"failed", done_bytes: number,
 *   total_bytes: number|null, error: string|null}|null}} Model
 * @typedef {{code: string, title: string, detail: string}} JobError
 * @typedef {{prompt: string, negative_prompt: string|null, width: number, height: number,
 *   seed: number, model: string, num_inference_steps: number|null, guidance_scale: number|null,
 *   true_cfg_scale: number|null, scheduler: string|null, strength: number|null,
 *   adapters: {id: string, weight: number}[], max_sequence_length: number|null,
 *   options: Record<string, string|number|boolean>, engine: {device: string}|null,
 *   remote: {provider: string, model: string, seeded: boolean}|null}} Recipe
 * @typedef {{id: string, job_id: string, index: number, width: number, height: number,
 *   seed: number, prompt: string, model: string, duration_seconds: number, format: string,
 *   size_bytes: number, recipe: Recipe, cost: Money|null, created_at: string, url: string,
 *   thumbnail_url: string}} Picture
 * @typedef {"queued"|"running"|"succeeded"|"failed"|"cancelled"} JobState
 * @typedef {{id: string, state: JobState, request: Request, resolved: {model: string,
 *   width: number, height: number, num_images: number, num_inference_steps: number|null, seed: number},
 *   place: number|null, step: number, total_steps: number, eta_seconds: number|null,
 *   created_at: string, started_at: string|null, finished_at: string|null,
 *   images: Picture[], error: JobError|null}} Job
 * @typedef {{prompt: string, model?: string|null, width?: number, height?: number,
 *   num_images?: number, seed?: number|null, style?: string|null, image?: string,
 *   [parameter: string]: any}} Request
 * @typedef {{micros: number, currency: string}} Money
 * @typedef {{seconds: number|null, waiting_seconds: number|null, place: number,
 *   cost: Money|null, cost_basis: string, credits: number|null}} Estimate
 * @typedef {{id: string, device: string, state: string, in_flight: number}} Worker
 * @typedef {{id: string, url: string, name: string, width: number, height: number}} Source
 * @typedef {{id: number, type: string, job_id: string, image: Picture|null,
 *   error: JobError|null}} StateEvent
 * @typedef {{job_id: string, index: number, step: number, total_steps: number,
 *   eta_seconds: number|null}} ProgressEvent
 * @typedef {{job_id: string, index: number, media_type: string, data: string}} PreviewEvent
 */

export {};
