// Correcting by hand: what is to be corrected, what was corrected, what comes next.

import { api } from "./api.js";
import { colour } from "./colours.js";
import { announce, el, fill, save, swatch, table } from "./dom.js";
import { Doubts } from "./doubts.js";
import { clock, labelText, percent } from "./format.js";
import { resolve } from "./segments.js";
import { filesOf, trainingTable } from "./training.js";

const NAME = "vigilia.by";
const MOST_AT_ONCE = 200;

/**
 * The corrections of a stream. `model` has classes, predicted, shown, resolved; handlers:
 * changed() after the corrections have changed, goTo(from, to) to look at a stretch, place() for
 * the moment that is shown.
 */
export class Review {
  constructor(nodes, stream, model, handlers) {
    Object.assign(this, { nodes, stream, model, handlers });
    this.corrections = [];
    this.selection = null;
    this.doubts = new Doubts(stream, model);
    this.mine = []; // the numbers of what each label made, to undo it
    this.changes = 0;
    nodes.by.value = localStorage.getItem(NAME) ?? "";
    nodes.by.addEventListener("change", () => localStorage.setItem(NAME, nodes.by.value.trim()));
  }

  async load() {
    const before = this.changes;
    let told;
    try {
      told = await api.corrections(this.stream.name);
    } catch (error) {
      this.note(`The corrections cannot be read: ${error.message}`);
      return;
    }
    if (before !== this.changes) {
      await this.load(); // it may be older than what was said here meanwhile
      return;
    }
    this.corrections = told;
    this.apply();
  }

  apply() {
    const index = new Map(this.model.classes.map((label, code) => [label, code]));
    this.model.resolved = resolve(this.corrections);
    this.model.shown = this.model.predicted.corrected(this.model.resolved.map((one) => ({
      start: one.start_seconds, end: one.end_seconds, code: index.get(one.label) ?? -1,
    })));
    this.model.revision += 1;
    this.list();
    this.handlers.changed();
  }

  /** What a key would correct now: the selection, else the bout under the playhead. */
  target() {
    if (this.selection) return this.selection;
    const { shown } = this.model;
    const at = shown.at(this.handlers.place());
    return at < 0 ? null : [shown.starts[at], shown.ends[at]];
  }

  /** The bouts in [from, to), cut to it: [start, end, label]; what has no label is left out. */
  bouts(from, to) {
    const { shown, classes } = this.model;
    const [first, last] = shown.within(from, to);
    const found = [];
    for (let i = first; i < last; i += 1) {
      if (shown.codes[i] < 0) continue;
      const [start, end] = [Math.max(from, shown.starts[i]), Math.min(to, shown.ends[i])];
      if (end - start > 1e-6) found.push([start, end, classes[shown.codes[i]]]);
    }
    return found;
  }

  /** Gives the target a label; null: nothing can be seen; undefined confirms what each bout has. */
  async label(label) {
    const target = this.target();
    if (!target) {
      this.note("There is no bout here.");
      return;
    }
    const [start, end] = target;
    const said = label === undefined ? this.bouts(start, end) : [[start, end, label]];
    if (!said.length) {
      this.note("There is no label here that could be right.");
      return;
    }
    if (said.length > MOST_AT_ONCE) {
      this.note(`These are ${said.length} bouts; confirm ${MOST_AT_ONCE} at most at once.`);
      return;
    }
    this.sending = this.send(said);
    const { made, problem } = await this.sending;
    if (made.length) {
      const numbers = new Set(made.map((one) => one.id));
      this.changes += 1;
      this.corrections = [...this.corrections.filter((one) => !numbers.has(one.id)), ...made];
      this.mine.push([...numbers]);
    }
    if (!problem) this.selection = null;
    if (made.length) this.apply();
    if (problem) {
      this.note(made.length ? `${made.length} of ${said.length} are saved: ${problem}` : `Not saved: ${problem}`);
      return;
    }
    this.note(`${clock(start)} to ${clock(end)} is ${said.length === 1 ? labelText(said[0][2])
      : `right, ${said.length} bouts`}.`);
    if (this.doubts.underWay) await this.next(1, true);
  }

