import { h, s, show } from "./dom.js";

/**
 * @typedef {import("./types.js").Place} Place
 * @typedef {import("./types.js").Say} Say
 */

const MOST_DOTS = 400;
const TALLEST = 320;
/** How much of the padding is shown around the image, as a share of its longer side. */
const MOST_MARGIN = 0.6;

/** The image below the receptive field: the sample, or the reader's own, which is a blob of this browser. */
const picture = { address: "sample.svg", name: "" };

/**
 * The selected place: its numbers, its names elsewhere, and what one of its cells sees of an image.
 *
 * @param {HTMLElement} host
 * @param {{name: string, place: Place} | null} selected
 * @param {number[]} size height and width of the input
 * @param {string} cell `row,column`, empty for the middle
 * @param {Say} say
 * @param {(cell: string) => void} choose
 */
export function renderPlace(host, selected, size, cell, say, choose) {
  if (!selected) {
    show(host, h("h2", { id: "place-title" }, say("place")), h("p", { class: "muted" }, say("place.none")));
    return;
  }
  const { name, place } = selected;
  show(
    host,
    h("h2", { id: "place-title" }, h("code", {}, name)),
    h("p", { class: "what" }, place.text),
    place.repeat > 1 ? h("p", { class: "note" }, `${place.repeat}× ${say("repeat")}`) : null,
    h("dl", { class: "facts" }, ...facts(place, say)),
    field(place, size, cell, say, choose, () => renderPlace(host, selected, size, cell, say, choose)),
    place.names && Object.keys(place.names).length ? names(place.names, say) : null,
  );
}

/**
 * @param {Place} place
 * @param {Say} say
 */
function facts(place, say) {
  const [c, height, width] = place.out;
  /** @type {[string, string | number | null | undefined][]} */
  const found = [
    [say("output"), `${c} × ${height}×${width}`],
    [say("stride"), `${place.jump} px`],
    [say("rf"), `${place.rf} px`],
    [say("params"), place.params ? place.params_text : null],
    [say("macs"), place.macs ? place.macs_text : null],
    [say("layer"), place.layer],
  ];
  return found
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, String(value))));
}

/**
 * @param {Record<string, string>} found
 * @param {Say} say
 */
function names(found, say) {
  const rows = Object.entries(found).map(([ecosystem, name]) =>
    h("tr", {}, h("th", { scope: "row" }, ecosystem), h("td", {}, h("code", {}, name))),
  );
  return h("details", { class: "names", open: true }, h("summary", {}, say("names")), h("table", {}, h("tbody", {}, ...rows)));
}

/**
 * The image with the field of one cell. Where the field is larger than the image, the padding around it is shown too.
 *
 * @param {Place} place
 * @param {number[]} size
 * @param {string} cell
 * @param {Say} say
 * @param {(cell: string) => void} choose
 * @param {() => void} again
 */
