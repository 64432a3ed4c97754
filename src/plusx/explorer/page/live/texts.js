// Texts with values in them.

/** @typedef {(key: string, values?: Record<string, string | number>) => string} Say */

/** Fills the braces of the texts. @param {Record<string, string>} texts @returns {Say} */
export function sayFrom(texts) {
  return (key, values = {}) => texts[key].replace(/\{(\w+)\}/g, (_, name) => String(values[name]));
}

/** @param {number} share @param {number} [digits] */
export const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
