import { h, show } from "./dom.js";

/**
 * The card of the guided tour.
 *
 * @param {HTMLElement} host
 * @param {import("./types.js").TourStep[]} steps
 * @param {number} step from 1; 0 hides the card
 * @param {import("./types.js").Say} say
 * @param {(step: number) => void} go
 */
export function renderTour(host, steps, step, say, go) {
  const found = steps[step - 1];
  host.hidden = !found;
  if (!found) return show(host);
  const last = step === steps.length;
  const dots = steps.map(({ title }, number) =>
    h("button", {
      type: "button",
      class: "step-dot",
      id: `tour-${number + 1}`,
      "aria-label": `${number + 1}. ${title}`,
      title,
      "aria-current": number + 1 === step ? "step" : null,
      onclick: () => go(number + 1),
    }),
  );
  show(
    host,
    h(
      "div",
      { class: "menu-head" },
      h("p", { class: "muted" }, say("tour.step", { n: step, of: steps.length })),
      h("button", { type: "button", id: "tour-close", class: "tool small", "aria-label": say("close"), onclick: () => go(0) }, "✕"),
    ),
    h("div", { "aria-live": "polite" }, h("h2", { id: "tour-title" }, found.title), h("p", {}, found.text)),
    h(
      "div",
      { class: "tour-foot" },
      h("button", { type: "button", id: "tour-back", class: "tool", disabled: step === 1, onclick: () => go(step - 1) }, say("back")),
      h("div", { class: "dots" }, ...dots),
      h(
        "button",
        { type: "button", id: "tour-next", class: "tool primary", onclick: () => go(last ? 0 : step + 1) },
        say(last ? "close" : "next"),
      ),
    ),
  );
}
