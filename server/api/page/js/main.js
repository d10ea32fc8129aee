/** The plain page: builds every part once and ties them together. */

/** @import { Estimate, Picture, Request } from "./types.js" */
/** @import { Place } from "./shell.js" */

import { addressPage } from "./address.js";
import * as api from "./api.js";
import { Catalogue } from "./catalogue.js";
import { fill, h } from "./dom.js";
import { Draft } from "./draft.js";
import { Feed } from "./feed.js";
import { form } from "./form.js";
import { gallery } from "./gallery.js";
import { Jobs } from "./jobs.js";
import { m } from "./messages.js";
import { modelsPage } from "./models.js";
import { button, remedy, toast } from "./parts.js";
import { PLACES, shell } from "./shell.js";
import { stage } from "./stage.js";
import { viewer } from "./viewer.js";

/**
 * What all parts share. `change` when the server went or came back or an upload began or ended,
 * `submitted` after a job was sent, `removed` with the picture that is gone, `go` before another place.
 */
export class App extends EventTarget {
  constructor() {
    super();
    this.feed = new Feed("/api/v1/events");
    this.jobs = new Jobs(this.feed);
    this.catalogue = new Catalogue();
    this.draft = new Draft(this.catalogue);
    /** Where the form says what went wrong. */
    this.trouble = h("div", { class: "contents" });
    this.announcer = h("div", { class: "sr", role: "status" });
    this.away = false;
    this.uploads = 0;
    /** @type {Estimate|null} */
    this.estimate = null;
    /** @type {((event: KeyboardEvent) => boolean)|null} keys of what is on stage */
    this.keyed = null;
    this.#viewer = viewer(this);
  }

  #viewer;
  /** @type {{request: Request, key: string}|null} kept until an answer came: sent again, it is the same job */
  #unanswered = null;

  /** @param {Picture} picture @param {Picture[]} among */
  view(picture, among) {
    this.#viewer.open(picture, among);
  }

  get dialog() {
    return this.#viewer.element;
  }

  /** @param {string} words told to screen readers only */
  say(words) {
    this.announcer.textContent = words;
  }

  /** @param {Place} place */
  go(place) {
    this.dispatchEvent(new Event("go"));
    location.hash = place;
  }

  /** @param {boolean} begun */
  uploading(begun) {
    this.uploads += begun ? 1 : -1;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Picture} picture that was deleted */
  removed(picture) {
    this.draft.forget(picture.id);
    this.dispatchEvent(new CustomEvent("removed", { detail: picture }));
  }

  /** Why Generate cannot be pressed now, or null. */
  blocked() {
    if (!this.draft.chosenModel) return this.#noModel();
    if (this.draft.prompt.trim() === "") return m.form.promptFirst;
    if (this.uploads > 0) return m.form.waitUpload;
    if (this.draft.lacksPictures) return m.form.fillFirst;
    return null;
  }

  #noModel() {
    if (!this.catalogue.read) return "";
    return this.catalogue.fetching ? m.form.modelComes : m.form.modelFirst;
  }

  generate() {
    if (this.blocked() === null) this.draw(this.draft.request());
  }

  /** @param {string} words a prompt to begin with */
  idea(words) {
    this.draft.set({ prompt: words });
    document.getElementById("prompt")?.focus();
  }

  /** @param {Request} request */
  async draw(request) {
    const same = JSON.stringify(this.#unanswered?.request) === JSON.stringify(request);
    const { key } = same && this.#unanswered ? this.#unanswered : { key: newKey() };
    this.#unanswered = { request, key };
    fill(this.trouble);
    const job = await this.attempt(
      () => api.submit(request, key),
      () => this.draw(request),
    );
    if (!job) return;
    this.#unanswered = null;
    this.jobs.add(job);
    this.dispatchEvent(new Event("submitted"));
    document.querySelector(".create")?.scrollTo({ top: 0 });
  }

  /**
   * Do something that may fail; a failure is said beside the form, with one way on.
   * @template T
   * @param {() => Promise<T>} act
   * @param {() => void} [again]
   * @returns {Promise<T|undefined>}
   */
  async attempt(act, again) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof api.Problem) this.#tell(error, again);
      else if (/** @type {Error} */ (error).name !== "AbortError") throw error;
      return undefined;
    }
  }

  /** @param {api.Problem} problem @param {() => void} [again] */
  #tell(problem, again) {
    if (problem.code === "unauthorized") return; // said by the session's own box
    if (problem.code === "away") this.feed.start(); // finds out, and says when it is tried again
    const title = m.errors[problem.code] ?? m.error.other(problem.title);
    const line = problem.code === "queue-full" ? m.error.queueLine(problem.retryAfter ?? 10) : problem.detail;
    if (location.hash && location.hash !== "#create") return toast(title);
    fill(this.trouble, remedy(title, line, this.#way(problem, again)));
  }

  /** @param {api.Problem} problem @param {() => void} [again] */
  #way(problem, again) {
    const done = (/** @type {() => void} */ act) => () => {
      fill(this.trouble);
      act();
    };
    if (problem.code.startsWith("model-"))
      return button(
        m.error.openModels,
        done(() => this.go("models")),
      );
    if (again && problem.code !== "request-refused" && problem.code !== "invalid-request")
      return button(m.error.tryAgain, done(again));
    return button(
      m.error.dismiss,
      done(() => undefined),
    );
  }
}

