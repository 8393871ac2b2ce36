// The page of one stream: video, state, timeline, memory, corrections, summary, downloads.

import { allSegments, api } from "./api.js";
import { Chart } from "./chart.js";
import { colour } from "./colours.js";
import { fill } from "./dom.js";
import { clock, duration, labelText, wall } from "./format.js";
import { MemoryView } from "./memory.js";
import { extend, makeModel } from "./model.js";
import { showBouts, showCondition, showLabels, showLegend, showNow } from "./panel.js";
import { openPlayer } from "./player.js";
import { Review } from "./review.js";
import { showDownloads, Summary } from "./summary.js";
import { View } from "./view.js";

const DENSITY_WAIT = 150;
const SUMMARY_EVERY = 10_000;

/** What `open.js` shows of a stream; `told`: its whole timeline. */
export class StreamPage {
  constructor(host, stream, told) {
    this.stream = stream;
    fill(host, document.getElementById("stream-page").content.cloneNode(true));
    this.get = (id) => host.querySelector(`#${id}`);
    this.model = makeModel(stream, told);
    this.view = new View(this.model.extent.start, this.model.extent.end);
    this.seconds = stream.live ? this.model.extent.end - 1e-3 : this.model.extent.start;
    this.following = stream.live;
    this.review = new Review(
      { by: this.get("by"), note: this.get("review-note"), body: this.get("corrections").querySelector(".body") },
      stream, this.model,
      { changed: () => this.corrected(), goTo: (from, to) => this.goTo(from, to), place: () => this.seconds },
    );
    this.chart = new Chart(this.get("chart"), this.get("overview"), this.model, this.view, {
      seek: (seconds) => { this.review.selection = null; this.review.doubts.begin(); this.seek(seconds); },
      select: (from, to) => this.select(from, to),
      moved: () => this.moved(),
    });
    this.memory = new MemoryView(this.get("memory").querySelector(".body"), stream, {
      seek: (seconds) => this.goTo(seconds, seconds + 1),
      labelAt: (seconds) => this.labelAt(seconds),
      found: () => this.widen(),
      attended: (moments) => { this.chart.attended = moments; this.chart.refreshGlass(); },
    });
    this.summary = new Summary(this.get("summary").querySelector(".body"), stream,
      (label) => this.model.colourOf(label));
    if (stream.live) this.widen();
    this.wire();
    showCondition(this.get("condition"), stream);
    showLegend(this.get("legend"), this.model);
    this.moved();
    this.follow(this.seconds);
    this.open(host);
  }

  /** There is, or will be, a memory to look at: it gets the whole width, before the summary. */
  widen() {
    for (const id of ["memory", "downloads"]) this.get(id).classList.add("broad");
    this.get("summary").before(this.get("memory"));
  }

  async open(host) {
    showDownloads(this.get("downloads").querySelector(".body"), this.stream,
      () => this.get("corrected").checked);
    this.memory.update();
    this.review.load();
    this.summarise();
    const player = await openPlayer(host.querySelector(".screen"), this.stream,
      (seconds) => this.follow(seconds));
    if (this.closed) player.close();
    else this.player = player;
  }

  wire() {
    const buttons = { "next-doubt": ["doubt", 1], confirm: ["confirm"], undo: ["undo"],
      "zoom-in": ["zoom", 0.5], "zoom-out": ["zoom", 2], fit: ["fit"] };
    for (const [id, what] of Object.entries(buttons)) {
      this.get(id).addEventListener("click", () => this.act(...what));
    }
    this.get("corrected").addEventListener("change", () => this.summarise());
    this.get("bouts").addEventListener("toggle", () => this.bouts());
    const button = this.get("follow");
    button.hidden = !this.stream.live;
    button.addEventListener("click", () => {
      this.setFollowing(!this.following);
      if (this.following) this.seek(this.model.extent.end);
    });
    showLabels(this.get("label-buttons"), this.model, (label) => this.review.label(label));
  }

