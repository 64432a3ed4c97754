// The page's side of ort_worker.js: requests that are promises.

/**
 * @typedef {import("./nets.js").Tensor} Tensor
 * @typedef {import("./nets.js").TestImages} TestImages
 * @typedef {import("./lesions.js").Scales} Scales
 */

import { loadWeights, normalised } from "./nets.js";

const BATCH = 25;

/** The server has no ONNX Runtime; its message says how to get it. */
export class Unavailable extends Error {}

export class Networks {
  /** @param {string} folder of nets.json @param {import("./nets.js").Catalogue} catalogue */
  constructor(folder, catalogue) {
    this.folder = folder;
    this.catalogue = catalogue;
    /** @type {Map<number, {resolve: (result: any) => void, reject: (error: Error) => void}>} */
    this.waiting = new Map();
    /** @type {Map<string, Promise<void>>} */
    this.loaded = new Map();
    this.count = 0;
    this.worker = new Worker(new URL("ort_worker.js", import.meta.url), { type: "module" });
    this.worker.onmessage = ({ data }) => {
      const caller = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (data.error) caller?.reject(new Error(data.error));
      else caller?.resolve(data.result);
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "worker"));
      this.waiting.clear();
    };
  }

  /** @param {object} request @returns {Promise<any>} */
  ask(request) {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, ...request });
    });
  }

  /**
   * Loads ONNX Runtime and the graph. Throws Unavailable.
   * @param {string} runtime folder of ONNX Runtime @param {string} language of the server's message
   * @returns {Promise<void>}
   */
  async start(runtime, language) {
    const response = await fetch(`${runtime}ort.wasm.min.mjs?lang=${language}`);
    if (response.status === 503) throw new Unavailable(await response.text());
    const blocks = this.catalogue.places.slice(1).map((place) => place.name);
    return this.ask({ start: { runtime, graph: this.folder + this.catalogue.graph.file, blocks } });
  }

  /** Loads the weights of a network once. @param {string} net @returns {Promise<void>} */
  ready(net) {
    let loading = this.loaded.get(net);
    if (!loading) {
      loading = loadWeights(this.folder, this.catalogue.nets[net]).then((tensors) => this.ask({ weights: { net, tensors } }));
      this.loaded.set(net, loading);
      loading.catch(() => this.loaded.delete(net));
    }
    return loading;
  }

  /**
   * @param {string} net @param {Float32Array} images @param {number} side @param {Scales} scales @param {string[]} wanted
   * @returns {Promise<Record<string, Tensor>>}
   */
  async run(net, images, side, scales, wanted) {
    await this.ready(net);
    const dims = [images.length / side ** 2, 1, side, side];
    return this.ask({ run: { net, images: { dims, data: images }, scales, wanted } });
  }

  /**
   * How many test images the network classifies correctly; null when `stale()` became true on the way.
   * @param {string} net @param {TestImages} test @param {Scales} scales @param {() => boolean} stale
   */
  async correct(net, test, scales, stale) {
    let right = 0;
    for (let first = 0; first < test.n; first += BATCH) {
      const size = test.side ** 2;
      const pixels = test.images.subarray(first * size, Math.min(first + BATCH, test.n) * size);
      const { logits } = await this.run(net, normalised(pixels, test.info), test.side, scales, ["logits"]);
      if (stale()) return null;
      for (let i = 0; i < logits.dims[0]; i++) {
        if (largest(logits.data.subarray(i * logits.dims[1], (i + 1) * logits.dims[1])) === test.labels[first + i]) right++;
      }
    }
    return right;
  }

  close() {
    this.worker.terminate();
  }
}

/** The index of the first largest value. @param {Float32Array} values */
export function largest(values) {
  return values.reduce((best, value, i) => (value > values[best] ? i : best), 0);
}

/** @param {Float32Array} logits @returns {number[]} */
export function softmax(logits) {
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}
