// Which past moments the model attends to: attention against the age of what is remembered.

import { api } from "./api.js";
import { el, fill, table } from "./dom.js";
import { clock, duration, labelText, percent } from "./format.js";

const NO_SLOTS = "This model's memory has no slots that could be shown, or nothing is in them yet.";
const AWAY = "Nothing is read now: no frames come.";
const NOTHING = {
  ended: "A finished timeline does not hold what the model attended to.",
  stopped: "The stream is stopped, and its model reads nothing.",
  failed: "The stream has failed, and its model reads nothing.",
  waiting: AWAY,
  reconnecting: AWAY,
};
const HISTORY = 240;
const BAR_HEIGHT = 76;
const MAP_HEIGHT = 96;
const GUTTER = 84;

/** Shows the memory in `host`; `update()` asks anew. handlers: seek(seconds), labelAt, attended, found. */
export class MemoryView {
  constructor(host, stream, handlers) {
    Object.assign(this, { host, stream, handlers });
    this.history = new Map();
    this.nodes = new Map();
    fill(host, el("div", { class: "waiting waiting-box", "aria-label": "Loading" }));
  }

  async update() {
    if (this.busy) return;
    this.busy = true;
    try {
      this.show(await api.memory(this.stream.name));
    } catch (error) {
      if (!this.nodes.size || error.status === 404) this.explain(error);
    } finally {
      this.busy = false;
    }
  }

  explain(error) {
    this.nodes.clear();
    this.handlers.attended([]);
    if (error.status && error.status !== 404) {
      fill(this.host, el("p", { class: "error", text: error.message }),
        el("button", { type: "button", text: "Try again", onclick: () => this.update() }));
      return;
    }
    fill(this.host,
      el("p", { class: "empty", text: NOTHING[this.stream.status] ?? NO_SLOTS }),
      el("p", { class: "note", text: "While a stream runs under vigilia serve, this shows which past "
        + "moments the model reads, and how much of its attention each of them gets." }));
  }

  show(memory) {
    const stages = memory.stages.filter((one) => one.slots.length || one.feedback_attention > 0);
    if (!stages.length || memory.seconds === null) {
      this.explain({ status: 404 });
      return;
    }
    if (!this.nodes.size) {
      fill(this.host, el("p", { class: "note", text: "Now is on the left, the past to the right. "
        + "Bars: how much the last clip read from each remembered moment. Below: the same as time "
        + "went by, the latest on top. Choose a bar to go to that moment." }));
    }
    if (!this.nodes.size) this.handlers.found();
    // All of them first: they share the width.
    for (const stage of stages) this.node(stage.stage);
    const attended = [];
    for (const stage of stages) {
      this.remember(stage, memory.seconds);
      this.draw(stage, memory.seconds);
      for (const slot of stage.slots) {
        attended.push({ seconds: memory.seconds - slot.age_seconds, attention: slot.attention });
      }
    }
    this.handlers.attended(attended);
  }

  remember(stage, seconds) {
    const rows = this.history.get(stage.stage) ?? [];
    if (rows[0]?.seconds === seconds) return;
    rows.unshift({ seconds, slots: stage.slots });
    this.history.set(stage.stage, rows.slice(0, HISTORY));
  }

  node(number) {
    if (this.nodes.has(number)) return this.nodes.get(number);
    const canvas = el("canvas", { role: "img" });
    const words = el("p", { class: "note" });
    const rows = el("div", { class: "wide" });
    const details = el("details", {}, el("summary", { text: "As a table" }), rows);
    const box = el("div", { class: "memory-stage" },
      el("h3", { text: `Stage ${number}` }), canvas, words, details);
    this.host.append(box);
    const node = { canvas, words, rows, details, last: null };
    new ResizeObserver(() => this.paint(number)).observe(canvas);
    canvas.addEventListener("click", (event) => {
      const { slots, seconds, oldest } = node.last;
      const box = canvas.getBoundingClientRect();
      const age = ageAt((event.clientX - box.left - GUTTER) / (box.width - GUTTER), oldest);
      const nearest = slots.toSorted((a, b) => Math.abs(a.age_seconds - age) - Math.abs(b.age_seconds - age))[0];
      if (nearest) this.handlers.seek(seconds - nearest.age_seconds);
    });
    details.addEventListener("toggle", () => this.fillTable(node));
    this.nodes.set(number, node);
    return node;
  }

  draw(stage, seconds) {
    const node = this.nodes.get(stage.stage);
    const history = this.history.get(stage.stage);
    const oldest = Math.max(10, ...history.flatMap((row) => row.slots.map((slot) => slot.age_seconds)));
    node.last = { slots: stage.slots, seconds, oldest };
    const strongest = stage.slots.reduce((best, one) => (one.attention > (best?.attention ?? 0) ? one : best), null);
    const says = [
      strongest && `Most on what was ${duration(strongest.age_seconds)} ago (${percent(strongest.attention)}`
        + `${this.described(seconds - strongest.age_seconds)}).`,
      `Slots ${percent(stage.slots.reduce((sum, one) => sum + one.attention, 0))}, `
        + `feedback ${percent(stage.feedback_attention)}, nothing ${percent(stage.nothing_attention)}.`,
    ].filter(Boolean).join(" ");
    node.words.textContent = says;
    node.canvas.setAttribute("aria-label", `Attention of stage ${stage.stage} by age. ${says}`);
    this.paint(stage.stage);
    if (node.details.open) this.fillTable(node);
  }

