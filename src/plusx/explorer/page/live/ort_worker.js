// ONNX Runtime in a worker, so that the page stays responsive: starts once, then runs batches one after another.

/**
 * @typedef {import("./nets.js").Tensor} Tensor
 * @typedef {{id: number, start: {runtime: string, graph: string, blocks: string[]}}} StartRequest
 * @typedef {{id: number, weights: {net: string, tensors: Record<string, Tensor>}}} WeightsRequest
 * @typedef {{id: number, run: {net: string, images: Tensor, scales: import("./lesions.js").Scales, wanted: string[]}}} RunRequest
 */

/** @type {any} */
let ort;
/** @type {any} */
let session;
/** @type {string[]} */
let blocks;
/** @type {Record<string, Record<string, any>>} */
const nets = {};

/** @param {StartRequest["start"]} request */
async function start({ runtime, graph, blocks: names }) {
  ort = await import(`${runtime}ort.wasm.min.mjs`);
  ort.env.wasm.wasmPaths = runtime;
  ort.env.wasm.numThreads = 1;
  session = await ort.InferenceSession.create(graph, { executionProviders: ["wasm"] });
  blocks = names;
}

/** @param {WeightsRequest["weights"]} request */
function keep({ net, tensors }) {
  nets[net] = {};
  for (const [name, { dims, data }] of Object.entries(tensors)) nets[net][name] = new ort.Tensor("float32", data, dims);
}

/** @param {RunRequest["run"]} request @returns {Promise<Record<string, Tensor>>} */
async function run({ net, images, scales, wanted }) {
  const inputs = {
    ...withSwapped(nets[net], scales.weights),
    images: new ort.Tensor("float32", images.data, images.dims),
    branch_scale: new ort.Tensor("float32", scales.branch, [scales.branch.length]),
    shortcut_scale: new ort.Tensor("float32", scales.shortcut, [scales.shortcut.length]),
  };
  const outputs = await session.run(inputs, wanted);
  return Object.fromEntries(wanted.map((name) => [name, { dims: [...outputs[name].dims], data: outputs[name].data }]));
}

/**
 * Weights are inputs, so a swapped block is one that gets those of another.
 * @param {Record<string, any>} tensors @param {number[]} sources
 */
function withSwapped(tensors, sources) {
  const given = { ...tensors };
  sources.forEach((source, i) => {
    if (source === i) return;
    for (const [name, tensor] of Object.entries(tensors)) {
      if (name.startsWith(`${blocks[source]}.`)) given[blocks[i] + name.slice(blocks[source].length)] = tensor;
    }
  });
  return given;
}

/** @type {Promise<unknown>} */
let last = Promise.resolve();

/** @param {MessageEvent<StartRequest & WeightsRequest & RunRequest>} event */
onmessage = ({ data }) => {
  last = last.then(async () => {
    try {
      const result = data.start ? await start(data.start) : data.weights ? keep(data.weights) : await run(data.run);
      postMessage({ id: data.id, result });
    } catch (error) {
      postMessage({ id: data.id, error: String(error) });
    }
  });
};
