// A pad to draw a digit on, and the digit as the data set has it.

const PAD = 256; // pixels of the pad
const PEN = 32;
const BITMAP = 32; // the data set's scanned bitmaps
const BLOCK = 4; // whose black pixels are counted in blocks of 4 × 4

export class Pad {
  /** @param {HTMLCanvasElement} canvas @param {() => void} changed */
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    canvas.width = canvas.height = PAD;
    this.pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d", { willReadFrequently: true }));
    /** @type {{x: number, y: number}} */
    this.at = { x: PAD / 2, y: PAD / 4 };
    this.empty = true;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.at = this.place(event);
      this.line(this.at);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) this.line(this.place(event));
    });
    canvas.addEventListener("keydown", (event) => this.onKey(event));
  }

  clear() {
    this.pen.clearRect(0, 0, PAD, PAD);
    this.empty = true;
    this.changed();
  }

  /** Arrow keys move the pen; with Shift they move it without drawing. @param {KeyboardEvent} event */
  onKey(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const inside = (/** @type {number} */ value) => Math.min(PAD - PEN / 2, Math.max(PEN / 2, value));
    const to = { x: inside(this.at.x + step[0] * 12), y: inside(this.at.y + step[1] * 12) };
    if (event.shiftKey) this.at = to;
    else this.line(to);
  }

  /** @param {PointerEvent} event */
  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * PAD, y: ((event.clientY - box.top) / box.height) * PAD };
  }

  /** @param {{x: number, y: number}} to */
  line(to) {
    const { pen } = this;
    pen.lineWidth = PEN;
    pen.lineCap = pen.lineJoin = "round";
    pen.beginPath();
    pen.moveTo(this.at.x, this.at.y);
    pen.lineTo(to.x, to.y + 0.01); // a line of no length would draw no dot
    pen.stroke();
    this.at = to;
    this.empty = false;
    this.changed();
  }

  /** The drawing as an image of the data set: 8 × 8, 0 to 255. */
  digit() {
    return asDigit(this.pen.getImageData(0, 0, PAD, PAD));
  }
}

/**
 * UCI's digits are 32 × 32 bitmaps that the digit fills, of which each value counts the black pixels of 4 × 4.
 * @param {ImageData} drawing whose ink is opaque
 */
export function asDigit(drawing) {
  const ink = (/** @type {number} */ x, /** @type {number} */ y) => drawing.data[4 * (y * drawing.width + x) + 3] > 127;
  let [left, right, top, bottom] = [drawing.width, -1, drawing.height, -1];
  for (let y = 0; y < drawing.height; y++) {
    for (let x = 0; x < drawing.width; x++) {
      if (ink(x, y)) [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), y];
    }
  }
  const side = BITMAP / BLOCK;
  const counts = new Uint8Array(side * side);
  const scale = Math.max(right - left + 1, bottom - top + 1) / BITMAP;
  if (scale <= 0) return counts;
  const [startX, startY] = [(left + right + 1 - BITMAP * scale) / 2, (top + bottom + 1 - BITMAP * scale) / 2];
  for (let i = 0; i < BITMAP * BITMAP; i++) {
    const [column, row] = [i % BITMAP, Math.floor(i / BITMAP)];
    const [x, y] = [Math.floor(startX + (column + 0.5) * scale), Math.floor(startY + (row + 0.5) * scale)];
    const inside = x >= left && x <= right && y >= top && y <= bottom;
    if (inside && ink(x, y)) counts[Math.floor(row / BLOCK) * side + Math.floor(column / BLOCK)]++;
  }
  return counts.map((count) => Math.floor((count * 255) / BLOCK ** 2 + 0.5));
}
