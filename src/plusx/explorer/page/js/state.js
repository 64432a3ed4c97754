/** @typedef {import("./types.js").State} State */

const DETAILS = ["stages", "blocks", "ops"];

/**
 * The state that an address holds; what it does not say is taken from `defaults`.
 *
 * @param {string} hash
 * @param {State} defaults
 * @returns {State}
 */
export function readState(hash, defaults) {
  const found = new URLSearchParams(hash.replace(/^#/, ""));
  /** @param {"net" | "size" | "detail" | "pin" | "place" | "cell" | "lang" | "theme"} key */
  const text = (key) => found.get(key) ?? defaults[key];
  const step = Number(found.get("step") ?? defaults.step);
  return {
    net: text("net"),
    size: text("size"),
    detail: DETAILS.includes(text("detail")) ? text("detail") : defaults.detail,
    pin: text("pin"),
    place: text("place"),
    cell: /^\d{1,5},\d{1,5}$/.test(text("cell")) ? text("cell") : "",
    step: Number.isInteger(step) && step >= 0 && step < 100 ? step : 0,
    lang: ["en", "zh"].includes(text("lang")) ? text("lang") : defaults.lang,
    theme: ["light", "dark"].includes(text("theme")) ? text("theme") : defaults.theme,
    live: found.get("live") === "1",
  };
}

/**
 * The address of a state. The network is always in it, the rest where it is not the default.
 *
 * @param {State} state
 * @param {State} defaults
 * @returns {string}
 */
export function writeState(state, defaults) {
  const found = new URLSearchParams({ net: state.net });
  for (const key of /** @type {const} */ (["size", "detail", "pin", "place", "cell", "lang", "theme"])) {
    if (state[key] !== defaults[key]) found.set(key, state[key]);
  }
  if (state.step) found.set("step", String(state.step));
  if (state.live) found.set("live", "1");
  return `#${found}`;
}

/**
 * The state of an address that says nothing.
 *
 * @param {string} net
 * @returns {State}
 */
export function firstState(net) {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return {
    net,
    size: "",
    detail: "blocks",
    pin: "",
    place: "",
    cell: "",
    step: 0,
    lang: navigator.language.startsWith("zh") ? "zh" : "en",
    theme: dark ? "dark" : "light",
    live: false,
  };
}