  described(seconds) {
    const label = this.handlers.labelAt(seconds);
    return label === undefined ? "" : `, ${labelText(label)} then`;
  }

  fillTable(node) {
    if (!node.details.open || !node.last) return;
    const { slots, seconds } = node.last;
    const rows = slots.toSorted((a, b) => b.attention - a.attention).map((slot) => {
      const moment = seconds - slot.age_seconds;
      return [duration(slot.age_seconds), percent(slot.attention), String(slot.span_clips),
        labelText(this.handlers.labelAt(moment)),
        el("button", { type: "button", text: clock(moment), onclick: () => this.handlers.seek(moment) })];
    });
    fill(node.rows, table("Remembered moments, the most attended first",
      ["age", "attention", "clips", "state then", "moment"], rows));
  }

  paint(number) {
    const { canvas, last } = this.nodes.get(number) ?? {};
    if (last) paintMemory(canvas, last.slots, this.history.get(number), last.oldest);
  }

  redraw() {
    for (const number of this.nodes.keys()) this.paint(number);
  }
}

// Ages on a root scale: the last minute has room, and so has the last hour.
const place = (age, oldest) => Math.sqrt(Math.max(0, age) / oldest);
const ageAt = (at, oldest) => oldest * Math.max(0, at) ** 2;

function paintMemory(canvas, slots, history, oldest) {
  const width = canvas.clientWidth;
  if (!width) return;
  const ratio = window.devicePixelRatio || 1;
  const height = BAR_HEIGHT + MAP_HEIGHT + 30;
  canvas.width = width * ratio;
  canvas.height = height * ratio;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  const style = getComputedStyle(document.documentElement);
  const [accent, faint, line, soft] = ["accent", "faint", "line", "soft"]
    .map((name) => style.getPropertyValue(`--${name}`).trim());
  const area = width - GUTTER - 8;
  const x = (age) => GUTTER + place(age, oldest) * area;
  // To the largest of all that is drawn: shares of many slots are small, and the axis says how small.
  const most = Math.max(0.001, ...history.flatMap((row) => row.slots.map((slot) => slot.attention)));
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  context.fillStyle = faint;
  context.fillText("attention", 0, BAR_HEIGHT / 2);
  context.fillText(percent(most), 0, 8);
  context.fillText("as time", 0, BAR_HEIGHT + 24 + MAP_HEIGHT / 2 - 7);
  context.fillText("went by", 0, BAR_HEIGHT + 24 + MAP_HEIGHT / 2 + 7);
  context.fillStyle = line;
  context.fillRect(GUTTER, BAR_HEIGHT - 0.5, area, 1);
  const widths = edges(slots, x, GUTTER + area);
  context.fillStyle = accent;
  slots.forEach((slot, index) => {
    const [left, right] = widths[index];
    const tall = (slot.attention / most) * (BAR_HEIGHT - 16);
    context.fillRect(left + 0.5, BAR_HEIGHT - tall, Math.max(1, right - left - 1), tall);
  });
  context.textAlign = "center";
  for (const age of niceAges(oldest)) {
    context.fillStyle = faint;
    context.fillText(age ? duration(age) : "now", Math.min(x(age), width - 18), BAR_HEIGHT + 11);
  }
  context.textAlign = "start";
  const top = BAR_HEIGHT + 24;
  context.fillStyle = soft;
  context.fillRect(GUTTER, top, area, MAP_HEIGHT);
  const step = Math.min(6, MAP_HEIGHT / Math.max(1, history.length));
  context.fillStyle = accent;
  history.forEach((row, index) => {
    const spans = edges(row.slots, x, GUTTER + area);
    row.slots.forEach((slot, at) => {
      context.globalAlpha = Math.min(1, slot.attention / most);
      context.fillRect(spans[at][0], top + index * step, Math.max(1, spans[at][1] - spans[at][0]), step);
    });
  });
  context.globalAlpha = 1;
}

/** Each slot reaches half-way to its neighbours: (left, right) in the slots' own order. */
function edges(slots, x, limit) {
  const order = slots.map((_, index) => index).sort((a, b) => slots[a].age_seconds - slots[b].age_seconds);
  const found = new Array(slots.length);
  order.forEach((index, at) => {
    const here = slots[index].age_seconds;
    const before = at ? slots[order[at - 1]].age_seconds : Math.max(0, here - 1);
    const after = at + 1 < order.length ? slots[order[at + 1]].age_seconds : here + (here - before);
    found[index] = [x((before + here) / 2), Math.min(limit, x((here + after) / 2))];
  });
  return found;
}

function niceAges(oldest) {
  const wanted = [0, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800];
  const shown = [];
  for (const age of wanted.filter((one) => one <= oldest)) {
    if (!shown.length || place(age, oldest) - place(shown.at(-1), oldest) > 0.14) shown.push(age);
  }
  return shown;
}