  /** Sends [start, end, label] one after the other, up to the first that cannot be saved. */
  async send(said) {
    const made = [];
    const by = this.nodes.by.value.trim();
    try {
      for (const [start, end, label] of said) {
        made.push(await api.correct(this.stream.name,
          { start_seconds: start, end_seconds: end, label, by }));
      }
    } catch (error) {
      return { made, problem: error.message };
    }
    return { made, problem: "" };
  }

  /** Takes back what was said last, or what has these numbers. */
  async undo(chosen = null) {
    await this.sending; // what is on its way is what was said last
    const ids = chosen ?? this.mine.at(-1);
    if (ids === undefined) {
      this.note("There is nothing to undo.");
      return;
    }
    // At once, so that a second press takes back what was said before.
    const own = this.mine.flat().filter((id) => ids.includes(id));
    this.mine = this.mine.map((some) => some.filter((id) => !ids.includes(id))).filter((some) => some.length);
    const known = this.corrections;
    const gone = new Set();
    let problem = "";
    for (const id of ids) {
      try {
        await api.takeBack(this.stream.name, id);
      } catch (error) {
        if (error.status !== 404) {
          problem = error.message;
          break;
        }
      }
      gone.add(id);
    }
    const taken = known.filter((one) => gone.has(one.id));
    this.changes += 1;
    this.corrections = this.corrections.filter((one) => !gone.has(one.id));
    this.doubts.begin();
    this.apply();
    if (problem) {
      this.mine = [...this.mine, own.filter((id) => !gone.has(id))].filter((some) => some.length);
      this.note(`Not undone: ${problem}`);
      return;
    }
    if (!taken.length) return;
    const start = Math.min(...taken.map((one) => one.start_seconds));
    const end = Math.max(...taken.map((one) => one.end_seconds));
    this.note(`Undone: ${clock(start)} to ${clock(end)}.`);
    this.handlers.goTo(start, end);
  }

  /** Goes to the next stretch by doubt that nobody has looked at; `by` -1 to the one before. */
  async next(by, quietly = false) {
    const one = await this.doubts.step(by, ({ start, end }) => this.model.resolved.some((said) =>
      said.start_seconds < end - 1e-6 && said.end_seconds > start + 1e-6));
    if (!one) {
      this.note(quietly ? "That was the last one." : "There is none further.");
      return;
    }
    this.selection = [one.start, one.end];
    this.handlers.goTo(...this.selection);
    this.note(`Doubt ${one.rank} of ${one.count}: ${labelText(this.model.classes[one.code])}, `
      + `${clock(one.start)} to ${clock(one.end)}, confidence ${one.confidence.toFixed(2)}.`);
  }

  note(text) {
    this.nodes.note.textContent = text;
    announce(text);
  }

  list() {
    const { body } = this.nodes;
    if (!this.corrections.length) {
      fill(body, el("p", { class: "empty", text: "None yet. Choose a bout on the timeline, or press n "
        + "for the least certain one, then press the number of its class." }));
      return;
    }
    const rows = this.corrections.toSorted((a, b) => b.id - a.id).slice(0, 200).map((one) => [
      el("button", { type: "button", text: clock(one.start_seconds, true),
        onclick: () => this.handlers.goTo(one.start_seconds, one.end_seconds) }),
      clock(one.end_seconds, true),
      el("span", {}, swatch(one.label === null ? null : colour(this.model.colourOf(one.label))),
        ` ${labelText(one.label)}`),
      one.by,
      el("button", { type: "button", text: "Remove", onclick: () => this.undo([one.id]),
        "aria-label": `Remove the correction from ${clock(one.start_seconds)}` }),
    ]);
    const seconds = this.model.resolved.reduce((sum, one) => sum + one.end_seconds - one.start_seconds, 0);
    const whole = this.model.extent.end - this.model.extent.start;
    fill(body,
      el("div", { class: "row" }, el("button", { type: "button", text: "Save for training (CSV)",
        onclick: () => this.save() })),
      el("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Corrections" },
        table(`${this.corrections.length} made; ${percent(seconds / whole)} of the time is checked`,
          ["from", "to", "label", "by", ""], rows)));
  }

  async save() {
    const text = trainingTable(this.model.resolved, await filesOf(this.stream), this.model.wallStart);
    save(new Blob([text], { type: "text/csv" }), `${this.stream.name}.corrections.csv`);
  }
}
