// A card for each map: what can be done to its block, and the map in both networks.

import { h } from "../js/dom.js";
import { swap } from "./lesions.js";
import { Mosaic } from "./maps.js";

/**
 * @typedef {import("./nets.js").Place} Place
 * @typedef {import("./lesions.js").BlockState} BlockState
 * @typedef {"residual" | "plain"} Family
 * @typedef {{family: Family, place: number, cell: import("./maps.js").Cell}} Chosen
 * @typedef {{say: import("./texts.js").Say, places: Place[], blocks: BlockState[], changed: () => void,
 *   chosen: (choice: Chosen) => void}} Context
 */

/** @type {Family[]} */
export const FAMILIES = ["residual", "plain"];

export class BlockCard {
  /** @param {Context} context @param {number} place 0 is the stem */
  constructor(context, place) {
    this.context = context;
    this.place = place;
    this.size = h("p", { class: "live-size" });
    this.maps = FAMILIES.map((family) => this.mosaic(family));
    this.controls = place > 0 ? new Controls(context, place - 1) : null;
    this.element = h(
      "article",
      { class: place > 0 ? "live-block" : "live-block live-stem" },
      h("h4", {}, context.places[place].name),
      this.size,
      ...(this.controls ? this.controls.elements : []),
      h("div", { class: "live-maps" }, ...this.maps.map((map, i) => h("figure", {}, h("figcaption", {}, context.say(FAMILIES[i])), map.canvas))),
    );
  }

  /** @param {Family} family */
  mosaic(family) {
    const { say, places, chosen } = this.context;
    const label = say("map", { name: places[this.place].name, network: say(family) });
    const canvas = h("canvas", { tabindex: "0", role: "application", "aria-label": label, class: "live-map" });
    return new Mosaic(canvas, (cell) => chosen({ family, place: this.place, cell }));
  }

  /** @param {import("./nets.js").Tensor[]} maps of both networks @param {Chosen | null} chosen */
  show(maps, chosen) {
    const [, channels, rows, columns] = maps[0].dims;
    this.size.textContent = this.context.say("map_size", { channels, rows, columns });
    this.maps.forEach((mosaic, i) => {
      const here = chosen?.family === FAMILIES[i] && chosen.place === this.place;
      mosaic.show(maps[i], here ? chosen.cell : null);
    });
  }
}

class Controls {
  /** @param {Context} context @param {number} i the block's index */
  constructor(context, i) {
    this.context = context;
    this.i = i;
    const { say, places, blocks } = context;
    const next = places[i + 2];
    this.branch = this.slider("branch", say("branch_scale"));
    this.shortcut = this.slider("shortcut", say("shortcut_scale"));
    this.note = h("p", { class: "live-note" });
    this.cut = this.button(say("cut"), () => (this.block.shortcut = this.block.shortcut === 0 ? 1 : 0));
    this.drop = this.button(say("drop"), () => (this.block.dropped = !this.block.dropped));
    this.swap = next?.shape === places[i + 1].shape ? this.button(say("swap", { name: next.name }), () => swap(blocks, i, i + 1)) : null;
    const buttons = h("div", { class: "live-row" }, this.cut, this.drop, ...(this.swap ? [this.swap] : []));
    this.elements = [this.branch.row, this.shortcut.row, buttons, this.note];
    this.update();
  }

  get block() {
    return this.context.blocks[this.i];
  }

  /** @param {"branch" | "shortcut"} which @param {string} text */
  slider(which, text) {
    const id = `live-${which}-${this.i}`;
    const value = h("output", { for: id });
    const input = h("input", { type: "range", id, min: "0", max: "2", step: "0.05" });
    input.addEventListener("input", () => {
      this.block[which] = input.valueAsNumber;
      this.context.changed();
    });
    return { input, value, row: h("div", { class: "live-slider" }, h("label", { for: id }, text), input, value) };
  }

  /** @param {string} text @param {() => void} act */
  button(text, act) {
    return h("button", { type: "button", onclick: () => { act(); this.context.changed(); } }, text);
  }

  update() {
    const { block, i } = this;
    const { say, places } = this.context;
    for (const which of /** @type {("branch" | "shortcut")[]} */ (["branch", "shortcut"])) {
      this[which].input.valueAsNumber = block[which];
      this[which].input.disabled = block.dropped;
      this[which].value.textContent = block[which].toFixed(2);
    }
    this.cut.disabled = block.dropped;
    this.cut.setAttribute("aria-pressed", String(block.shortcut === 0));
    this.drop.setAttribute("aria-pressed", String(block.dropped));
    this.note.textContent = block.weights === i ? "" : say("weights_of", { name: places[block.weights + 1].name });
  }
}
