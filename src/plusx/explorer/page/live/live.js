// The networks that run in the page: an invitation first, and everything else when it is accepted.

import { h } from "../js/dom.js";
import { loadJson } from "./nets.js";
import { Unavailable } from "./networks.js";
import { sayFrom } from "./texts.js";
import { Workbench } from "./workbench.js";

/** @type {WeakMap<HTMLElement, Workbench>} */
const running = new WeakMap();

/**
 * Shows an invitation in `element`; ONNX Runtime and the networks are fetched when it is accepted. Mounted again, in another
 * language, networks that run go on as they are.
 * @param {HTMLElement} element
 * @param {{language: string, base: string}} options `base`: the address with live/ and vendor/ below it
 */
export async function mount(element, { language, base }) {
  const root = new URL(base, document.baseURI).href;
  addStyle(`${root}live/live.css`);
  const say = sayFrom(await loadJson(`${root}live/texts-${language}.json`));
  element.classList.add("live");
  const head = [h("h2", {}, say("title")), h("p", {}, say("intro"))];
  const before = running.get(element);
  if (before) {
    const bench = before.inLanguage(say);
    running.set(element, bench);
    element.replaceChildren(...head, bench.element);
    return bench.use(before.key);
  }
  const problem = h("p", { role: "alert" });
  const begin = h("button", { type: "button", class: "live-begin" }, say("begin"));
  begin.addEventListener("click", async () => {
    begin.disabled = true;
    problem.textContent = "";
    begin.textContent = say("loading");
    try {
      const bench = await Workbench.create(root, language, say);
      running.set(element, bench);
      begin.replaceWith(bench.element);
      await bench.use(bench.key);
    } catch (error) {
      begin.disabled = false;
      begin.textContent = say("begin");
      problem.textContent = error instanceof Unavailable ? error.message : say("failed", { reason: String(error) });
    }
  });
  element.replaceChildren(...head, begin, problem);
}

/** @param {string} href */
function addStyle(href) {
  if (!document.querySelector(`link[href="${CSS.escape(href)}"]`)) document.head.append(h("link", { rel: "stylesheet", href }));
}

