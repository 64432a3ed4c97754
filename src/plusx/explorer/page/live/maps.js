// A map as a mosaic of its channels on a canvas, a cell of which can be chosen by pointer or arrow keys.

/**
 * @typedef {import("./nets.js").Tensor} Tensor
 * @typedef {import("./nets.js").Place} Place
 * @typedef {{channel: number, row: number, column: number}} Cell
 */

const WIDTH = 256; // canvas pixels that a mosaic fills at most
const GAP = 2;
const MARK = 4; // width of the line around the chosen cell

export class Mosaic {
  /** @param {HTMLCanvasElement} canvas @param {(cell: Cell) => void} chosen */
  constructor(canvas, chosen) {
    this.canvas = canvas;
    this.chosen = chosen;
    /** @type {Tensor | null} */
    this.map = null;
    /** @type {Cell | null} */
    this.cell = null;
    canvas.addEventListener("click", (event) => this.onClick(event));
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  /** @param {Tensor} map (1, channels, h, w) @param {Cell | null} cell */
  show(map, cell) {
    this.map = map;
    this.cell = cell;
    this.draw();
  }

  /** Where channels and cells lie on the canvas. */
  get layout() {
    const [, channels, h, w] = this.map?.dims ?? [1, 1, 1, 1];
    const columns = channels > 16 ? 8 : 4;
    const size = Math.max(1, Math.floor((WIDTH / columns - GAP) / w));
    return { channels, h, w, columns, rows: Math.ceil(channels / columns), size, stepX: w * size + GAP, stepY: h * size + GAP };
  }

  draw() {
    if (!this.map) return;
    const { h, w, channels, columns, rows, size, stepX, stepY } = this.layout;
    const { canvas, map } = this;
    canvas.width = columns * stepX - GAP;
    canvas.height = rows * stepY - GAP;
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    const colour = shades(canvas, Math.max(...map.data, 1e-9));
    for (let i = 0; i < channels * h * w; i++) {
      const channel = Math.floor(i / (h * w));
      const row = Math.floor(i / w) % h;
      pen.fillStyle = colour(map.data[i]);
      pen.fillRect((channel % columns) * stepX + (i % w) * size, Math.floor(channel / columns) * stepY + row * size, size, size);
    }
    if (!this.cell) return;
    const { channel, row, column } = this.cell;
    pen.strokeStyle = style(canvas, "--mark-fill");
    pen.lineWidth = MARK;
    const x = (channel % columns) * stepX + column * size;
    const y = Math.floor(channel / columns) * stepY + row * size;
    pen.strokeRect(x - MARK / 2, y - MARK / 2, size + MARK, size + MARK);
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const box = this.canvas.getBoundingClientRect();
    const { channels, h, w, columns, size, stepX, stepY } = this.layout;
    const x = ((event.clientX - box.left) / box.width) * this.canvas.width;
    const y = ((event.clientY - box.top) / box.height) * this.canvas.height;
    const channel = Math.floor(y / stepY) * columns + Math.floor(x / stepX);
    const column = Math.min(w - 1, Math.floor((x % stepX) / size));
    const row = Math.min(h - 1, Math.floor((y % stepY) / size));
    if (channel >= 0 && channel < channels) this.chosen({ channel, row, column });
  }

  /** Arrow keys go over the cells of all channels as they lie. @param {KeyboardEvent} event */
  onKey(event) {
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!step || !this.map) return;
    event.preventDefault();
    const { channels, h, w, columns, rows } = this.layout;
    const { channel, row, column } = this.cell ?? { channel: 0, row: -step[0], column: -step[1] };
    const y = clamped(Math.floor(channel / columns) * h + row + step[0], rows * h);
    const x = clamped((channel % columns) * w + column + step[1], columns * w);
    const next = Math.floor(y / h) * columns + Math.floor(x / w);
    if (next < channels) this.chosen({ channel: next, row: y % h, column: x % w });
  }
}

/** @param {number} value @param {number} size */
const clamped = (value, size) => Math.min(size - 1, Math.max(0, value));

/** @param {Element} element @param {string} name */
export function style(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim();
}

/**
 * From a value in 0…most to a colour between the theme's --live-low and --live-high, which are written as r g b.
 * @param {Element} element @param {number} most
 */
export function shades(element, most) {
  const [low, high] = ["--live-low", "--live-high"].map((name) => style(element, name).split(" ").map(Number));
  const table = Array.from({ length: 256 }, (_, i) => `rgb(${low.map((from, k) => Math.round(from + ((high[k] - from) * i) / 255)).join(" ")})`);
  return (/** @type {number} */ value) => table[Math.round(255 * Math.min(1, Math.max(0, value / most)))];
}