  setFollowing(on) {
    this.following = on;
    this.get("follow").setAttribute("aria-pressed", String(on));
  }

  /** What a key or a button asks for. */
  act(action, value) {
    const { classes } = this.model;
    const steps = {
      toggle: () => this.player?.toggle(),
      step: () => this.seek(this.seconds + value),
      bout: () => this.bout(value),
      doubt: () => this.review.next(value),
      confirm: () => this.review.label(undefined),
      undo: () => this.review.undo(),
      label: () => {
        if (value < 0) this.review.label(null);
        else if (value < classes.length) this.review.label(classes[value]);
      },
      edge: () => this.edge(value),
      unselect: () => this.select(null),
      zoom: () => { this.view.zoom(value, this.clampToView()); this.chart.moved(); },
      fit: () => { this.view.fit(); this.chart.moved(); },
    };
    steps[action]?.();
  }

  clampToView() {
    const { from, to } = this.view;
    return this.seconds >= from && this.seconds <= to ? this.seconds : (from + to) / 2;
  }

  bout(by) {
    const { shown } = this.model;
    let at = shown.after(this.seconds + 1e-3) - 1;
    // Back goes to the start of this bout first, as players do with songs.
    if (by < 0 && at >= 0 && this.seconds - shown.starts[at] > 1.5) at += 1;
    const to = Math.min(Math.max(at + by, 0), shown.length - 1);
    this.review.selection = null;
    this.seek(shown.starts[to]);
  }

  edge(which) {
    const [from, to] = this.review.target() ?? [this.seconds, this.seconds];
    const chosen = which ? [Math.min(from, this.seconds), this.seconds] : [this.seconds, Math.max(to, this.seconds)];
    if (chosen[1] - chosen[0] > 1e-3) this.select(...chosen);
  }

  select(from, to) {
    const { start, end } = this.model.extent;
    this.review.selection = from === null ? null : [Math.max(from, start), Math.min(to, end)];
    this.showTarget();
  }

  goTo(from, to) {
    const room = Math.max(4 * (to - from), 60);
    if (from < this.view.from || to > this.view.to || to - from < this.view.span / 400) {
      this.view.show((from + to) / 2 - room, (from + to) / 2 + room);
      this.chart.moved();
    }
    this.seek(from);
  }

  seek(seconds) {
    const { start, end } = this.model.extent;
    const to = Math.min(Math.max(seconds, start), end - 1e-3);
    if (this.stream.live) this.setFollowing(to > end - 5);
    this.player?.seek(to);
    this.follow(to);
  }

  /** The pictures are at `seconds`: everything else goes there, too. */
  follow(seconds, playing = false) {
    if (this.closed) return;
    const before = this.seconds;
    this.seconds = seconds;
    this.chart.playhead = seconds;
    const outside = seconds < this.view.from || seconds > this.view.to;
    const wasInside = before >= this.view.from && before <= this.view.to;
    if (outside && (!playing || wasInside)) {
      if (playing) this.view.show(seconds, seconds + this.view.span);
      else this.view.reveal(seconds);
      this.chart.moved();
    }
    this.showTarget();
  }

  labelAt(seconds) {
    const at = this.model.shown.at(seconds);
    return at < 0 ? undefined : this.model.classes[this.model.shown.codes[at]] ?? null;
  }

  showTarget() {
    const { shown, classes } = this.model;
    this.chart.selection = this.review.selection;
    this.chart.refreshGlass();
    const at = shown.at(this.seconds);
    const label = at < 0 ? undefined : classes[shown.codes[at]] ?? null;
    const key = [at, Math.floor(this.seconds), this.review.selection, this.model.revision].join();
    if (key === this.shownKey) return;
    this.shownKey = key;
    const facts = showNow(this.get("now"), this.model, this.seconds);
    const target = this.review.target();
    this.get("target").textContent = !target ? "" : `${this.review.selection ? "selection " : "bout "}`
      + `${clock(target[0])} to ${clock(target[1])}`;
    const { start, end } = this.model.extent;
    const says = { min: start.toFixed(1), max: end.toFixed(1), now: this.seconds.toFixed(1),
      text: `${clock(this.seconds)}, ${labelText(label ?? null)}, ${facts}` };
    for (const [name, value] of Object.entries(says)) this.get("chart").setAttribute(`aria-value${name}`, value);
  }

