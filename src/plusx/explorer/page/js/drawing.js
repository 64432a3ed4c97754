import { rove, show } from "./dom.js";

/**
 * @typedef {import("./types.js").View} View
 * @typedef {import("./types.js").Numbers} Numbers
 * @typedef {{name: string, pinned: boolean}} At a place, and whether it is the pinned network's
 * @typedef {{select: (at: At) => void, zoom: (detail: string, place: string) => void, hover: (at: At | null) => void}} Acts
 */

export const DETAILS = ["stages", "blocks", "ops"];

/**
 * The drawing that Python made, with its ops as buttons.
 *
 * @param {HTMLElement} host
 * @param {View} view
 * @param {string} place the selected one
 * @param {string} help
 * @param {Acts} acts
 */
export function renderDrawing(host, view, place, help, acts) {
  const parsed = new DOMParser().parseFromString(view.svg, "image/svg+xml").documentElement;
  const drawing = document.importNode(parsed, true);
  drawing.setAttribute("role", "group");
  drawing.setAttribute("aria-label", drawing.querySelector("title")?.textContent ?? "");
  drawing.setAttribute("aria-description", help);
  const items = itemsOf(drawing, view);
  const chosen = items.find((item) => nameOf(item) === place && !isPinned(item, view)) ?? items[0];
  for (const item of items) {
    item.setAttribute("role", "button");
    item.setAttribute("aria-label", item.querySelector("title")?.textContent ?? "");
    item.setAttribute("tabindex", item === chosen ? "0" : "-1");
  }
  const selected = place ? groupOf(drawing, view, place) : null;
  selected?.classList.add("selected");
  if (selected && items.includes(selected)) selected.setAttribute("aria-pressed", "true");
  listen(drawing, view, items, acts);
  const focused = host.contains(document.activeElement) ? nameOf(/** @type {Element} */ (document.activeElement)) : "";
  show(host, drawing);
  const again = focused && items.find((item) => nameOf(item) === focused && !isPinned(item, view));
  if (again) /** @type {SVGGElement} */ (again).focus({ preventScroll: true });
}

/**
 * Brings a place of the drawing into sight.
 *
 * @param {HTMLElement} host
 */
export function revealSelected(host) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  host.querySelector(".selected")?.scrollIntoView({ block: "center", inline: "nearest", behavior: calm ? "auto" : "smooth" });
}

/**
 * The groups that can be selected: ops; at stages, where a block is one bar, blocks.
 *
 * @param {Element} drawing
 * @param {View} view
 */
function itemsOf(drawing, view) {
  return [...drawing.querySelectorAll("[data-name]")].filter((group) => {
    const found = placesOf(group, view)[nameOf(group)];
    return found && (view.detail === "stages" ? !found.in : !found.block);
  });
}

/** @param {Element} group */
function nameOf(group) {
  return group.getAttribute("data-name") ?? "";
}

/**
 * Whether a group belongs to the pinned network, which is drawn first.
 *
 * @param {Element} group
 * @param {View} view
 */
function isPinned(group, view) {
  return Boolean(view.pinned) && !group.closest('[data-name="panel/2"]');
}

/**
 * @param {Element} group
 * @param {View} view
 */
function placesOf(group, view) {
  return (isPinned(group, view) && view.pinned ? view.pinned : view).places;
}

/**
 * The group of a place of this network: itself, or the block that it is drawn in.
 *
 * @param {Element} drawing
 * @param {View} view
 * @param {string} place
 */
function groupOf(drawing, view, place) {
  const own = [...drawing.querySelectorAll("[data-name]")].filter((group) => !isPinned(group, view));
  const block = view.places[place]?.in;
  const run = place.replace(/^(layer\d+\.\d+)\..*/, "$1");
  for (const name of [place, block, run]) {
    const found = own.find((group) => nameOf(group) === name) ?? own.find((group) => nameOf(group).startsWith(`${name}-`));
    if (name && found) return found;
  }
  return null;
}

/**
 * @param {Element} drawing
 * @param {View} view
 * @param {Element[]} items
 * @param {Acts} acts
 */
function listen(drawing, view, items, acts) {
  /** @param {Event} event */
  const itemAt = (event) => items.find((item) => item.contains(/** @type {Node} */ (event.target))) ?? null;
  /** @param {Element | null} item */
  const at = (item) => (item ? { name: nameOf(item), pinned: isPinned(item, view) } : null);
  drawing.addEventListener("pointerover", (event) => acts.hover(at(itemAt(event))));
  drawing.addEventListener("pointerleave", () => acts.hover(null));
  drawing.addEventListener("focusin", (event) => acts.hover(at(itemAt(event))));
  drawing.addEventListener("focusout", () => acts.hover(null));
  drawing.addEventListener("click", (event) => {
    const item = itemAt(event);
    if (item) activate(item);
    else enlarge(/** @type {Element} */ (event.target));
  });
  drawing.addEventListener("keydown", (event) => {
    const { key } = /** @type {KeyboardEvent} */ (event);
    const item = itemAt(event);
    const step = DETAILS.indexOf(view.detail);
    if (rove(/** @type {KeyboardEvent} */ (event), items)) return;
    if ((key === "Enter" || key === " ") && item) activate(item);
    else if (key === "+" && step < 2) acts.zoom(DETAILS[step + 1], item ? nameOf(item) : "");
    else if ((key === "-" || key === "Escape") && step > 0) acts.zoom(DETAILS[step - 1], item ? nameOf(item) : "");
    else return;
    event.preventDefault();
  });

  /** @param {Element} item */
  function activate(item) {
    const found = /** @type {At} */ (at(item));
    if (view.detail === "stages" && placesOf(item, view)[found.name].block && !found.pinned) acts.zoom("blocks", found.name);
    else acts.select(found);
  }

  /**
   * A click beside the ops goes one step closer: from a stage to its blocks, from a block to its ops.
   *
   * @param {Element} target
   */
  function enlarge(target) {
    const group = target.closest("[data-name]");
    const step = DETAILS.indexOf(view.detail);
    if (!group || step > 1) return;
    const box = group.closest('[data-name^="layer"]');
    const name = box ? nameOf(box).split("/")[0] : "";
    const inBlock = Boolean(placesOf(group, view)[name]?.block);
    if (name && (view.detail === "stages" || inBlock)) acts.zoom(DETAILS[step + 1], isPinned(group, view) ? "" : name);
  }
}
