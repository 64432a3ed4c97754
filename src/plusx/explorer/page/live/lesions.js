// What was done to the blocks, and what follows for the inputs of the network. Nothing here knows the page.

/**
 * @typedef {{branch: number, shortcut: number, dropped: boolean, weights: number}} BlockState
 *   Scales of F(x) and of the shortcut, whether the block is dropped, and whose weights it has.
 * @typedef {{branch: Float32Array, shortcut: Float32Array, weights: number[]}} Scales
 */

/** @param {number} n @returns {BlockState[]} */
export function intact(n) {
  return Array.from({ length: n }, (_, i) => ({ branch: 1, shortcut: 1, dropped: false, weights: i }));
}

/** @param {BlockState[]} blocks */
export function isIntact(blocks) {
  return blocks.every((block, i) => block.branch === 1 && block.shortcut === 1 && !block.dropped && block.weights === i);
}

/** Blocks i and j exchange their weights. @param {BlockState[]} blocks @param {number} i @param {number} j */
export function swap(blocks, i, j) {
  [blocks[i].weights, blocks[j].weights] = [blocks[j].weights, blocks[i].weights];
}

/**
 * A block computes relu(branch·F(x) + shortcut·x). A plain one has no shortcut, so its scale is 0. Of a dropped block of
 * either network x alone goes on, through option A's zeros where the shape changes.
 * @param {BlockState[]} blocks @param {"residual" | "plain"} family @returns {Scales}
 */
export function scales(blocks, family) {
  return {
    branch: Float32Array.from(blocks, (block) => (block.dropped ? 0 : block.branch)),
    shortcut: Float32Array.from(blocks, (block) => (block.dropped ? 1 : family === "plain" ? 0 : block.shortcut)),
    weights: blocks.map((block) => block.weights),
  };
}
