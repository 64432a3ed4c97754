// The image that the networks see: one of the test images or a drawing, and the receptive field on it.

import { h } from "../js/dom.js";
import { Pad } from "./draw.js";
import { shades, style } from "./maps.js";

/**
 * @typedef {import("./nets.js").TestImages} TestImages
 * @typedef {{top: number, left: number, bottom: number, right: number}} Field in pixels of the image
 */

const SIDE = 224; // canvas pixels

export class InputPanel {
  /** @param {import("./texts.js").Say} say @param {() => void} changed */
  constructor(say, changed) {
    this.say = say;
    this.changed = changed;
    /** @type {TestImages | null} */
    this.test = null;
    /** @type {Uint8Array} */
    this.pixels = new Uint8Array();
    /** @type {Field | null} */
    this.field = null;
    this.canvas = h("canvas", { width: SIDE, height: SIDE, role: "img", class: "live-input" });
    this.truth = h("p", { class: "live-truth" });
    this.number = h("input", { type: "number", id: "live-number", min: "1", step: "1", value: "1", oninput: () => this.take() });
    this.pad = new Pad(h("canvas", { tabindex: "0", role: "application", "aria-label": say("pad"), class: "live-pad" }), () => this.drawn());
    this.about = h("p", { role: "status", class: "live-small" });
    const clear = h("button", { type: "button", onclick: () => this.pad.clear() }, say("clear"));
    this.drawing = h("div", { class: "live-drawing" }, h("p", {}, say("draw")), this.pad.canvas, clear);
    this.element = h(
      "section",
      { class: "live-panel", "aria-label": say("image") },
      h("div", { class: "live-row" },
        h("label", { for: "live-number" }, say("test_image")),
        h("button", { type: "button", "aria-label": say("previous"), onclick: () => this.step(-1) }, "‹"),
        this.number,
        h("button", { type: "button", "aria-label": say("next"), onclick: () => this.step(1) }, "›"),
      ),
      this.truth,
      this.about,
      this.drawing,
    );
  }

  /** @param {TestImages} test @param {boolean} drawable */
  use(test, drawable) {
    this.test = test;
    this.number.max = String(test.n);
    this.number.value = "1";
    this.drawing.hidden = !drawable;
    this.take();
  }

  /** @param {number} by */
  step(by) {
    const n = this.test?.n ?? 1;
    this.number.value = String((((this.number.valueAsNumber || 1) - 1 + by + n) % n) + 1);
    this.take();
  }

  /** The test image whose number stands in the field. */
  take() {
    const { test } = this;
    const number = this.number.valueAsNumber;
    if (!test || !(number >= 1 && number <= test.n && Number.isInteger(number))) return;
    const size = test.side ** 2;
    this.pixels = test.images.subarray((number - 1) * size, number * size);
    this.truth.textContent = this.say("truth", { name: this.say(`class ${test.info.classes[test.labels[number - 1]]}`) });
    this.changed();
  }

  drawn() {
    this.pixels = this.pad.digit();
    this.truth.textContent = this.say("drawn");
    this.changed();
  }

  /** @param {Field | null} field @param {string} about the cell whose field it is */
  show(field, about) {
    this.field = field;
    if (this.about.textContent !== about) this.about.textContent = about;
    this.draw();
  }

  draw() {
    const side = this.test?.side ?? 1;
    const pen = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    const cell = SIDE / side;
    const colour = shades(this.canvas, 255);
    this.pixels.forEach((value, i) => {
      pen.fillStyle = colour(value);
      pen.fillRect((i % side) * cell, Math.floor(i / side) * cell, cell, cell);
    });
    this.canvas.setAttribute("aria-label", `${this.say("seen", { side })} ${this.truth.textContent}`);
    if (!this.field) return;
    const { left, top, right, bottom } = this.field;
    pen.strokeStyle = style(this.canvas, "--mark-fill");
    pen.lineWidth = 4;
    pen.strokeRect(left * cell + 2, top * cell + 2, (right - left) * cell - 4, (bottom - top) * cell - 4);
  }
}
