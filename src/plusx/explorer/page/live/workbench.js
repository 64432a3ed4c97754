// Two trained networks at work, a residual one and its plain counterpart: what becomes of maps, prediction and accuracy when
// blocks are cut, dropped, swapped or scaled.

import { BlockCard, FAMILIES } from "./blocks.js";
import { h } from "../js/dom.js";
import { InputPanel } from "./input.js";
import { intact, isIntact, scales } from "./lesions.js";
import { loadCatalogue, loadImages, normalised } from "./nets.js";
import { Networks } from "./networks.js";
import { Scores } from "./scores.js";

const PAUSE_MS = 150; // after the last movement of a slider, before the accuracy is measured

export class Workbench {
  /** @param {string} root @param {string} language @param {import("./texts.js").Say} say */
  static async create(root, language, say) {
    const catalogue = await loadCatalogue(`${root}live/nets/`);
    const networks = new Networks(`${root}live/nets/`, catalogue);
    try {
      await networks.start(`${root}vendor/onnxruntime-web/`, language);
    } catch (error) {
      networks.close();
      throw error;
    }
    return new Workbench(`${root}live/nets/`, say, catalogue, networks);
  }

  /** The same networks, with what was done to them. @param {import("./texts.js").Say} say */
  inLanguage(say) {
    return new Workbench(this.folder, say, this.catalogue, this.networks, this.key, this.blocks);
  }

  /**
   * @param {string} folder @param {import("./texts.js").Say} say @param {import("./nets.js").Catalogue} catalogue
   * @param {Networks} networks @param {string} [key] of nets.json's data @param {import("./lesions.js").BlockState[]} [blocks]
   */
  constructor(folder, say, catalogue, networks, key = Object.keys(catalogue.data)[0], blocks = intact(catalogue.places.length - 1)) {
    this.folder = folder;
    this.say = say;
    this.catalogue = catalogue;
    this.networks = networks;
    /** @type {import("./nets.js").TestImages | null} */
    this.test = null;
    /** @type {import("./blocks.js").Chosen | null} */
    this.chosen = null;
    /** @type {Record<string, import("./nets.js").Tensor>[]} */
    this.outputs = [];
    this.key = key;
    this.blocks = blocks;
    this.turns = 0; // choices of a data set
    this.changes = 0; // of the blocks; a measurement of an earlier state is stale
    this.timer = 0;
    this.running = false;
    this.again = false;
    this.input = new InputPanel(say, () => this.runImage());
    this.scores = new Scores(say);
    this.problem = h("p", { role: "alert" });
    new MutationObserver(() => this.show()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const context = { say, places: catalogue.places, blocks: this.blocks, changed: () => this.changed(), chosen: (/** @type {any} */ choice) => this.choose(choice) };
    this.cards = catalogue.places.map((_, place) => new BlockCard(context, place));
    this.element = h(
      "div",
      {},
      this.dataChoice(),
      this.problem,
      h("div", { class: "live-body" },
        h("div", { class: "live-side" }, this.summary(), this.input.element, this.scores.element),
        h("div", {},
          h("h3", {}, say("blocks")),
          h("p", {}, say("blocks_intro")),
          h("div", { class: "live-blocks" }, ...this.cards.map((card) => card.element)),
        ),
      ),
    );
  }

  /** What stays in sight: the image, and the accuracy. */
  summary() {
    const restore = h("button", { type: "button", onclick: () => this.restore() }, this.say("restore"));
    return h(
      "section",
      { class: "live-panel live-summary", "aria-label": this.say("accuracy") },
      this.input.canvas,
      h("div", {}, h("h3", {}, this.say("accuracy")), this.scores.status, restore),
    );
  }

  dataChoice() {
    const choices = Object.keys(this.catalogue.data).map((key) => {
      const radio = h("input", { type: "radio", name: "live-data", value: key, checked: key === this.key, onchange: () => this.use(key) });
      return h("label", {}, radio, this.say(`data_${key}`));
    });
    return h("fieldset", { class: "live-row" }, h("legend", {}, this.say("data")), ...choices);
  }

  /** @param {string} key of nets.json's data */
  async use(key) {
    const turn = ++this.turns;
    try {
      const test = await loadImages(this.folder, this.catalogue.data[key]);
      if (turn !== this.turns) return; // another data set was chosen meanwhile
      this.test = test;
      this.key = key;
      this.chosen = null;
      this.scores.use(test.info.classes);
      this.input.use(test, key === "digits");
      const untouched = intact(this.blocks.length);
      if (!isIntact(this.blocks)) await this.measure(untouched);
      await this.measure(this.blocks);
    } catch (error) {
      this.fail(error);
    }
  }

  /** @param {import("./blocks.js").Family} family */
  net(family) {
    const found = Object.entries(this.catalogue.nets).find(([, net]) => net.family === family && net.data === this.key);
    if (!found) throw new Error(`${family} ${this.key}`);
    return found[0];
  }

  restore() {
    intact(this.blocks.length).forEach((block, i) => Object.assign(this.blocks[i], block));
    this.changed();
  }

  changed() {
    for (const card of this.cards) card.controls?.update();
    this.runImage();
    this.changes++;
    this.scores.measuring(true);
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.measure(this.blocks).catch((error) => this.fail(error)), PAUSE_MS);
  }

