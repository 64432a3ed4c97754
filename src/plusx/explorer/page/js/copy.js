import { h, show } from "./dom.js";

/**
 * @typedef {import("./types.js").Say} Say
 * @typedef {{svg: () => Promise<string>, said: (text: string) => void, name: string}} Source
 */

const FORMS = ["text", "command", "python", "toml", "torchvision", "timm"];

/**
 * The menu of what can be copied: the address, each form of the network, the drawing.
 *
 * @param {HTMLElement} host
 * @param {import("./types.js").View} view
 * @param {Say} say
 * @param {Source} source
 */
export function renderCopy(host, view, say, source) {
  /** @param {string} form @param {() => Promise<void>} act */
  const button = (form, act) =>
    h("button", { type: "button", id: `copy-${form}`, class: "tool", onclick: act }, say(`form.${form}`));
  const rows = FORMS.filter((form) => view.code[form]).map((form) =>
    h(
      "div",
      { class: "form" },
      button(form, () => copyText(view.code[form], say(`form.${form}`), say, source)),
      h("pre", { tabindex: 0, role: "region", "aria-label": say(`form.${form}`) }, h("code", {}, view.code[form])),
    ),
  );
  show(
    host,
    h(
      "div",
      { class: "menu-head" },
      h("h2", {}, say("copy")),
      h("button", { type: "button", class: "tool small", popovertarget: host.id, popovertargetaction: "hide", "aria-label": say("close_menu") }, "✕"),
    ),
    ...rows,
    h(
      "div",
      { class: "form whole" },
      button("link", () => copyText(location.href, say("form.link"), say, source)),
      button("svg", async () => copyText(await source.svg(), say("form.svg"), say, source)),
      button("png", async () => copyPng(await source.svg(), say, source)),
    ),
  );
}

/**
 * @param {string} text
 * @param {string} form
 * @param {Say} say
 * @param {Source} source
 */
async function copyText(text, form, say, source) {
  try {
    await navigator.clipboard.writeText(text);
    source.said(say("copied", { form }));
  } catch {
    // without a clipboard (an address that is not secure) the text is saved as a file
    save(new Blob([text], { type: "text/plain" }), `${source.name}.txt`, say, source);
  }
}

/**
 * @param {string} svg
 * @param {Say} say
 * @param {Source} source
 */
async function copyPng(svg, say, source) {
  const png = await rasterised(svg);
  try {
    await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    source.said(say("copied", { form: say("form.png") }));
  } catch {
    save(png, `${source.name}.png`, say, source);
  }
}

/**
 * The drawing as PNG, two pixels for one.
 *
 * @param {string} svg
 * @returns {Promise<Blob>}
 */
async function rasterised(svg) {
  const address = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const scale = Math.min(2, 16_000 / image.naturalHeight);
    const canvas = h("canvas", { width: Math.round(image.naturalWidth * scale), height: Math.round(image.naturalHeight * scale) });
    const context = canvas.getContext("2d");
    if (!context) throw new Error("no canvas");
    context.scale(scale, scale);
    context.drawImage(image, 0, 0);
    return await new Promise((resolve, reject) => canvas.toBlob((blob) => (blob ? resolve(blob) : reject(new Error("no PNG"))), "image/png"));
  } finally {
    URL.revokeObjectURL(address);
  }
}

/**
 * @param {Blob} blob
 * @param {string} name
 * @param {Say} say
 * @param {Source} source
 */
function save(blob, name, say, source) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
  source.said(say("saved", { name }));
}
