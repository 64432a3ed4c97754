// What the networks say of the image, and how many of the test images they classify correctly.

import { h } from "../js/dom.js";
import { FAMILIES } from "./blocks.js";
import { softmax } from "./networks.js";
import { percent } from "./texts.js";

/** @typedef {import("./blocks.js").Family} Family */

export class Scores {
  /** @param {import("./texts.js").Say} say */
  constructor(say) {
    this.say = say;
    /** @type {Record<string, {bar: HTMLElement, mark: HTMLElement, text: HTMLElement, intact: number | null}>} */
    this.accuracy = {};
    const rows = FAMILIES.map((family) => {
      const bar = h("span", { class: `live-bar live-${family}` });
      const mark = h("span", { class: "live-intact", hidden: true });
      const text = h("span", { class: "live-count" });
      this.accuracy[family] = { bar, mark, text, intact: null };
      return h("div", { class: "live-accuracy" }, h("span", {}, say(family)), h("span", { class: "live-track", "aria-hidden": "true" }, bar, mark), text);
    });
    this.status = h("div", { role: "status", "aria-busy": "true", class: "live-status" }, ...rows);
    this.body = h("tbody");
    const head = h("tr", {}, h("th", { scope: "col" }, say("class")), ...FAMILIES.map((family) => h("th", { scope: "col" }, say(family))));
    this.element = h(
      "section",
      { class: "live-panel", "aria-label": say("prediction") },
      h("h3", {}, say("prediction")),
      h("table", { class: "live-classes" }, h("thead", {}, head), this.body),
    );
  }

  /** Another data set: nothing was measured yet. @param {string[]} classes */
  use(classes) {
    for (const row of Object.values(this.accuracy)) {
      row.intact = null;
      row.mark.hidden = true;
      row.text.textContent = this.say("measuring");
    }
    const cell = (/** @type {Family} */ family) => h("td", {}, h("span", { class: `live-bar live-${family}` }), h("span", { class: "live-percent" }));
    this.body.replaceChildren(...classes.map((name) => h("tr", {}, h("th", { scope: "row" }, this.say(`class ${name}`)), ...FAMILIES.map(cell))));
  }

  /** @param {Float32Array[]} logits of both networks */
  showClasses(logits) {
    logits.forEach((values, k) => {
      const shares = softmax(values);
      const most = Math.max(...shares);
      shares.forEach((share, i) => {
        const cell = this.body.rows[i].cells[k + 1];
        cell.classList.toggle("live-most", share === most);
        /** @type {HTMLElement} */ (cell.children[0]).style.width = `${100 * share}%`;
        cell.children[1].textContent = percent(share, 0);
      });
    });
  }

  /** Whether the figures are about to change. @param {boolean} busy */
  measuring(busy) {
    this.status.setAttribute("aria-busy", String(busy));
  }

  /** @param {Family} family @param {number} correct @param {number} n @param {boolean} intact */
  showAccuracy(family, correct, n, intact) {
    const row = this.accuracy[family];
    if (intact) row.intact = correct;
    row.bar.style.width = `${(100 * correct) / n}%`;
    row.mark.hidden = row.intact === null;
    row.mark.style.left = `${(100 * (row.intact ?? 0)) / n}%`;
    row.text.textContent = this.say("correct", { correct, n, share: percent(correct / n) });
  }
}
