"use strict";
const say = document.body.dataset;
const byId = (id) => document.getElementById(id);
const COLOURS = [[13, 8, 135], [156, 23, 158], [237, 121, 83], [240, 249, 33]]; // plasma at 0, 1/3, 2/3 and 1
const SHOWN = 320;

function address(path, words) {
  const query = new URLSearchParams({ model: byId("model").value, lang: say.lang, ...words });
  return `${path}?${query}`;
}

async function ask(path, words, file) {
  const headers = { "content-type": file.type || "application/octet-stream" };
  if (byId("token").value) headers.authorization = `Bearer ${byId("token").value}`;
  let response;
  try {
    response = await fetch(address(path, words), { method: "POST", body: file, headers });
  } catch {
    throw new Error(say.offline);
  }
  const answer = await response.json().catch(() => ({ error: `HTTP ${response.status}` }));
  if (response.status === 401) byId("ask").hidden = false;
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function element(kind, name, text) {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}

async function drawn(file, canvas) {
  let image;
  try {
    image = await createImageBitmap(file);
  } catch {
    return null; // a format that browsers do not show, as TIFF
  }
  const scale = Math.min(4, SHOWN / Math.max(image.width, image.height));
  canvas.width = Math.max(1, Math.round(image.width * scale));
  canvas.height = Math.max(1, Math.round(image.height * scale));
  const pen = canvas.getContext("2d");
  pen.drawImage(image, 0, 0, canvas.width, canvas.height);
  return pen.getImageData(0, 0, canvas.width, canvas.height);
}

function colour(share) {
  const place = share * (COLOURS.length - 1);
  const low = Math.min(COLOURS.length - 2, Math.floor(place));
  return COLOURS[low].map((value, i) => value + (COLOURS[low + 1][i] - value) * (place - low));
}

/* For each pixel of an axis: the two cells between whose centres it lies, and the share of the second. */
function between(size, start, step, cells) {
  return Array.from({ length: size }, (_, i) => {
    const place = Math.min(cells - 1, Math.max(0, ((i + 0.5) / size - start) / step));
    const low = Math.min(Math.max(0, cells - 2), Math.floor(place));
    return [low, Math.min(cells - 1, low + 1), place - low];
  });
}

function overlaid(photo, map) {
  const { width, height } = photo;
  const out = new ImageData(new Uint8ClampedArray(photo.data), width, height);
  const most = Math.max(...map.heat.flat(), 1e-12);
  const rows = between(height, map.at[0], map.step[0], map.heat.length);
  const columns = between(width, map.at[1], map.step[1], map.heat[0].length);
  const [left, top, right, bottom] = map.box;
  for (let y = 0; y < height; y++) {
    const [a, b, v] = rows[y];
    for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x);
      const [c, d, u] = columns[x];
      const seen = (x + 0.5) / width > left && (x + 0.5) / width < right && (y + 0.5) / height > top && (y + 0.5) / height < bottom;
      const upper = map.heat[a][c] * (1 - u) + map.heat[a][d] * u;
      const lower = map.heat[b][c] * (1 - u) + map.heat[b][d] * u;
      const share = (upper * (1 - v) + lower * v) / most;
      const tint = colour(share);
      for (let i = 0; i < 3; i++) {
        const value = photo.data[at + i];
        out.data[at + i] = seen ? value + (tint[i] - value) * 0.6 * share : value * 0.45;
      }
    }
  }
  return out;
}

async function show(file) {
  const card = element("article");
  const canvas = element("canvas");
  const list = element("ol");
  const words = element("div", "words");
  words.append(element("h2", "", file.name), list);
  card.append(canvas, words);
  byId("cards").prepend(card);
  const note = element("p", "note", say.working);
  words.append(note);
  const photo = await drawn(file, canvas);
  if (photo === null) canvas.remove();
  try {
    const answer = await ask("predict", {}, file);
    for (const row of answer.predictions[0].top) list.append(line(row));
    note.textContent = "";
  } catch (error) {
    note.textContent = error.message;
    note.classList.add("error");
  }

  function line(row) {
    const button = element("button");
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    const bar = document.createElement("progress");
    bar.max = 1;
    bar.value = row.p;
    button.append(element("span", "class", row.class), bar, element("span", "p", `${(100 * row.p).toFixed(1)} %`));
    button.disabled = photo === null;
    button.addEventListener("click", () => toggle(button, row));
    const item = element("li");
    item.append(button);
    return item;
  }

  async function toggle(button, row) {
    const on = button.getAttribute("aria-pressed") !== "true";
    for (const other of list.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
    const pen = canvas.getContext("2d");
    pen.putImageData(photo, 0, 0);
    note.textContent = "";
    if (!on) return;
    button.setAttribute("aria-pressed", "true");
    try {
      const map = await ask("cam", { class: row.index }, file);
      if (button.getAttribute("aria-pressed") === "true") pen.putImageData(overlaid(photo, map), 0, 0);
    } catch (error) {
      note.textContent = `${say.nomap}: ${error.message}`;
    }
  }
}

async function showAll(files) {
  for (const file of files) await show(file);
}

const drop = byId("drop");
byId("files").addEventListener("change", (event) => showAll([...event.target.files]));
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", () => drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  showAll([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => showAll([...event.clipboardData.files]));
