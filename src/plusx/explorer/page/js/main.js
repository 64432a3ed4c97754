/** The page: the address holds the state, Python answers for it, and everything is drawn anew from the answer. */

import { renderCopy } from "./copy.js";
import { byId, h, rove, show } from "./dom.js";
import { DETAILS, renderDrawing, revealSelected } from "./drawing.js";
import { createEngine } from "./engine.js";
import { renderPlace } from "./field.js";
import { renderDiff, renderGeometry, renderTotals } from "./numbers.js";
import { firstState, readState, writeState } from "./state.js";
import { renderSwitches } from "./switches.js";
import { renderTour } from "./tour.js";

/**
 * @typedef {import("./types.js").State} State
 * @typedef {import("./types.js").View} View
 * @typedef {import("./drawing.js").At} At
 * @typedef {{push?: boolean, set?: string, typing?: boolean, reveal?: boolean}} How
 */

const TYPING_MS = 250;

class Page {
  /** @param {import("./types.js").About} about */
  constructor(about) {
    this.about = about;
    this.defaults = firstState(about.net);
    this.state = readState(location.hash, this.defaults);
    this.engine = createEngine(about, (loading) => this.said(loading ? this.say("loading") : "", loading));
    /** @type {import("./types.js").Texts} */
    this.texts = { language: "", words: {}, presets: [], tour: [] };
    /** @type {View | null} */
    this.view = null;
    /** @type {import("./switches.js").Refused} */
    this.refused = null;
    this.asked = 0;
    /** The step that is being taken. */
    this.last = Promise.resolve();
    /** Resolves when no pointer is pressed. */
    this.released = Promise.resolve();
    /** Whether the line being written has made its step of the history already. */
    this.typed = false;
    /** What the card of the selected place shows. @type {{place: import("./types.js").Place | undefined} | null} */
    this.placed = null;
    /** @type {import("./types.js").Say} */
    this.say = (key, values = {}) =>
      (this.texts.words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
  }

  /**
   * The next state: asks for its view, and shows it. A refused question leaves everything as it is, with the message in its
   * place. `push` makes a step of the browser's history. Steps follow each other, each from the state that the one before left.
   *
   * @param {Partial<State>} patch
   * @param {How} [how]
   * @returns {Promise<void>}
   */
  go(patch, how = {}) {
    const turn = ++this.asked;
    document.body.setAttribute("aria-busy", "true");
    this.last = this.last.then(async () => {
      if (!how.typing || turn === this.asked) await this.step(patch, how);
      if (turn === this.asked) document.body.removeAttribute("aria-busy");
    });
    return this.last;
  }

  /**
   * @param {Partial<State>} patch
   * @param {How} how
   */
  async step(patch, { push = true, set = "", typing = false, reveal = false }) {
    const wanted = { ...this.state, ...patch };
    try {
      if (this.texts.language !== wanted.lang) {
        this.texts = await (await fetch(`texts-${wanted.lang}.json`)).json();
        this.translate(wanted.lang);
      }
      const { net, size, detail, pin, lang } = wanted;
      const view = await this.engine.view({ net, size, detail, pin, lang, set });
      await this.released; // what is drawn anew under a pressed button would lose its click
      if ("error" in view) this.refuse(view, set);
      else this.accept({ ...wanted, net: view.text }, view, { push, typing, reveal });
    } catch (error) {
      console.error(error);
      this.said(this.say("failed"), true);
    }
  }

  /**
   * @param {import("./types.js").Wrong} wrong
   * @param {string} set
   */
  refuse(wrong, set) {
    const key = wrong.of === "set" ? set.split("=")[0] : wrong.of === "size" ? "size" : "";
    if (key && this.view) {
      this.refused = { key, message: wrong.error };
      this.renderSwitches();
    } else {
      byId("line-error").textContent = wrong.error;
      byId("line").setAttribute("aria-invalid", "true");
    }
  }

  /**
   * @param {State} state
   * @param {View} view
   * @param {{push: boolean, typing: boolean, reveal: boolean}} how
   */
  accept(state, view, { push, typing, reveal }) {
    if (state.size === String(view.preset_size)) state.size = "";
    const address = writeState(state, this.defaults);
    if (address !== location.hash) {
      history[push && !(typing && this.typed) ? "pushState" : "replaceState"](null, "", address);
      this.typed = typing;
    }
    this.state = state;
    this.view = view;
    this.refused = null;
    this.render(typing);
    if (reveal) revealSelected(byId("canvas"));
  }

  /** @param {boolean} typing whether the line is being written, so it is left alone */
  render(typing) {
    const { state, say } = this;
    const view = /** @type {View} */ (this.view);
    const line = /** @type {HTMLInputElement} */ (byId("line"));
    if (!typing) line.value = view.text;
    line.removeAttribute("aria-invalid");
    byId("line-error").textContent = "";
    document.documentElement.dataset.theme = state.theme;
    document.title = `${view.text} · plusx`;
    document.body.classList.toggle("comparing", Boolean(view.pinned));
    byId("pin").setAttribute("aria-pressed", String(Boolean(state.pin)));
    this.renderSwitches();
    this.renderZoom();
    this.renderDrawing();
    this.renderComparison();
    this.renderPlace();
    renderTotals(byId("totals"), view, say, state.lang, (name) => this.go({ place: this.drawn(name), cell: "" }, { reveal: true }));
    renderGeometry(byId("geometry"), view, say);
    renderDiff(byId("diff"), view, say);
    renderCopy(byId("copy-menu"), view, say, {
      svg: () => this.engine.svg({ net: state.net, size: state.size, detail: state.detail, pin: state.pin, lang: state.lang, theme: state.theme }),
      said: (text) => this.said(text),
      name: view.text.replace(/[^\w.-]+/g, "-"),
    });
    renderTour(byId("tour"), this.texts.tour, state.step, say, (step) => this.tour(step));
    this.renderLive();
  }

  renderSwitches() {
    const view = /** @type {View} */ (this.view);
    renderSwitches(byId("switches"), view, this.state, this.texts, this.say, this.refused, (key, value) => {
      if (key === "size") this.go({ size: value, cell: "", step: 0 });
      else this.go({ cell: "", step: 0 }, { set: `${key}=${value}` });
    });
  }

  renderZoom() {
    const buttons = DETAILS.map((detail) =>
      h(
        "button",
        {
          type: "button",
          role: "radio",
          id: `zoom-${detail}`,
          class: "chip",
          "aria-checked": String(detail === this.state.detail),
          tabindex: detail === this.state.detail ? 0 : -1,
          onclick: () => this.go({ detail }),
        },
        this.say(detail),
      ),
    );
    const host = byId("zoom");
    host.setAttribute("aria-label", this.say("zoom"));
    host.onkeydown = (event) => void rove(event, buttons);
    show(host, ...buttons);
  }

  renderDrawing() {
    const view = /** @type {View} */ (this.view);
    renderDrawing(byId("canvas"), view, this.state.place, this.say("drawing.help"), {
      select: ({ name, pinned }) => {
        if (pinned) this.renderPlace({ name, pinned });
        else this.go({ place: name, cell: "" });
      },
      zoom: (detail, place) => this.go({ detail, place: place || this.state.place }, { reveal: true }),
      hover: (at) => this.renderPlace(at),
    });
  }

  /**
   * The place under the pointer or the focus, else the selected one.
   *
   * @param {At | null} [at] undefined draws the card anew in any case
   */
  renderPlace(at) {
    const view = /** @type {View} */ (this.view);
    const { name, pinned } = at ?? { name: this.state.place, pinned: false };
    const place = (pinned && view.pinned ? view.pinned : view).places[name];
    const cell = at && at.name !== this.state.place ? "" : this.state.cell;
    if (at !== undefined && this.placed?.place === place) return; // a new card under a pressed button would lose its click
    this.placed = { place };
    renderPlace(byId("place"), place ? { name, place } : null, view.size, cell, this.say, (chosen) =>
      this.go({ place: name, cell: chosen }, { push: false }),
    );
  }

  renderComparison() {
    const { say, state } = this;
    const bar = byId("compare-bar");
    bar.hidden = !state.pin;
    if (!state.pin) return show(bar);
    const end = { type: "button", id: "compare-end", class: "tool small", onclick: () => this.go({ pin: "" }) };
    const swap = {
      type: "button",
      id: "compare-swap",
      class: "tool small",
      onclick: () => this.go({ pin: state.net, net: state.pin }),
    };
    show(
      bar,
      h("span", {}, say("compare.with", { net: state.pin })),
      h("button", swap, say("compare.swap")),
      h("button", end, say("compare.end")),
    );
  }

  /** The part of the page where networks run, loaded when it is asked for. */
  async renderLive() {
    const { state, about, say } = this;
    const button = byId("live-open");
    const host = byId("live");
    button.hidden = !about.live;
    button.setAttribute("aria-pressed", String(state.live));
    host.hidden = !(about.live && state.live);
    document.body.classList.toggle("running", !host.hidden); // a page of its own: it has networks of its own
    if (host.hidden || host.dataset.language === state.lang) return;
    host.dataset.language = state.lang;
    host.setAttribute("aria-label", say("live"));
    const address = new URL("live/live.js", document.baseURI).href;
    const { mount } = await import(address);
    await mount(host, { language: state.lang, base: new URL("./", document.baseURI).href });
    scrollTo({ top: 0 });
  }

  /** @param {number} step */
  tour(step) {
    const found = this.texts.tour[step - 1];
    if (!found) return this.go({ step: 0 });
    const { net, detail, pin, place } = found;
    return this.go({ net, detail, pin, place, step, size: "", cell: "", live: false }, { reveal: true });
  }

  /**
   * The place in which an op is drawn: the first of equal blocks stands for all.
   *
   * @param {string} name
   */
  drawn(name) {
    const { places } = /** @type {View} */ (this.view);
    if (places[name]) return name;
    const [, stage, number, rest] = /^(layer\d+)\.(\d+)\.(.*)$/.exec(name) ?? [];
    for (const other of Object.keys(places)) {
      const run = /^(layer\d+)\.(\d+)-(\d+)$/.exec(other);
      if (run && run[1] === stage && Number(run[2]) <= Number(number) && Number(number) <= Number(run[3])) {
        return `${stage}.${run[2]}.${rest}`;
      }
    }
    return "";
  }

  /** @param {string} lang */
  translate(lang) {
    document.documentElement.lang = lang === "zh" ? "zh-CN" : "en";
    for (const element of document.querySelectorAll("[data-w]")) {
      element.textContent = this.say(/** @type {HTMLElement} */ (element).dataset.w ?? "");
    }
    const other = lang === "zh" ? "en" : "zh";
    const language = byId("language");
    language.textContent = other === "zh" ? "中文" : "English";
    language.lang = other;
    byId("theme").setAttribute("aria-label", this.say("theme"));
    byId("theme").title = this.say("theme");
    byId("pin").title = this.say("compare.help");
    delete byId("live").dataset.language;
  }

  /**
   * @param {string} text
   * @param {boolean} [stays]
   */
  said(text, stays = false) {
    const toast = byId("status");
    toast.textContent = text;
    clearTimeout(this.silence);
    if (!stays) this.silence = setTimeout(() => (toast.textContent = ""), 4000);
  }

  listen() {
    const line = /** @type {HTMLInputElement} */ (byId("line"));
    /** @type {number | undefined} */
    let timer;
    line.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.go({ net: line.value, step: 0, live: false }, { typing: true }), TYPING_MS);
    });
    line.addEventListener("focus", () => (this.typed = false));
    const written = () => {
      clearTimeout(timer);
      if (line.value !== this.view?.text) this.go({ net: line.value, step: 0, live: false });
    };
    line.addEventListener("change", written);
    byId("line-form").addEventListener("submit", (event) => {
      event.preventDefault();
      written();
    });
    byId("pin").addEventListener("click", () => this.go({ pin: this.state.pin ? "" : this.state.net }));
    byId("tour-open").addEventListener("click", () => this.tour(this.state.step ? 0 : 1));
    byId("live-open").addEventListener("click", () => this.go({ live: !this.state.live }));
    byId("language").addEventListener("click", () => this.go({ lang: this.state.lang === "zh" ? "en" : "zh" }));
    byId("theme").addEventListener("click", () => this.go({ theme: this.state.theme === "dark" ? "light" : "dark" }));
    addEventListener("pointerdown", () => {
      this.released = new Promise((resolve) => {
        for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => setTimeout(resolve), { once: true });
        setTimeout(resolve, 2000); // let go outside of the window
      });
    });
    addEventListener("popstate", () => this.restore());
    addEventListener("hashchange", () => this.restore());
  }

  /** Shows the state of the address, which back, forward or a reader has changed. */
  restore() {
    if (location.hash === writeState(this.state, this.defaults)) return;
    this.go(readState(location.hash, this.defaults), { push: false });
  }
}

const about = await (await fetch("about.json")).json();
const page = new Page(about);
document.documentElement.dataset.theme = page.state.theme;
if (matchMedia("(max-width: 760px)").matches) byId("switches-panel").removeAttribute("open");
page.listen();
await page.go({}, { push: false, reveal: true });
if (!page.view) {
  const wrong = byId("line-error").textContent;
  await page.go({ net: about.net, pin: "", size: "" }, { push: false });
  byId("line-error").textContent = wrong;
}
document.documentElement.dataset.ready = "true";
