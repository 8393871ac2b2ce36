// Segments as typed arrays: a million of them are searched, corrected and summed without a pause.

const HOLE = -1;
// More visible segments than this are drawn from sums over a grid.
const MOST_EXACT = 30_000;
const GRID_CELLS = 65_536;

/** N segments: starts, ends, codes (-1 a hole), confidences. They tile or leave time between. */
export class Segments {
  constructor(starts, ends, codes, confidences) {
    Object.assign(this, { starts, ends, codes, confidences });
    this.grid = null;
  }

  static from(rows, classes) {
    const index = new Map(classes.map((label, code) => [label, code]));
    return new Segments(
      Float64Array.from(rows, (row) => row.start_seconds),
      Float64Array.from(rows, (row) => row.end_seconds),
      Int16Array.from(rows, (row) => index.get(row.label) ?? HOLE),
      Float32Array.from(rows, (row) => row.confidence),
    );
  }

  /** These segments with newer ones in place of what they say from their start on. */
  extended(newer) {
    if (!newer.length) return this;
    let kept = this.length;
    while (kept && this.starts[kept - 1] >= newer.start - 1e-6) kept -= 1;
    const joined = (name) => {
      const both = new this[name].constructor(kept + newer.length);
      both.set(this[name].subarray(0, kept));
      both.set(newer[name], kept);
      return both;
    };
    return new Segments(joined("starts"), joined("ends"), joined("codes"), joined("confidences"));
  }

  get length() { return this.starts.length; }
  get start() { return this.length ? this.starts[0] : 0; }
  get end() { return this.length ? this.ends[this.length - 1] : 0; }

  /** The segment at a moment; -1 if there is none. */
  at(seconds) {
    const index = this.after(seconds) - 1;
    return index >= 0 && seconds < this.ends[index] ? index : -1;
  }

  /** The first segment that starts later than a moment. */
  after(seconds) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] > seconds) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** The first and last-plus-one segment that reach into [from, to). */
  within(from, to) {
    let first = this.after(from) - 1;
    if (first < 0 || this.ends[first] <= from) first += 1;
    let last = this.after(to);
    while (last > first && this.starts[last - 1] >= to) last -= 1;
    return [first, last];
  }

  /** Seconds in each of K classes. */
  totals(classes) {
    const sums = new Float64Array(classes);
    for (let i = 0; i < this.length; i += 1) {
      if (this.codes[i] >= 0) sums[this.codes[i]] += this.ends[i] - this.starts[i];
    }
    return sums;
  }

  /**
   * What fills each of `columns` equal parts of [from, to).
   * `groups`: code -> group, G of them; group G is the hole.
   * Returns shares (columns * (G + 1)), mean and lowest confidence (columns), NaN where nothing is.
   */
  columns(from, to, columns, groups, G) {
    const [first, last] = this.within(from, to);
    if (last - first <= MOST_EXACT) return sum(this, first, last, from, to, columns, groups, G);
    this.grid ??= coarse(this, groups, G);
    return resample(this.grid, from, to, columns, G);
  }

  /** These segments with corrections in their place: ascending [{start, end, code}], no overlap. */
  corrected(corrections) {
    if (!corrections.length) return this;
    const starts = [], ends = [], codes = [], confidences = [];
    const put = (start, end, code, confidence) => {
      const before = starts.length - 1;
      const joins = before >= 0 && codes[before] === code && confidences[before] === confidence
        && (confidence === 1 || confidence === 0) && ends[before] === start;
      if (joins) ends[before] = end;
      else {
        starts.push(start); ends.push(end); codes.push(code); confidences.push(confidence);
      }
    };
    let next = 0;
    for (let i = 0; i < this.length; i += 1) {
      let reached = this.starts[i];
      const end = this.ends[i];
      while (next < corrections.length && corrections[next].end <= reached) next += 1;
      for (let k = next; k < corrections.length && corrections[k].start < end; k += 1) {
        const one = corrections[k];
        const from = Math.max(one.start, reached);
        const to = Math.min(one.end, end);
        if (from > reached) put(reached, from, this.codes[i], this.confidences[i]);
        put(from, to, one.code, one.code < 0 ? 0 : 1);
        reached = to;
      }
      if (end > reached) put(reached, end, this.codes[i], this.confidences[i]);
    }
    return new Segments(Float64Array.from(starts), Float64Array.from(ends),
      Int16Array.from(codes), Float32Array.from(confidences));
  }
}

