// What is least certain: stretches of bouts where there are probabilities, else whole bouts.

import { api } from "./api.js";

const STRETCH_SECONDS = 30;
const ALIKE = 0.1;
const MOST_POINTS = 20_000;
const MOST_NUMBERS = 600_000;

/**
 * The stretches of a stream by doubt, and the way through them. A stretch is known by its start:
 * its rank changes while a stream goes on.
 */
export class Doubts {
  constructor(stream, model) {
    Object.assign(this, { stream, model });
    this.pieces = []; // of the probabilities, as they came
    this.until = null; // how far they reach
    this.begin();
  }

  /** Begins anew, with the least certain one. */
  begin() {
    this.way = [];
    this.place = -1;
  }

  get underWay() { return this.place >= 0; }

  /**
   * The next stretch, or with `by` -1 the one before, that is not `touched(stretch)`:
   * {start, end, code, confidence, rank, count}; null if there is none.
   */
  async step(by, touched) {
    await this.load();
    const order = this.order();
    const known = new Map(order.map((one) => [one.start, one]));
    const open = (start) => known.has(start) && !touched(known.get(start));
    let place = this.place + by;
    while (place >= 0 && place < this.way.length && !open(this.way[place])) place += by;
    if (place === this.way.length) {
      const seen = new Set(this.way);
      const found = order.find((one) => !seen.has(one.start) && !touched(one));
      if (found) this.way.push(found.start);
    }
    const one = known.get(this.way[place]);
    if (!one) return null;
    this.place = place;
    return { ...one, rank: order.indexOf(one) + 1, count: order.length };
  }

  order() {
    const { predicted } = this.model;
    if (this.orderOf !== predicted || this.orderPieces !== this.pieces.length) {
      this.ordered = stretches(predicted, this.pieces)
        .sort((a, b) => a.confidence - b.confidence || a.start - b.start);
      this.orderOf = predicted;
      this.orderPieces = this.pieces.length;
    }
    return this.ordered;
  }

  /** Asks for the probabilities that came since. */
  async load() {
    if (this.none || this.model.predicted.end <= this.until) return;
    this.loading ??= this.ask().finally(() => { this.loading = null; });
    await this.loading;
  }

  async ask() {
    const { classes, predicted } = this.model;
    const points = Math.max(1, Math.min(MOST_POINTS, Math.floor(MOST_NUMBERS / classes.length)));
    try {
      const found = await api.seconds(this.stream.name, this.until, predicted.end, points);
      if (!found.probabilities.length) return;
      this.pieces.push(found);
      this.until = found.start_seconds + found.step_seconds * found.probabilities.length;
    } catch (error) {
      // Without them whole bouts are ranked.
      if (error.status === 404) this.none = true;
    }
  }
}

/**
 * Bouts in stretches of about 30 s, the last as long as is left; neighbours in a bout that are
 * about as certain are one. `pieces`: [{start_seconds, step_seconds, probabilities}], ascending.
 */
export function stretches(segments, pieces) {
  const width = Math.max(STRETCH_SECONDS, ...pieces.map((one) => one.step_seconds));
  const found = [];
  for (let i = 0; i < segments.length; i += 1) {
    const code = segments.codes[i];
    if (code < 0) continue;
    const [first, last] = [segments.starts[i], segments.ends[i]];
    const count = pieces.length ? Math.max(1, Math.round((last - first) / width)) : 1;
    const parts = [];
    for (let k = 0; count > 1 && k < count; k += 1) {
      const start = first + k * width;
      const end = k + 1 < count ? start + width : last;
      const confidence = meanOf(pieces, code, start, end) ?? segments.confidences[i];
      const before = parts.at(-1);
      if (before && Math.abs(before.confidence - confidence) < ALIKE) {
        const share = (end - start) / (end - before.start);
        before.confidence += share * (confidence - before.confidence);
        before.end = end;
      } else parts.push({ start, end, code, confidence });
    }
    // One that is alike throughout is as certain as the timeline says.
    if (parts.length > 1) found.push(...parts);
    else found.push({ start: first, end: last, code, confidence: segments.confidences[i] });
  }
  return found;
}

/** Mean probability of a class in [from, to); null where there is none. */
function meanOf(pieces, code, from, to) {
  let sum = 0;
  let count = 0;
  for (const { start_seconds: start, step_seconds: step, probabilities } of pieces) {
    // The rows whose middles lie within.
    const first = Math.max(0, Math.ceil((from - start) / step - 0.5));
    const last = Math.min(probabilities.length, Math.ceil((to - start) / step - 0.5));
    for (let row = first; row < last; row += 1) {
      if (!probabilities[row]) continue;
      sum += probabilities[row][code];
      count += 1;
    }
  }
  return count ? sum / count : null;
}
