// What stands beside and below the timeline: the state now, the label buttons, the legend, bouts.

import { colour } from "./colours.js";
import { el, fill, swatch, table } from "./dom.js";
import { clock, duration, labelText, wall } from "./format.js";

const SHOWN_BOUTS = 200;
const MANY_CLASSES = 12;

/** The state at a moment; returns what it says of the bout. */
export function showNow(host, model, seconds) {
  const { shown, classes, indices, wallStart } = model;
  const at = shown.at(seconds);
  const label = at < 0 ? undefined : classes[shown.codes[at]] ?? null;
  const sure = at < 0 || label === null ? "" : `confidence ${shown.confidences[at].toFixed(2)}, `;
  const facts = at < 0 ? "outside the timeline"
    : `${sure}${clock(shown.starts[at])} to ${clock(shown.ends[at])}, ${duration(shown.ends[at] - shown.starts[at])}`;
  fill(host,
    el("p", { class: "where" }, el("span", { class: "number", text: clock(seconds) }),
      wallStart !== null && el("span", { text: wall(wallStart + seconds) })),
    el("p", { class: "label" }, swatch(label ? colour(indices[shown.codes[at]]) : null),
      el("span", { text: at < 0 ? "–" : labelText(label) })),
    el("p", { class: "facts", text: facts }));
  return facts;
}

/** How a stream of a service is doing; nothing of one that was read to its end. */
export function showCondition(host, stream) {
  const kind = { running: "good", failed: "bad", reconnecting: "bad" }[stream.status] ?? "";
  const lag = stream.status === "running" && stream.lag_seconds !== null ? `lag ${duration(stream.lag_seconds)}` : "";
  fill(host, el("span", { class: `badge ${kind}`, text: stream.status }),
    lag && el("span", { class: "note", text: lag }),
    stream.machine && el("span", { class: "note", text: `on ${stream.machine}` }),
    stream.problem && el("span", { class: "error-line", text: stream.problem }));
  host.hidden = stream.status === "ended" && !stream.problem;
}

/** A button for each class; of many, a box to find them. `choose(label)`, null: cannot be seen. */
export function showLabels(host, model, choose) {
  const { classes, indices } = model;
  const buttons = classes.map((label, code) => el("button", { type: "button",
    onclick: () => choose(label), "aria-keyshortcuts": code < 9 ? String(code + 1) : null },
  swatch(colour(indices[code])), el("span", { text: label }),
  code < 9 && el("kbd", { text: String(code + 1), "aria-hidden": "true" })));
  fill(host, ...buttons, el("button", { type: "button", onclick: () => choose(null),
    "aria-keyshortcuts": "0" }, swatch(null), el("span", { text: "cannot be seen" }),
  el("kbd", { text: "0", "aria-hidden": "true" })));
  if (classes.length <= MANY_CLASSES) return;
  const search = el("input", { type: "search", placeholder: "Find a class", "aria-label": "Find a class" });
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase();
    buttons.forEach((button, code) => { button.hidden = !classes[code].toLowerCase().includes(words); });
  });
  host.before(search);
}

export function showLegend(host, model) {
  const used = model.names.map((name, group) => ({ name, group }))
    .filter(({ group }) => model.totals[group] > 0);
  const holes = model.predicted.codes.includes(-1);
  fill(host, used.map(({ name, group }) =>
    el("li", {}, swatch(colour(model.colours[group])), name)),
  holes ? el("li", {}, swatch(null), "unobserved") : null);
}

/** The bouts in view as a table; `seek(seconds)` goes to one. */
export function showBouts(host, model, view, seek) {
  const { shown, classes } = model;
  const [first, last] = shown.within(view.from, view.to);
  const rows = [];
  for (let i = first; i < Math.min(last, first + SHOWN_BOUTS); i += 1) {
    rows.push([el("button", { type: "button", text: clock(shown.starts[i], true),
      onclick: () => seek(shown.starts[i]) }), clock(shown.ends[i], true),
    labelText(classes[shown.codes[i]]), shown.codes[i] < 0 ? "–" : shown.confidences[i].toFixed(2)]);
  }
  const more = last - first > SHOWN_BOUTS ? `; the first ${SHOWN_BOUTS} are listed, zoom in for others` : "";
  fill(host, table(`${last - first} bouts in view${more}`,
    ["from", "to", "state", "confidence"], rows));
}