  moved() {
    const { wallStart } = this.model;
    const read = (seconds) => (wallStart === null ? clock(seconds) : wall(wallStart + seconds));
    this.get("span").textContent = `${read(this.view.from)} to ${read(this.view.to)}, `
      + `${duration(this.view.span)}${this.view.isWhole ? ", all of it" : ""}`;
    this.bouts();
    clearTimeout(this.densityTimer);
    this.densityTimer = setTimeout(() => this.loadDensity(), DENSITY_WAIT);
  }

  async loadDensity() {
    if (this.noScores) return;
    const { from, to, span } = this.view;
    const width = this.chart.width || 1000;
    const ask = (this.asked = {});
    try {
      const points = Math.min(4000, Math.round(width * 1.5));
      const found = await api.seconds(this.stream.name, from - span / 4, to + span / 4, points);
      if (ask !== this.asked || this.closed) return;
      this.model.density = found.probabilities.some(Boolean) ? found : null;
    } catch (error) {
      if (error.status === 404) this.noScores = true;
      return;
    }
    this.chart.refresh();
  }

  bouts() {
    const details = this.get("bouts");
    if (!details?.open) return;
    showBouts(details.querySelector(".wide"), this.model, this.view, (seconds) => this.seek(seconds));
  }

  corrected() {
    this.shownKey = "";
    this.chart.refresh();
    this.showTarget();
    this.bouts();
    clearTimeout(this.summaryTimer);
    this.summaryTimer = setTimeout(() => this.summarise(), 400);
  }

  summarise() {
    this.summarised = Date.now();
    this.summary.show({ corrected: this.get("corrected").checked,
      corrections: this.review.corrections.length, end: this.model.extent.end });
  }

  /** Takes an event of the service. */
  take(kind, event) {
    if (kind === "reset") { this.review.load(); this.more(); return; }
    if (event.stream !== this.stream.name) return;
    if (kind !== "correction") showCondition(this.get("condition"), Object.assign(this.stream, event));
    if (kind === "status") this.memory.update();
    if (kind === "correction") {
      if (!this.review.corrections.some((one) => one.id === event.id) || event.removed) this.review.load();
    } else if (kind === "label") {
      clearTimeout(this.moreTimer);
      this.moreTimer = setTimeout(() => this.more(), 300);
    }
  }

  /** Asks for what was labelled since. */
  async more() {
    const { model } = this;
    const last = model.predicted.length ? model.predicted.starts[model.predicted.length - 1] : null;
    const told = await allSegments(this.stream.name, () => {}, last).catch(() => null);
    if (!told || this.closed) return;
    const wasWhole = this.view.isWhole;
    extend(model, told.segments);
    showLegend(this.get("legend"), model);
    this.view.setExtent(model.extent.start, model.extent.end);
    if (wasWhole) this.view.fit();
    else if (this.following) this.view.show(model.extent.end - this.view.span, model.extent.end);
    this.review.apply();
    if (this.following) this.follow(model.extent.end - 1e-3);
    this.moved();
    this.memory.update();
    if (Date.now() - this.summarised > SUMMARY_EVERY) this.summarise();
  }

  redraw() {
    this.shownKey = "";
    showLegend(this.get("legend"), this.model);
    this.chart.refresh();
    this.memory.redraw();
    this.review.list();
    this.showTarget();
    this.summarise();
    const swatches = this.get("label-buttons").querySelectorAll(".swatch:not(.hole)");
    swatches.forEach((node, code) => { node.style.backgroundColor = colour(this.model.indices[code]); });
  }

  close() {
    this.closed = true;
    for (const timer of [this.densityTimer, this.summaryTimer, this.moreTimer]) clearTimeout(timer);
    this.player?.close();
  }
}
