import { h, s, show } from "./dom.js";

/**
 * @typedef {import("./types.js").View} View
 * @typedef {import("./types.js").Part} Part
 * @typedef {import("./types.js").Say} Say
 */

/**
 * Totals: the four numbers that people compare, and the sum of the depth with its layers.
 *
 * @param {HTMLElement} host
 * @param {View} view
 * @param {Say} say
 * @param {string} lang
 * @param {(name: string) => void} select
 */
export function renderTotals(host, view, say, lang, select) {
  const whole = new Intl.NumberFormat(lang === "zh" ? "zh-CN" : "en");
  const { totals, depth, pinned } = view;
  const before = pinned?.totals;
  const cells = [
    stat(say("params"), totals.params_text, whole.format(totals.params), before && change(totals.params, before.params)),
    stat(say("macs"), totals.macs_text, whole.format(totals.macs), before && change(totals.macs, before.macs)),
    stat(say("depth"), String(depth.counted), "", pinned && change(depth.counted, pinned.depth.counted)),
    stat(
      say("weights.short"),
      totals.state_text,
      `${say("weights")}: ${totals.state_text}\n${say("activations")}: ${totals.activations_text}`,
      before && change(totals.state_bytes, before.state_bytes),
    ),
  ];
  show(
    host,
    h("dl", { class: "stats" }, ...cells),
    h("p", { class: "exact" }, `${whole.format(totals.params)} ${say("params")} · ${whole.format(totals.macs)} ${say("macs")}`),
    h("p", { class: "exact" }, `${say("activations")}: ${totals.activations_text}`),
    h(
      "div",
      { class: "depth" },
      h("p", { class: "sum", title: say("depth.help") }, depth.sum),
      strip(view, say, select),
    ),
  );
}

/**
 * @param {string} name
 * @param {string} value
 * @param {string} title
 * @param {string} [changed]
 */
function stat(name, value, title, changed) {
  return h(
    "div",
    { class: "stat", title },
    h("dt", {}, name),
    h("dd", {}, value, changed ? h("span", { class: "delta" }, changed) : null),
  );
}

/**
 * @param {number} now
 * @param {number} before
 */
function change(now, before) {
  if (now === before || !before) return now === before ? "=" : "";
  const percent = (100 * (now - before)) / before;
  return `${percent > 0 ? "+" : "−"}${Math.abs(percent).toFixed(Math.abs(percent) < 10 ? 1 : 0)} %`;
}

/**
 * The counted layers as a strip, a colour a part.
 *
 * @param {View} view
 * @param {Say} say
 * @param {(name: string) => void} select
 */
function strip(view, say, select) {
  const ops = view.depth.ops;
  const bars = ops.map((name, number) => {
    const part = /^layer(\d)/.exec(name)?.[1] ?? (name === "fc" ? "head" : "stem");
    return s(
      "rect",
      { class: `layer part-${part}`, x: number + 0.08, y: 0, width: 0.84, height: 1, onclick: () => select(name) },
      s("title", {}, `${number + 1}: ${name}`),
    );
  });
  return s(
    "svg",
    {
      class: "strip",
      viewBox: `0 0 ${Math.max(ops.length, 1)} 1`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": `${view.depth.sum}. ${say("depth.help")}`,
    },
    ...bars,
  );
}

/**
 * The parts with their maps, receptive fields and costs, each with a bar.
 *
 * @param {HTMLElement} host
 * @param {View} view
 * @param {Say} say
 */
export function renderGeometry(host, view, say) {
  const side = Math.min(...view.size);
  /** @param {(part: Part) => number} of */
  const most = (of) => Math.max(...view.parts.map(of), 1);
  const [params, macs, field] = [most((part) => part.params), most((part) => part.macs), most((part) => part.rf)];
  const heads = [say("part"), say("output"), say("stride"), say("rf.short"), say("params"), say("macs")];
  const rows = view.parts.map((part) => {
    const [c, height, width] = part.out;
    const kind = part.name.startsWith("layer") ? part.name.slice(5) : part.name;
    const title = part.names.join(" = ");
    return h(
      "tr",
      { class: `part-${kind}` },
      h("th", { scope: "row", title }, part.blocks ? part.name : part.title),
      h("td", {}, chart(`${c}×${height}×${width}`, Math.sqrt((height * width) / (view.size[0] * view.size[1])))),
      h("td", {}, String(part.jump)),
      h("td", { title: part.rf > side ? `> ${side}` : null }, chart(`${part.rf}${part.global ? "*" : ""}`, part.rf / field)),
      h("td", {}, chart(part.params_text, part.params / params)),
      h("td", {}, chart(part.macs_text, part.macs / macs)),
    );
  });
  const whole = view.parts.find((part) => part.global)?.global;
  show(
    host,
    h("h2", { id: "geometry-title" }, say("geometry")),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "geometry-title" },
      h(
        "table",
        { class: "parts" },
        h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
        h("tbody", {}, ...rows),
      ),
    ),
    whole ? h("p", { class: "note" }, `* ${say("field.global", { op: whole })}`) : null,
  );
}

/**
 * A number with a bar below it.
 *
 * @param {string} text
 * @param {number} share
 */
function chart(text, share) {
  const length = Math.max(Math.min(share, 1), 0) * 100;
  return h(
    "span",
    { class: "chart" },
    text,
    s(
      "svg",
      { viewBox: "0 0 100 3", preserveAspectRatio: "none", "aria-hidden": "true" },
      s("rect", { class: "track", width: 100, height: 3 }),
      s("rect", { class: "filled", width: length.toFixed(1), height: 3 }),
    ),
  );
}

/**
 * What changes from the pinned network, in the words of `plusx diff`.
 *
 * @param {HTMLElement} host
 * @param {View} view
 * @param {Say} say
 */
export function renderDiff(host, view, say) {
  const { diff } = view;
  if (!diff) return show(host);
  if (diff.equal) return show(host, h("h2", {}, say("diff")), h("p", {}, say("diff.equal")));
  const fields = diff.fields.map(([key, before, after]) => h("li", {}, h("code", {}, `${key}: ${before} → ${after}`)));
  const figures = diff.figures.map((row) =>
    h(
      "tbody",
      { class: row.change === "=" ? "same" : null },
      h("tr", {}, h("th", { scope: "rowgroup", colspan: 3 }, row.name)),
      h("tr", {}, ...[row.before, row.after, row.change].map((text) => h("td", {}, text))),
    ),
  );
  const heads = [say("before"), say("after"), say("change")];
  show(
    host,
    h("h2", { id: "diff-title" }, say("diff")),
    h("ul", { class: "fields" }, ...fields),
    h("ul", { class: "changes" }, ...diff.changes.map((line) => h("li", {}, line))),
    h(
      "div",
      { class: "scroll", tabindex: 0, role: "region", "aria-labelledby": "diff-title" },
      h(
        "table",
        { class: "figures" },
        h("thead", {}, h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)))),
        ...figures,
      ),
    ),
    h("p", {}, diff.weights),
  );
}
