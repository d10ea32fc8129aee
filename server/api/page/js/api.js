/** Calls to the server. Every failure is a `Problem` with a stable code. */

/** @import { Estimate, Job, JobState, Model, Picture, Request, Worker } from "./types.js" */

/** What went wrong, as RFC 9457 problems say it; `away` when no answer came at all. */
export class Problem extends Error {
  /**
   * @param {string} code
   * @param {string} title
   * @param {string} detail
   * @param {number} [retryAfter] seconds
   */
  constructor(code, title, detail, retryAfter) {
    super(detail || title);
    this.code = code;
    this.title = title;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

/** Told once for each answer that says the session is over. */
export const session = new EventTarget();

/**
 * @param {string} method
 * @param {string} path
 * @param {{json?: unknown, form?: FormData, headers?: Record<string, string>, signal?: AbortSignal}} [what]
 */
export async function send(method, path, what = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...what.headers };
  if (what.json !== undefined) headers["Content-Type"] = "application/json";
  const body = what.json === undefined ? what.form : JSON.stringify(what.json);
  let response;
  try {
    response = await fetch(path, { method, headers, body, signal: what.signal });
  } catch (error) {
    if (what.signal?.aborted) throw error;
    throw new Problem("away", "", "");
  }
  if (response.ok) return response;
  throw await problem(response);
}

/** @param {Response} response */
export async function problem(response) {
  const said = await response.json().catch(() => ({}));
  const code =
    String(said.type ?? "")
      .split("/")
      .pop() || `http-${response.status}`;
  if (response.status === 401) session.dispatchEvent(new Event("over"));
  const wait = Number(response.headers.get("Retry-After")) || undefined;
  return new Problem(code, said.title ?? response.statusText, said.detail ?? "", wait);
}

/** @param {string} path @param {AbortSignal} [signal] */
const read = async (path, signal) => (await send("GET", path, { signal })).json();

/** @param {Record<string, string|number|null|undefined>} values */
function query(values) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) if (value) search.set(name, String(value));
  return search.size ? `?${search}` : "";
}

/** @returns {Promise<Model[]>} */
export const models = async () => items(await read("/api/v1/models"));

/** Begin to fetch a model's files; how far it is stands in the list. @param {string} id */
export const pull = (id) => send("POST", `/api/v1/models/${id}/pull`);

/** @returns {Promise<Worker[]>} */
export const workers = async () => items(await read("/api/v1/workers"));

/** @param {any} answer a list in pieces, or a bare one */
const items = (answer) => (Array.isArray(answer) ? answer : answer.items);

/**
 * @param {Request} request
 * @param {string} key sent again with the same request: the same job, never two
 * @returns {Promise<Job>}
 */
export async function submit(request, key) {
  const headers = { "Idempotency-Key": key };
  return (await send("POST", "/api/v1/jobs", { json: request, headers })).json();
}

/** @param {Request} request @param {AbortSignal} signal @returns {Promise<Estimate>} */
export const estimate = async (request, signal) =>
  (await send("POST", "/api/v1/estimates", { json: request, signal })).json();

/** @param {string} id @returns {Promise<Job>} */
export const job = (id) => read(`/api/v1/jobs/${id}`);

/** @param {string} id @returns {Promise<Job>} */
export const cancel = async (id) => (await send("DELETE", `/api/v1/jobs/${id}`)).json();

/** Work that is not done yet, newest first. @returns {Promise<Job[]>} */
export async function liveJobs() {
  const states = /** @type {JobState[]} */ (["queued", "running"]);
  return items(await read(`/api/v1/jobs${query({ state: states.join(","), limit: 50 })}`));
}

/**
 * @param {{cursor?: string|null, query?: string, limit?: number}} what
 * @param {AbortSignal} [signal]
 * @returns {Promise<{items: Picture[], next_cursor: string|null}>}
 */
export const images = (what, signal) => read(`/api/v1/images${query({ limit: 60, ...what })}`, signal);

/** @param {string} id */
export const remove = (id) => send("DELETE", `/api/v1/images/${id}`);

/**
 * @param {Blob} file
 * @param {string} name
 * @returns {Promise<{id: string, width: number, height: number, url: string}>}
 */
export async function upload(file, name) {
  const form = new FormData();
  form.append("file", file, name);
  return (await send("POST", "/api/v1/uploads", { form })).json();
}

/**
 * @param {Picture} picture
 * @param {256|512} size
 */
export function thumbnail(picture, size) {
  const url = new URL(picture.thumbnail_url, location.origin);
  url.searchParams.set("size", String(size));
  return url.pathname + url.search;
}