/** Not crypto.randomUUID: that is missing where the page is read over plain http from elsewhere. */
function newKey() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {App} app */
function build(app) {
  const create = h("section", { class: "create", "aria-label": m.places.create }, form(app), stage(app));
  const pages = {
    create: { element: create, enter: () => undefined },
    gallery: gallery(app),
    models: modelsPage(app),
    api: addressPage(app),
  };
  const room = h(
    "main",
    { class: "room", id: "room", tabindex: -1 },
    Object.values(pages).map((page) => page.element),
  );
  const { element, at } = shell(app, room);
  const here = () => PLACES.find((place) => location.hash === `#${place}`) ?? "create";
  function enter() {
    for (const place of PLACES) pages[place].element.hidden = place !== here();
    at(here());
    pages[here()].enter();
  }
  addEventListener("hashchange", enter);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      if (here() === "create" && !document.querySelector("dialog[open]")) app.generate();
      return;
    }
    const field = /** @type {Element} */ (event.target).closest(
      "input:not([type=radio]), textarea, select, dialog",
    );
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    const keyed =
      here() === "gallery" ? pages.gallery.keyed(event) : here() === "create" && app.keyed?.(event);
    if (keyed) event.preventDefault();
  });
  document.body.replaceChildren(element, app.dialog, app.announcer);
  enter();
}

/** Say that the server is away, count down, and take the box off when it is back. @param {App} app */
function watch(app) {
  const box = h("div", { class: "contents" });
  app.trouble.before(box);
  const line = h("span", {});
  const count = () => {
    const seconds = Math.max(0, Math.ceil(((app.feed.retryAt ?? 0) - Date.now()) / 1000));
    line.textContent = seconds ? m.error.awayLine(seconds) : m.error.awayNow;
  };
  let timer = 0;
  app.feed.addEventListener("away", () => {
    // A stream may end by itself, as at a restart; only a second failure is worth a word.
    if (app.feed.failures < 2 || over) return;
    if (!app.away)
      fill(
        box,
        h(
          "div",
          { class: "remedy", role: "alert" },
          h("span", {}, h("strong", {}, m.errors.away), " ", line),
          button(m.error.tryNow, () => app.feed.start()),
        ),
      );
    app.away = true;
    clearInterval(timer);
    timer = setInterval(count, 500);
    count();
    app.dispatchEvent(new Event("change"));
  });
  app.feed.addEventListener("open", () => {
    if (!app.away) return;
    app.away = false;
    clearInterval(timer);
    fill(box);
    app.catalogue.refresh();
    app.dispatchEvent(new Event("change"));
  });
  let over = false;
  api.session.addEventListener("over", () => {
    if (over) return;
    over = true;
    app.feed.stop();
    const signIn = h("a", { class: "button", href: "/signin" }, m.error.signIn);
    fill(
      box,
      h(
        "div",
        { class: "remedy", role: "alert" },
        h("span", {}, h("strong", {}, m.errors.unauthorized), " ", m.error.signedOut),
        signIn,
      ),
    );
  });
  // A browser allows few connections to one server over all tabs: hidden ones give theirs back.
  document.addEventListener("visibilitychange", () => {
    if (over) return;
    if (document.hidden) app.feed.stop();
    else app.feed.start();
  });
}

const app = new App();
build(app);
watch(app);
app.feed.start();
app.catalogue.refresh();