/** Corrections that count, ascending: of two that overlap the one that was made later. */
export function resolve(corrections) {
  let found = [];
  for (const one of [...corrections].sort((a, b) => a.id - b.id)) {
    found = found.flatMap((earlier) => [
      { ...earlier, end_seconds: Math.min(earlier.end_seconds, one.start_seconds) },
      { ...earlier, start_seconds: Math.max(earlier.start_seconds, one.end_seconds) },
    ].filter((part) => part.end_seconds - part.start_seconds > 1e-6));
    found.push(one);
  }
  return found.sort((a, b) => a.start_seconds - b.start_seconds);
}

function sum(segments, first, last, from, to, columns, groups, G) {
  const width = (to - from) / columns;
  const shares = new Float32Array(columns * (G + 1));
  const mean = new Float32Array(columns);
  const lowest = new Float32Array(columns).fill(Infinity);
  const seen = new Float32Array(columns);
  for (let i = first; i < last; i += 1) {
    const start = Math.max(segments.starts[i], from);
    const end = Math.min(segments.ends[i], to);
    const code = segments.codes[i];
    const group = code < 0 ? G : groups[code];
    const confidence = segments.confidences[i];
    const final = Math.min(columns - 1, Math.floor((end - from) / width));
    for (let column = Math.floor((start - from) / width); column <= final; column += 1) {
      const begin = from + column * width;
      const part = (Math.min(end, begin + width) - Math.max(start, begin)) / width;
      if (part <= 0) continue;
      shares[column * (G + 1) + group] += part;
      if (code >= 0) {
        seen[column] += part;
        mean[column] += part * confidence;
        if (confidence < lowest[column]) lowest[column] = confidence;
      }
    }
  }
  for (let column = 0; column < columns; column += 1) {
    mean[column] = seen[column] > 0 ? mean[column] / seen[column] : NaN;
    if (lowest[column] === Infinity) lowest[column] = NaN;
  }
  return { shares, mean, lowest };
}

function coarse(segments, groups, G) {
  const { start, end } = segments;
  const sums = sum(segments, 0, segments.length, start, end, GRID_CELLS, groups, G);
  return { start, end, ...sums };
}

function resample(grid, from, to, columns, G) {
  const cell = (grid.end - grid.start) / GRID_CELLS;
  const width = (to - from) / columns;
  const shares = new Float32Array(columns * (G + 1));
  const mean = new Float32Array(columns).fill(NaN);
  const lowest = new Float32Array(columns).fill(NaN);
  for (let column = 0; column < columns; column += 1) {
    const left = (from + column * width - grid.start) / cell;
    const right = left + width / cell;
    let weight = 0, total = 0, low = Infinity;
    for (let at = Math.max(0, Math.floor(left)); at < Math.min(GRID_CELLS, right); at += 1) {
      const part = (Math.min(right, at + 1) - Math.max(left, at)) * cell / width;
      if (part <= 0) continue;
      let seen = 0;
      for (let group = 0; group <= G; group += 1) {
        const share = grid.shares[at * (G + 1) + group] * part;
        shares[column * (G + 1) + group] += share;
        if (group < G) seen += share;
      }
      if (seen > 0) {
        weight += seen;
        total += seen * grid.mean[at];
        if (grid.lowest[at] < low) low = grid.lowest[at];
      }
    }
    if (weight > 0) {
      mean[column] = total / weight;
      lowest[column] = low;
    }
  }
  return { shares, mean, lowest };
}
