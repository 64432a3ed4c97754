// The shipped networks and images: nets.json, weights as safetensors, images as IDX.

/**
 * @typedef {{file: string, bytes: number, sha256: string}} StoredFile
 * @typedef {{name: string, channels: number, stride: number, low: number, high: number, shape?: string}} Place
 *   A map. The receptive field of cell (row, column) spans low + row·stride to high + row·stride.
 * @typedef {{name: string, side: number, classes: string[], mean: number, std: number,
 *   images: StoredFile, labels: StoredFile}} DataInfo
 * @typedef {{family: "residual" | "plain", data: string, network: string, weights: StoredFile,
 *   n: number, correct: number}} NetInfo
 * @typedef {{graph: StoredFile, places: Place[], data: Record<string, DataInfo>, nets: Record<string, NetInfo>}} Catalogue
 * @typedef {{dims: number[], data: Float32Array}} Tensor
 * @typedef {{info: DataInfo, side: number, images: Uint8Array, labels: Uint8Array, n: number}} TestImages
 */

/** @param {string} url @returns {Promise<ArrayBuffer>} */
async function bytes(url) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status}`);
  return response.arrayBuffer();
}

/** @param {string} url @returns {Promise<any>} */
export async function loadJson(url) {
  return JSON.parse(new TextDecoder().decode(await bytes(url)));
}

/** @param {string} folder @returns {Promise<Catalogue>} */
export function loadCatalogue(folder) {
  return loadJson(`${folder}nets.json`);
}

/** @param {string} folder @param {DataInfo} info @returns {Promise<TestImages>} */
export async function loadImages(folder, info) {
  const [images, labels] = await Promise.all([bytes(folder + info.images.file), bytes(folder + info.labels.file)]);
  const pixels = readIdx(images);
  return { info, side: pixels.dims[1], images: pixels.data, labels: readIdx(labels).data, n: pixels.dims[0] };
}

/** @param {string} folder @param {NetInfo} info @returns {Promise<Record<string, Tensor>>} */
export async function loadWeights(folder, info) {
  return readSafetensors(await bytes(folder + info.weights.file));
}

/**
 * An IDX file of bytes: two zeros, 8 for uint8, the number of axes, each side as a big-endian integer, the values.
 * @param {ArrayBuffer} buffer
 */
export function readIdx(buffer) {
  const view = new DataView(buffer);
  const dims = Array.from({ length: view.getUint8(3) }, (_, axis) => view.getUint32(4 + 4 * axis));
  return { dims, data: new Uint8Array(buffer, 4 + 4 * dims.length) };
}

/**
 * A safetensors file of 16-bit floats: the length of a JSON header, the header, the values.
 * @param {ArrayBuffer} buffer @returns {Record<string, Tensor>}
 */
export function readSafetensors(buffer) {
  const headerBytes = Number(new DataView(buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, headerBytes)));
  const values = buffer.slice(8 + headerBytes);
  /** @type {Record<string, Tensor>} */
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [start, end] }] of Object.entries(header)) {
    if (dtype !== "F16") throw new Error(`${name}: ${dtype}`);
    tensors[name] = { dims: shape, data: Float32Array.from(new Uint16Array(values, start, (end - start) / 2), half) };
  }
  return tensors;
}

/** The number whose IEEE binary16 bits these are; all are finite. @param {number} bits */
export function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  const size = exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction;
  return bits & 0x8000 ? -size : size;
}

/**
 * Pixels as the network was trained on them.
 * @param {Uint8Array} pixels @param {DataInfo} info
 */
export function normalised(pixels, info) {
  return Float32Array.from(pixels, (value) => (value / 255 - info.mean) / info.std);
}
