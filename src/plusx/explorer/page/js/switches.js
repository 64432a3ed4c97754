import { h, rove, show } from "./dom.js";

/**
 * @typedef {import("./types.js").Switch} Switch
 * @typedef {import("./types.js").Say} Say
 * @typedef {{key: string, message: string} | null} Refused
 */

const GROUPS = ["network", "stem", "blocks", "geometry", "ends", "more"];

/**
 * The keys of the language as switches, in groups.
 *
 * @param {HTMLElement} host
 * @param {import("./types.js").View} view
 * @param {{size: string}} state
 * @param {import("./types.js").Texts} texts
 * @param {Say} say
 * @param {Refused} refused the switch whose value was refused, and why
 * @param {(key: string, value: string) => void} change
 */
export function renderSwitches(host, view, state, texts, say, refused, change) {
  const open = host.querySelector("details.more")?.hasAttribute("open") ?? false;
  const groups = GROUPS.map((group) => {
    const own = view.switches.filter((each) => each.group === group);
    const rows = own.map((each) => row(each, say, refused, change));
    if (group === "network") rows.unshift(presets(view, texts, say, change));
    if (group === "ends") rows.splice(1, 0, size(view, state, say, refused, change));
    const title = say(`group.${group}`);
    if (group === "more") {
      const changed = own.some((each) => refused?.key === each.key);
      return h("details", { class: "group more", open: open || changed }, h("summary", {}, title), ...rows);
    }
    return h("section", { class: "group", "aria-label": title }, h("h3", {}, title), ...rows);
  });
  show(host, ...groups);
}

/**
 * @param {import("./types.js").View} view
 * @param {import("./types.js").Texts} texts
 * @param {Say} say
 * @param {(key: string, value: string) => void} change
 */
function presets(view, texts, say, change) {
  const now = view.text.split(" ")[0];
  const options = texts.presets.map(({ name, source }) =>
    h("option", { value: name, selected: name === now, title: source }, name),
  );
  /** @param {Event} event */
  const chosen = (event) => change("preset", /** @type {HTMLSelectElement} */ (event.target).value);
  return h(
    "div",
    { class: "row" },
    h("label", { for: "switch-preset", class: "key" }, say("preset")),
    h("select", { id: "switch-preset", onchange: chosen }, ...options),
  );
}

/**
 * @param {import("./types.js").View} view
 * @param {{size: string}} state
 * @param {Say} say
 * @param {Refused} refused
 * @param {(key: string, value: string) => void} change
 */
function size(view, state, say, refused, change) {
  const [height, width] = view.size;
  const now = height === width ? String(height) : `${height}x${width}`;
  const key = { key: "size", group: "ends", meaning: say("size.meaning"), value: state.size || now, example: "224" };
  return field(key, say("size"), refused, change);
}

/**
 * @param {Switch} each
 * @param {Say} say
 * @param {Refused} refused
 * @param {(key: string, value: string) => void} change
 */
function row(each, say, refused, change) {
  return each.choices ? choice(each, say, refused, change) : field(each, each.key, refused, change);
}

/**
 * A key with words: one button a word. Impossible words stay reachable, so that their reason can be read.
 *
 * @param {Switch} each
 * @param {Say} say
 * @param {Refused} refused
 * @param {(key: string, value: string) => void} change
 */
function choice(each, say, refused, change) {
  const id = `switch-${each.key}`;
  const own = refused?.key === each.key ? refused.message : "";
  const reason = h("p", { class: own ? "error" : "why", id: `${id}-why`, "aria-live": "polite" }, own);
  const buttons = (each.choices ?? []).map(({ value, why }) => {
    const checked = value === each.value;
    const explain = () => {
      if (!own) reason.textContent = why ?? "";
    };
    return h(
      "button",
      {
        type: "button",
        role: "radio",
        id: `${id}-${value}`,
        class: "chip",
        "aria-checked": String(checked),
        "aria-disabled": why ? "true" : null,
        "aria-describedby": why ? `${id}-why` : null,
        tabindex: checked ? 0 : -1,
        onfocus: explain,
        onmouseenter: explain,
        onclick: () => (why ? explain() : checked || change(each.key, value)),
      },
      label(each.key, value, say),
    );
  });
  const group = h(
    "div",
    {
      class: "chips",
      role: "radiogroup",
      "aria-labelledby": `${id}-key`,
      onkeydown: (/** @type {KeyboardEvent} */ event) => rove(event, buttons),
      onmouseleave: () => !own && (reason.textContent = ""),
      onfocusout: () => !own && (reason.textContent = ""),
    },
    ...buttons,
  );
  return h("div", { class: "row" }, h("span", { class: "key", id: `${id}-key`, title: each.meaning }, each.key), group, reason);
}

/**
 * @param {string} key
 * @param {string} value
 * @param {Say} say
 */
function label(key, value, say) {
  return key === "until" && !value ? say("whole") : value;
}

/**
 * A key with numbers or free text: a field that takes effect on Enter, or when it is left.
 *
 * @param {Switch} each
 * @param {string} name
 * @param {Refused} refused
 * @param {(key: string, value: string) => void} change
 */
function field(each, name, refused, change) {
  const id = `switch-${each.key}`;
  const own = refused?.key === each.key ? refused.message : "";
  const input = h("input", {
    id,
    type: "text",
    class: "field",
    value: each.value,
    placeholder: each.example,
    spellcheck: "false",
    autocomplete: "off",
    maxlength: 200,
    "aria-invalid": own ? "true" : null,
    "aria-describedby": own ? `${id}-error` : null,
    title: each.meaning,
    onchange: () => input.value.trim() !== each.value && change(each.key, input.value.trim()),
  });
  return h(
    "div",
    { class: "row inline" },
    h("label", { for: id, class: "key", title: each.meaning }, name),
    input,
    own ? h("p", { class: "error", id: `${id}-error`, role: "alert" }, own) : null,
  );
}