function field(place, size, cell, say, choose, again) {
  const [rows, columns] = place.out.slice(1);
  const [row, column] = cellOf(cell, rows, columns);
  const [y, x] = [place.start + place.jump * row, place.start + place.jump * column];
  const [height, width] = size;
  const margin = marginOf(place, size);
  const [seenWidth, seenHeight] = [width + 2 * margin, height + 2 * margin];
  const name = picture.name || say("field.sample");
  const frame = s(
    "svg",
    {
      class: "frame",
      id: "field",
      viewBox: `${-margin} ${-margin} ${seenWidth} ${seenHeight}`,
      tabindex: 0,
      role: "group",
      "aria-label": `${say("field")}: ${name}`,
      "aria-description": say("field.help"),
      onclick: (/** @type {MouseEvent} */ event) => {
        const box = frame.getBoundingClientRect();
        const px = ((event.clientX - box.x) / box.width) * seenWidth - margin;
        const py = ((event.clientY - box.y) / box.height) * seenHeight - margin;
        at(Math.round((py - place.start) / place.jump), Math.round((px - place.start) / place.jump));
      },
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
        const step = steps[/** @type {keyof typeof steps} */ (event.key)];
        if (!step) return;
        event.preventDefault();
        at(row + step[0], column + step[1]);
      },
      ondragover: (/** @type {DragEvent} */ event) => event.preventDefault(),
      ondrop: (/** @type {DragEvent} */ event) => {
        event.preventDefault();
        take(event.dataTransfer?.files[0]);
      },
    },
    s("title", {}, say("field.help")),
    s("image", { href: picture.address, width, height, preserveAspectRatio: "xMidYMid slice" }),
    s("path", { class: "shade", d: shade(x, y, place.rf, width, height) }),
    ...dots(place, rows, columns, seenWidth),
    margin ? s("rect", { class: "edge", width, height }) : null,
    s("rect", { class: "seen", x: x - place.rf / 2, y: y - place.rf / 2, width: place.rf, height: place.rf }),
    s("circle", { class: "centre", cx: x, cy: y, r: seenWidth / 70 }),
  );
  /** @param {number} r @param {number} c */
  const at = (r, c) => choose(`${clamp(r, rows)},${clamp(c, columns)}`);
  frame.style.maxWidth = `${(TALLEST * width) / height}px`;
  const problem = h("p", { class: "error", role: "alert" });

  /** @param {File | undefined} file */
  function take(file) {
    if (!file) return;
    const address = URL.createObjectURL(file);
    const probe = new Image();
    probe.onload = () => {
      if (picture.address.startsWith("blob:")) URL.revokeObjectURL(picture.address);
      Object.assign(picture, { address, name: file.name });
      again();
    };
    probe.onerror = () => {
      URL.revokeObjectURL(address);
      problem.textContent = say("field.bad", { name: file.name });
    };
    probe.src = address;
  }

  const chooser = h("input", {
    type: "file",
    accept: "image/*",
    id: "own-image",
    class: "sr",
    onchange: () => take(chooser.files?.[0]),
  });
  const text = say("field.text", {
    cells: `${rows}×${columns}`,
    rf: `${place.rf}×${place.rf}`,
    at: `(${plain(x)}, ${plain(y)})`,
    jump: place.jump,
  });
  return h(
    "figure",
    {},
    frame,
    h(
      "figcaption",
      {},
      h("span", { "aria-live": "polite" }, text),
      place.global ? h("span", {}, ` ${say("field.global", { op: place.global })}`) : null,
      h("span", { class: "own" }, chooser, h("label", { for: "own-image" }, say("field.own")), ` ${say("field.private")}`),
      problem,
    ),
  );
}

/**
 * How much around the image is shown: nothing, unless the field of the middle cell is larger than the image.
 *
 * @param {Place} place
 * @param {number[]} size
 */
function marginOf(place, size) {
  if (place.rf <= Math.min(...size)) return 0;
  const middle = cellOf("", place.out[1], place.out[2]).map((index) => place.start + place.jump * index);
  const beyond = middle.flatMap((at, axis) => [place.rf / 2 - at, at + place.rf / 2 - size[axis]]);
  return Math.min(Math.max(...beyond) + 6, MOST_MARGIN * Math.max(...size));
}

/**
 * @param {string} cell
 * @param {number} rows
 * @param {number} columns
 */
function cellOf(cell, rows, columns) {
  if (!cell) return [Math.floor((rows - 1) / 2), Math.floor((columns - 1) / 2)];
  const [row, column] = cell.split(",").map(Number);
  return [clamp(row, rows), clamp(column, columns)];
}

/**
 * @param {number} value
 * @param {number} count
 */
function clamp(value, count) {
  return Math.min(Math.max(value, 0), count - 1);
}

/** @param {number} value */
function plain(value) {
  return Number.isInteger(value) ? String(value) : value.toFixed(1);
}

/**
 * The image outside the field, which is darkened: the image, and where they overlap the field as a hole in it.
 *
 * @param {number} x
 * @param {number} y
 * @param {number} rf
 * @param {number} width
 * @param {number} height
 */
function shade(x, y, rf, width, height) {
  const [left, right] = [x - rf / 2, x + rf / 2].map((value) => clamp(value, width + 1));
  const [top, bottom] = [y - rf / 2, y + rf / 2].map((value) => clamp(value, height + 1));
  return `M0 0h${width}v${height}h${-width}zM${left} ${top}V${bottom}H${right}V${top}z`;
}

/**
 * The centres of the cells, where they are few enough to be told apart.
 *
 * @param {Place} place
 * @param {number} rows
 * @param {number} columns
 * @param {number} width
 */
function dots(place, rows, columns, width) {
  if (rows * columns > MOST_DOTS) return [];
  return Array.from({ length: rows * columns }, (_, number) =>
    s("circle", {
      class: "dot-cell",
      cx: place.start + place.jump * (number % columns),
      cy: place.start + place.jump * Math.floor(number / columns),
      r: width / 220,
    }),
  );
}
