const SVG = "http://www.w3.org/2000/svg";

/** @typedef {string | number | boolean | null | undefined | EventListener} Attribute */

/**
 * An HTML element. `on…` are listeners, null and false are left out; children are nodes or texts, never markup.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | number | null | undefined)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/**
 * An SVG element.
 *
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [attributes]
 * @param {...(Node | string | number | null | undefined)} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  fill(element, attributes, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Record<string, any>} attributes
 * @param {(Node | string | number | null | undefined)[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(typeof child === "number" ? String(child) : child);
  }
}

/**
 * The element with this id.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`there is no #${id}`);
  return found;
}

/**
 * Replaces what is in an element, and gives the focus back to the element of the same id.
 *
 * @param {HTMLElement} host
 * @param {...(Node | string | null | undefined)} children
 */
export function show(host, ...children) {
  const focused = host.contains(document.activeElement) ? document.activeElement?.id : "";
  host.replaceChildren(.../** @type {Node[]} */ (children.filter((child) => child !== null && child !== undefined)));
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

/**
 * Arrow keys, Home and End move the focus among elements of which one alone is a tab stop.
 *
 * @param {KeyboardEvent} event
 * @param {Element[]} items
 * @returns {boolean} whether the key was one of these
 */
export function rove(event, items) {
  const at = items.indexOf(/** @type {Element} */ (document.activeElement));
  const steps = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 };
  let to = -1;
  if (event.key in steps) {
    to = (Math.max(at, 0) + steps[/** @type {keyof typeof steps} */ (event.key)] + items.length) % items.length;
  } else if (event.key === "Home") to = 0;
  else if (event.key === "End") to = items.length - 1;
  if (to < 0 || !items.length) return false;
  event.preventDefault();
  items.forEach((item, number) => item.setAttribute("tabindex", number === to ? "0" : "-1"));
  /** @type {HTMLElement} */ (items[to]).focus();
  return true;
}
