// Elements and texts.

/** @typedef {(key: string, values?: Record<string, string | number>) => string} Say */

/**
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag @param {Record<string, any>} [properties] class, attributes with a hyphen or role, else properties
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "role" || name === "class" || name === "for") element.setAttribute(name, value);
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children);
  return element;
}

/** Fills the braces of the texts. @param {Record<string, string>} texts @returns {Say} */
export function sayFrom(texts) {
  return (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** @param {number} share @param {number} [digits] */
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