  /** Both networks on the shown image. While they run, later changes wait, and only the last one counts. */
  async runImage() {
    this.again = true;
    if (this.running || !this.test) return;
    this.running = true;
    try {
      while (this.again) {
        this.again = false;
        const image = normalised(this.input.pixels, this.test.info);
        const wanted = ["logits", ...this.catalogue.places.map((place) => place.name)];
        const { side } = this.test;
        const outputs = await Promise.all(
          FAMILIES.map((family) => this.networks.run(this.net(family), image, side, scales(this.blocks, family), wanted)),
        );
        if (side !== this.test.side) continue;
        this.outputs = outputs;
        this.scores.showClasses(outputs.map((output) => output.logits.data));
        this.show();
      }
      this.problem.textContent = "";
    } catch (error) {
      this.fail(error);
    } finally {
      this.running = false;
    }
  }

  /** Both networks on all test images. @param {import("./lesions.js").BlockState[]} blocks */
  async measure(blocks) {
    const { test, changes, key } = this;
    if (!test) return;
    const stale = () => changes !== this.changes || key !== this.key;
    this.scores.measuring(true);
    for (const family of FAMILIES) {
      const correct = await this.networks.correct(this.net(family), test, scales(blocks, family), stale);
      if (correct === null) return;
      this.scores.showAccuracy(family, correct, test.n, isIntact(blocks));
    }
    this.scores.measuring(blocks !== this.blocks);
  }

  /** @param {import("./blocks.js").Chosen} choice */
  choose(choice) {
    this.chosen = choice;
    this.show();
  }

  /** The maps of the last run, and the receptive field of the chosen cell. */
  show() {
    if (!this.outputs.length || !this.element.isConnected) return;
    this.cards.forEach((card, i) => card.show(this.outputs.map((output) => output[this.catalogue.places[i].name]), this.chosen));
    if (this.chosen) this.input.show(...this.field(this.chosen));
    else this.input.show(null, this.say("choose_cell"));
  }

  /** @param {import("./blocks.js").Chosen} choice @returns {[import("./input.js").Field, string]} the field inside the image */
  field({ family, place, cell }) {
    const { name, stride, low, high } = this.catalogue.places[place];
    const side = this.test?.side ?? 1;
    const inside = (/** @type {number} */ pixel) => Math.min(side, Math.max(0, pixel));
    const [top, left] = [inside(low + cell.row * stride), inside(low + cell.column * stride)];
    const [bottom, right] = [inside(high + cell.row * stride), inside(high + cell.column * stride)];
    const map = this.outputs[FAMILIES.indexOf(family)][name];
    const [, , rows, columns] = map.dims;
    const value = map.data[(cell.channel * rows + cell.row) * columns + cell.column];
    const about = this.say("cell", {
      name, network: this.say(family), channel: cell.channel, row: cell.row, column: cell.column, value: value.toFixed(3),
      size: high - low, top, bottom: bottom - 1, left, right: right - 1,
    });
    return [{ top, left, bottom, right }, about];
  }

  /** @param {unknown} error */
  fail(error) {
    this.problem.textContent = this.say("failed", { reason: String(error) });
  }
}
